"""Random numbers: those of a model are the same in all passes, those of others are left alone."""

import threading

import pytest
import torch
import torch.nn.functional as F
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import memory_cap


class Draws(nn.Module):
    """Behind the layer there is noise alone, and channel 0 alone matters."""

    def __init__(self, noise, kind="once"):
        super().__init__()
        self.layer, self.noise, self.kind = nn.Identity(), noise, kind

    def forward(self, x):
        noise = self.noise(torch.ones(len(x), 50))
        x = self.layer(x)
        if self.kind == "layer called twice":
            x = self.layer(x)
        y = x[:, 0].mean((1, 2)) + noise.sum(1)
        return y * 1 if self.kind == "loop" and bool(y.sum() > 1e9) else y


def attention(ones):
    return F.scaled_dot_product_attention(
        ones[:, None], ones[:, None], ones[:, None], dropout_p=0.5
    )


NOISES = {
    "dropout": lambda ones: F.dropout(ones, 0.5, training=True),
    "alpha dropout": lambda ones: F.alpha_dropout(ones, 0.5, training=True),
    "bernoulli_": lambda ones: ones.new_empty(ones.shape).bernoulli_(0.5),
    "rand": lambda ones: torch.rand(ones.shape),
    "rand_like": torch.rand_like,
    "randn_like": torch.randn_like,
    "randint": lambda ones: torch.randint(5, ones.shape),
    "randperm": lambda ones: torch.randperm(50) * ones / 1000 * torch.arange(50),
    "normal": lambda ones: torch.normal(ones, ones),
    "multinomial": lambda ones: torch.multinomial(ones, 3),
    "uniform_": lambda ones: torch.empty(3, 5).uniform_(),
    "attention": lambda ones: attention(ones)[:, 0],
}
KINDS = ["once", "layer called twice", "loop"]


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.filterwarnings("ignore:The model is in training mode")
@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_no_importance_and_no_generator_moves(noise, kind, training, grad_mode):
    net, x = Draws(NOISES[noise], kind).train(training), images(dtype=torch.float32)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor([0, 1]))
    before = torch.get_rng_state()
    with grad_mode():
        _, clusters = cam.attribute(x, return_clusters=True, perturbations_per_eval=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (clusters.importances[:, 1] == 0).all()
    expected = x[:, 0].mean((1, 2))
    torch.testing.assert_close(clusters.importances[:, 0], expected, atol=1e-3, rtol=0)
    # The first numbers that the model would draw now.
    with torch.no_grad():
        torch.testing.assert_close(clusters.score, net(x))


def drawn_beside(explain):
    """Numbers that another thread draws while one explains."""
    numbers, stop = [], threading.Event()

    def draw():
        while not stop.is_set():
            numbers.append(torch.rand(1, dtype=torch.float64).item())

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(3):
            explain()
    finally:
        stop.set()
        thread.join()
    return numbers


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.filterwarnings("ignore:The model is in training mode")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("noise", [None, "dropout", "rand_like"])
def test_the_numbers_of_another_thread_are_not_repeated(noise, training):
    net, x = MlpHead(channels=12), images(dtype=torch.float32)
    if noise:
        net.head.append(Draws(NOISES[noise]))
        net.head[-1].layer = nn.Unflatten(1, (3, 1, 1))
    net.train(training)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4)
    target = None if noise else 0
    expected = cam.attribute(x, target)
    found = []

    def explain():
        found.append(cam.attribute(x, target, perturbations_per_eval=2))

    numbers = drawn_beside(explain)
    assert len(numbers) == len(set(numbers))
    if noise is None:
        for attribution in found:
            torch.testing.assert_close(attribution, expected)


def test_numbers_of_another_thread_are_not_repeated_by_fit():
    net, x = MlpHead(), images(dtype=torch.float32)
    net.trunk.append(nn.Dropout())
    net.train()

    def explain():
        with pytest.warns(UserWarning, match="training mode"):
            ClusteredLayerCAM(net, net.conv, clusterer=2).fit(x)

    numbers = drawn_beside(explain)
    assert len(numbers) == len(set(numbers))


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize(
    ("noise", "name"),
    [
        (nn.RReLU(), "it draws random numbers"),
        (nn.MultiheadAttention(6, 1, dropout=0.5, batch_first=True), "it draws random numbers"),
        (nn.Dropout(), "Dropout"),
    ],
)
def test_noise_of_training_mode_is_warned_about(noise, name):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.noise, self.fc = nn.Conv2d(2, 6, 1), noise, nn.Linear(6, 3)

        def forward(self, x):
            features = self.layer(x).flatten(2).mT
            is_attention = isinstance(self.noise, nn.MultiheadAttention)
            noisy = self.noise(*[features] * 3)[0] if is_attention else self.noise(features)
            return self.fc(noisy.mean(1))

    net, x = Net().train(), images(dtype=torch.float32)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=2)
    with pytest.warns(UserWarning, match=rf"training mode \({name}\)"):
        cam.attribute(x, 0)


class DrawsAndGrows(nn.Module):
    """Draws in front of the layer, and behind it needs much more memory than the layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, 4, 1)
        self.eval()

    def forward(self, x):
        x = self.layer(x + torch.rand(x.shape)).tanh().repeat(1, 1, 20, 20)
        return x.mean((2, 3))


def test_a_pass_that_ends_early_moves_no_generator(monkeypatch):
    monkeypatch.setattr(memory_cap, "TAIL_BYTES", 1)
    net, x = DrawsAndGrows(), images(dtype=torch.float32)
    before = torch.get_rng_state()
    ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor([0, 1, 2, 3])).attribute(x, 1)
    assert torch.equal(torch.get_rng_state(), before)
