"""A network that writes into its own state in evaluation mode: each pass starts from the same."""

import random

import numpy as np
import pytest
import torch
from nets import images
from torch import nn

from captum_clustered import ClusteredLayerCAM

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


class Holder:
    """A plain object with a tensor."""

    def __init__(self):
        self.mean = torch.zeros(6, dtype=torch.float64)


class Net(nn.Module):
    """Centers features by a running mean; may call its layer twice or need the loop."""

    def __init__(self, step, kind):
        super().__init__()
        weights = torch.Generator().manual_seed(0)
        self.first, self.second = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 1)
        self.act, self.fc = nn.ReLU(), nn.Linear(6, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=weights)
        self.register_buffer("buffer", torch.zeros(6))
        self.double().eval()
        self.attribute = torch.zeros(6, dtype=torch.float64)
        self.kept, self.nested = Holder(), {"list": [Holder()]}
        self.array = np.zeros(6)
        self.torch_noise = torch.Generator().manual_seed(1)
        self.python_noise = random.Random(1)  # noqa: S311
        self.numpy_noise = np.random.default_rng(1)
        self.old_numpy_noise = np.random.RandomState(1)
        self.step, self.kind = step, kind

    def forward(self, x):
        x = self.act(self.first(x))
        if self.kind == "layer called twice":
            x = self.act(self.second(x))
        y = self.fc(self.step(self, x.mean((2, 3))))
        return y * 1 if self.kind == "loop" and bool(y.sum() > 1e9) else y


def lerp(mean, features):
    # What is written must not depend on the ablation: vmap refuses that.
    mean.lerp_(torch.ones_like(mean), 0.5)
    return features * mean


STEPS = {
    "buffer": lambda net, f: lerp(net.buffer, f),
    "buffer, past its version": lambda net, f: lerp(net.buffer.data, f),
    "attribute": lambda net, f: lerp(net.attribute, f),
    "object": lambda net, f: lerp(net.kept.mean, f),
    "nested": lambda net, f: lerp(net.nested["list"][0].mean, f),
    "array": lambda net, f: (net.array.__iadd__(0.5), f * torch.from_numpy(net.array))[1],
    "torch.Generator": lambda net, f: f * torch.rand(6, generator=net.torch_noise),
    "random.Random": lambda net, f: f * net.python_noise.random(),
    "numpy.random.Generator": lambda net, f: f * net.numpy_noise.random(),
    "numpy.random.RandomState": lambda net, f: f * net.old_numpy_noise.rand(),
}
KINDS = ["once", "layer called twice", "loop"]


def right_scores(step, kind, x):
    """The score without ablation and without each cluster, each of a fresh network."""

    def score(removed):
        net, calls = Net(STEPS[step], kind), []

        def hook(module, args, output):
            calls.append(1)
            if len(calls) == (2 if kind == "layer called twice" else 1):
                output = output * ~torch.isin(LABELS, torch.tensor(removed))[:, None, None]
            return output

        net.act.register_forward_hook(hook)
        with torch.no_grad():
            return net(x)[:, 1]

    return score([]), torch.stack([score([k]) for k in range(3)], 1)


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_each_pass_starts_from_the_state_before_the_call(step, kind, hidden, chunk):
    net, x = Net(STEPS[step], kind), images()
    cam = ClusteredLayerCAM((lambda x: net(x)) if hidden else net, net.act, clusterer=LABELS)
    score, without = right_scores(step, kind, x)
    for _ in range(2):
        _, clusters = cam.attribute(x, 1, perturbations_per_eval=chunk, return_clusters=True)
        torch.testing.assert_close(clusters.score, score)
        torch.testing.assert_close(clusters.importances, score[:, None] - without)
    for tensor in (net.buffer, net.attribute, net.kept.mean, net.array):
        assert tensor.tolist() == [0] * 6


def python_noise(net, features):
    return features * random.random()  # noqa: S311


def numpy_noise(net, features):
    return features * np.random.rand()


def write_parameter(net, features):
    net.fc.weight.mul_(0.9)
    return features


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (python_noise, "module random"),
        (numpy_noise, "NumPy"),
        (write_parameter, "parameters"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_restored_is_said_where_passes_differ(step, reason, kind, recwarn):
    net = Net(step, kind)
    ClusteredLayerCAM(net, net.act, clusterer=LABELS).attribute(images(), 1)
    found = [str(w.message) for w in recwarn if reason in str(w.message)]
    # In one pass, all ablations meet the same.
    assert len(found) == (0 if kind == "once" else 1)
