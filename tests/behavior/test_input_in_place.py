"""A network that writes into its arguments: all passes see the same image."""

import pytest
import torch
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered.dataset_run import explain_dataset


def minus(x):
    return x - 0.4


WRITES = {
    "sub_": lambda x: x.sub_(0.4),
    "data": lambda x: x.data.sub_(0.4),
    "rebound data": lambda x: setattr(x, "data", x.data - 0.4) or x,
    "numpy": lambda x: (x.numpy().__isub__(0.4), x)[1],
    "index": lambda x: x.__setitem__(slice(None), x - 0.4) or x,
    "reshaped": lambda x: x.unsqueeze_(1).squeeze_(1).sub_(0.4),
}


class Net(nn.Module):
    """Subtracts a mean, and may call its layer twice or need the per-ablation loop."""

    def __init__(self, prepare, kind="once"):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.prepare, self.kind = prepare, kind
        self.first, self.second = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.act, self.fc = nn.ReLU(), nn.Linear(6, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 3
        self.double().eval()

    def forward(self, x, shift=None):
        x = self.act(self.first(self.prepare(x)))
        if self.kind == "layer called twice":
            x = self.act(self.second(x))
        if shift is not None:
            x = x + self.prepare(shift)
        y = self.fc(x.mean((2, 3)))
        return y + 1 if self.kind == "loop" and bool(y.sum() > 1e9) else y


def explain(net, x, *further, **settings):
    cam = ClusteredLayerCAM(net, net.act, clusterer=3)
    _, clusters = cam.attribute(x, 1, further or None, return_clusters=True, **settings)
    return clusters


KINDS = ["once", "layer called twice", "loop"]


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", WRITES)
def test_each_pass_sees_the_image_of_the_first(write, kind, chunk):
    x, shift = images(), images(channels=6, seed=2)
    expected = explain(Net(minus, kind), x, shift, perturbations_per_eval=chunk)
    found = explain(Net(WRITES[write], kind), x, shift, perturbations_per_eval=chunk)
    torch.testing.assert_close(found.score, expected.score)
    torch.testing.assert_close(found.importances, expected.importances)
    # As one forward pass has left them.
    torch.testing.assert_close(x, images() - 0.4)
    torch.testing.assert_close(shift, images(channels=6, seed=2) - 0.4)


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
def test_what_is_written_behind_the_layer_is_that_of_the_pass_without_ablation():
    class Writes(Net):
        def forward(self, x, scores):
            scores.copy_(super().forward(x))
            return scores.clone()

    net, scores = Writes(minus), torch.zeros(3, 3, dtype=torch.float64)
    explain(net, images(), scores)
    torch.testing.assert_close(scores, Net(minus)(images()))


def test_what_is_not_written_is_not_touched():
    x = images().requires_grad_()
    square = (x * x).sum()
    explain(Net(minus, "layer called twice"), x, x[:1, :1, :1, :1].expand(3, 6, 6, 5))
    square.backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_an_image_with_nan_does_not_change_its_neighbors(tmp_path):
    data = images(n=4)
    data[2, 0, 0, 0] = torch.nan

    def scores(prepare, folder):
        net = Net(prepare)
        cam = ClusteredLayerCAM(net, net.act, clusterer=3)
        items = [image.clone() for image in data]
        run = explain_dataset(cam, items, tmp_path / folder, target=1, batch_size=4)
        return run.table(["score"])["score"].to_pylist()

    expected = scores(minus, "pure")
    assert expected[2] is None
    assert scores(WRITES["sub_"], "in place") == expected


def test_fit_gives_all_batches_the_same_further_arguments():
    shift = images(channels=6, seed=2)

    def labels(prepare):
        net = Net(prepare)
        cam = ClusteredLayerCAM(net, net.fc, clusterer=2)
        cam.fit([images(seed=seed) for seed in range(3)], shift, attribute_to_layer_input=True)
        return cam.labels_

    expected = labels(minus)
    assert labels(WRITES["sub_"]).equal(expected)
    torch.testing.assert_close(shift, images(channels=6, seed=2) - 0.4)
