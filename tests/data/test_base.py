from functools import partial

import numpy as np
import pytest
import torch
from small_files import save_image, save_mask, save_table, tn5000, voc_annotation
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from captum_clustered.data import TN5000, ImageTable, read_image


@pytest.fixture
def root(tmp_path):
    """Images of different sizes."""
    rows = []
    for n in range(4):
        save_image(tmp_path / f"{n}.png", (12 + n, 10), 60 * n)
        save_mask(tmp_path / f"{n}m.png", (12 + n, 10))
        rows.append({"image": f"{n}.png", "mask": f"{n}m.png", "label": "ab"[n % 2]})
    save_table(tmp_path / "labels.csv", rows)
    return tmp_path


@pytest.fixture
def both():
    """What a network needs, for image and mask alike."""
    return v2.Compose(
        [
            v2.Resize((20, 24)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )


def test_joint_transforms_keep_masks_masks(root, both):
    image, label, mask = ImageTable(root, mask_column="mask", transforms=both)[1]
    assert (image.shape, label, mask.shape) == ((3, 20, 24), 1, (1, 20, 24))
    assert set(mask.unique().tolist()) == {0, 1}
    assert image.min() < 0


def test_a_flip_takes_the_mask_along(root):
    data = ImageTable(root, mask_column="mask", transforms=v2.RandomHorizontalFlip(1))
    assert data[0][2][0, 2:5, 12 - 8 : 12 - 3].all()


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_those_of_compare(root, both, workers):
    compare = pytest.importorskip("captum_clustered.comparison", reason="needs pandas").compare
    data = ImageTable(root, mask_column="mask", transforms=both)
    loader = DataLoader(data, batch_size=3, num_workers=workers)
    images, labels, masks = next(iter(loader))
    assert (images.shape, labels.tolist(), masks.shape) == (
        (3, 3, 20, 24),
        [0, 1, 0],
        (3, 1, 20, 24),
    )
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
    )
    comparison = compare(
        net.eval(),
        net[1],
        loader,
        ["LayerGradCam"],
        target="label",
        metrics=["pointing game"],
        show_progress=False,
    )
    assert "pointing game" in comparison.to_markdown()


def test_a_loader_of_ones_own(root):
    data = ImageTable(root, loader=partial(read_image, value_range=(0, 180)))
    # The second image is 60 everywhere.
    assert np.asarray(data[1][0]).flat[0] == 85


def test_separate_transforms_of_image_and_label(root):
    data = ImageTable(
        root,
        mask_column="mask",
        transform=v2.Grayscale(),
        target_transform=lambda label: label + 10,
    )
    image, label, mask = data[1]
    assert (image.mode, label, mask.shape) == ("L", 11, (1, 10, 13))


def test_a_transform_that_would_part_image_and_mask_is_an_error(root):
    data = ImageTable(root, mask_column="mask", transform=v2.Resize((20, 24)))
    with pytest.raises(ValueError, match=r"to \[20, 24\], but its mask has \[10, 12\]: use transf"):
        _ = data[0]
    # Without masks there is nothing to part.
    assert ImageTable(root, transform=v2.Resize((20, 24)))[0][0].size == (24, 20)


def test_both_kinds_of_transform_at_once_are_an_error(root, both):
    with pytest.raises(ValueError, match="Give either transforms or transform"):
        ImageTable(root, transforms=both, transform=both)


def test_a_mask_of_another_size_is_an_error(root):
    save_mask(root / "0m.png", (12, 11))
    with pytest.raises(ValueError, match=r"0m.png is 12 x 11, which does not lie on .* 12 x 10"):
        _ = ImageTable(root, mask_column="mask")[0]


def test_an_unknown_argument_is_an_error(root):
    with pytest.raises(TypeError, match="unexpected keyword argument 'transfrom'"):
        ImageTable(root, transfrom=v2.Grayscale())


def test_a_warning_points_at_the_users_line(root):
    tn5000(root, [voc_annotation(("0", 1, 1, 2, 2))])
    with pytest.warns(UserWarning, match="the release") as caught:
        TN5000(root)
    assert caught[0].filename == __file__
