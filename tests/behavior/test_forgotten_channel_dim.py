"""A layer with its channels last, and channel_dim left at 1."""

import warnings

import pytest
import torch
from torch import nn

from captum_clustered import ClusteredLayerCAM


class Reshaped(nn.Module):
    """Has a layer of any shape for images of any size."""

    def __init__(self, shape):
        super().__init__()
        self.layer, self.shape = nn.Identity(), shape

    def forward(self, x):
        maps = torch.linspace(0, 1, torch.Size(self.shape).numel()).view(self.shape)
        return self.layer(maps + x.mean()).flatten(1).sum(1)


def shape_warnings(shape, image, channel_dim=1):
    net = Reshaped((2, *shape)).eval()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=2, channel_dim=channel_dim)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cam.attribute(torch.zeros(2, *image))
    return [w for w in caught if "looks like" in str(w.message)]


@pytest.mark.parametrize(
    ("shape", "image", "kind"),
    [
        ((7, 7, 768), (3, 224, 224), "map, channels last"),
        ((56, 56, 12), (3, 224, 224), "map, channels last"),
        ((7, 14, 768), (3, 224, 448), "map, channels last"),
        ((4, 7, 7, 768), (3, 8, 224, 224), "map, channels last"),
        ((197, 192), (3, 224, 224), "tokens"),
        ((197, 1024), (3, 224, 224), "tokens"),
        ((198, 384), (3, 224, 224), "tokens"),
        ((261, 384), (3, 224, 224), "tokens"),
        ((196, 512), (3, 224, 224), "tokens"),
        ((99, 192), (3, 112, 224), "tokens"),
        ((17, 64), (3, 32, 32), "tokens"),
    ],
)
def test_one_warning_names_the_argument(shape, image, kind):
    (warning,) = shape_warnings(shape, image)
    assert kind in str(warning.message)
    assert "channel_dim=-1" in str(warning.message)
    assert warning.filename == __file__
    assert not shape_warnings(shape, image, channel_dim=-1)


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        # Small maps, fewer channels than rows, as many channels as rows.
        ((512, 7, 7), (3, 224, 224)),
        ((3, 224, 224), (3, 224, 224)),
        ((7, 7, 7), (3, 224, 224)),
        ((64, 1, 1), (3, 32, 32)),
        ((8,), (3, 32, 32)),
        # Not square, as of wide images or spectrograms pooled in time.
        ((32, 32, 48), (3, 64, 96)),
        ((16, 16, 64), (1, 128, 1024)),
        ((16, 128, 64), (1, 128, 1024)),
        ((32, 32, 1), (3, 64, 64)),
        ((7, 7, 10), (3, 100, 150)),
        # Volumes and series.
        ((16, 8, 12, 12), (1, 64, 96, 96)),
        ((8, 8, 8, 6), (1, 64, 64, 48)),
        ((64, 60), (2, 120)),
        ((197, 192), (4, 192)),
        # (N, C, T): rows of an image, flattened maps, mixing of tokens.
        ((64, 32), (1, 64, 64)),
        ((256, 15), (1, 64, 60)),
        ((256, 49), (3, 224, 224)),
        ((512, 196), (3, 224, 224)),
        ((10, 16), (3, 32, 32)),
        ((21, 49), (3, 224, 224)),
    ],
)
def test_ordinary_layers_are_not_warned_about(shape, image):
    assert not shape_warnings(shape, image)


def test_fit_warns_once_for_all_batches():
    net = Reshaped((2, 7, 7, 12)).eval()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=2)
    with pytest.warns(UserWarning, match="channel_dim=-1") as caught:
        cam.fit([torch.zeros(2, 3, 28, 28)] * 3)
    assert len(caught) == 1
    assert caught[0].filename == __file__
