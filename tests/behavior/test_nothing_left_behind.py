"""Whatever happens, the model and the process are as they were."""

import functools
import threading
import warnings

import pytest
import torch
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM


class Stateful(nn.Module):
    """Normalization and Dropout around the layer, each with state of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.layer = nn.Conv2d(4, 6, 3)
        self.last = nn.Sequential(
            nn.BatchNorm2d(6), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x):
        return self.last(self.layer(self.first(x)))


def state(net):
    """All that a call could change, as values that can be compared."""
    return {
        "hooks": [
            (list(m._forward_hooks), list(m._forward_pre_hooks), list(m._backward_hooks))
            for m in net.modules()
        ],
        "modes": [m.training for m in net.modules()],
        "requires_grad": [p.requires_grad for p in net.parameters()],
        "grad": [None if p.grad is None else p.grad.tolist() for p in net.parameters()],
        "buffers": [b.tolist() for b in net.buffers()],
        "parameters": [p.tolist() for p in net.parameters()],
        "cpu_rng": torch.get_rng_state().tolist(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "grad_mode": torch.is_grad_enabled(),
    }


def raising(error):
    """A function that raises."""

    def fail(*args):
        raise error

    return fail


SITUATIONS = {
    "success": ({}, 0, None),
    "shapley with n_clusterings": ({"importance": "shapley", "n_clusterings": 2}, 0, None),
    "bad target": ({}, 99, ValueError),
    "clusterer that raises": ({"clusterer": raising(ZeroDivisionError())}, 0, ZeroDivisionError),
    "clusterer that is interrupted": (
        {"clusterer": raising(KeyboardInterrupt())},
        0,
        KeyboardInterrupt,
    ),
}


@pytest.mark.filterwarnings("ignore:The model is in training mode")
@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_everything_is_as_before(situation, training):
    arguments, target, error = SITUATIONS[situation]
    net, x = Stateful().train(training), images(dtype=torch.float32)
    net(x).sum().backward()
    next(net.parameters()).requires_grad_(False)
    cam = ClusteredLayerCAM(net, net.layer, **{"clusterer": 3, **arguments})
    before = state(net)
    if error is None:
        cam.attribute(x, target)
    else:
        with pytest.raises(error):
            cam.attribute(x, target)
    assert state(net) == before


@pytest.mark.parametrize("error", [RuntimeError("halfway"), KeyboardInterrupt()])
def test_everything_is_as_before_when_the_model_raises_halfway(error):
    net, x = Stateful().eval(), images(dtype=torch.float32)
    net.last[1].register_forward_hook(raising(error))
    before = state(net)
    with pytest.raises(type(error)):
        ClusteredLayerCAM(net, net.layer).attribute(x, 0)
    assert state(net) == before


def test_fit_in_training_mode_leaves_no_trace():
    net, x = Stateful().train(), images(dtype=torch.float32)
    before = state(net)
    with pytest.warns(UserWarning, match="training mode"):
        ClusteredLayerCAM(net, net.layer, clusterer=2).fit([x, x])
    assert state(net) == before


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
def test_training_mode_is_warned_about_and_kept():
    net, x = Stateful().train(), images(dtype=torch.float32)
    cam = ClusteredLayerCAM(net, net.layer, clusterer=2)
    with pytest.warns(UserWarning, match="training mode") as caught:
        cam.attribute(x, 0)
    (warning,) = (w for w in caught if "training mode" in str(w.message))
    message = str(warning.message)
    assert "BatchNorm2d, Dropout" in message
    assert "model.eval()" in message
    assert warning.filename == __file__
    # The reason for the loop is quoted without functorch's advice, which does not help.
    assert not any("functorch" in str(w.message) for w in caught)
    assert net.training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Nothing here behaves differently in training mode.
        plain = MlpHead().train()
        ClusteredLayerCAM(plain, plain.conv, clusterer=2).attribute(x, 0)


@pytest.mark.filterwarnings("ignore:The model is in training mode")
@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
def test_dropouts_noise_does_not_pass_for_importance(monkeypatch):
    # Behind the layer there is Dropout alone, and channel 0 alone matters.
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.dropout = nn.Identity(), nn.Dropout(0.5)

        def forward(self, x):
            pooled = self.layer(x).flatten(2).mean(2)
            return pooled[:, 0] + self.dropout(torch.ones(len(x), 50)).sum(1)

    net, x = Noisy().train(), images(dtype=torch.float32)
    for engine in ("vmap pass", "loop"):
        if engine == "loop":
            monkeypatch.setattr("captum_clustered._ablation.evaluate.vmap_pass", raising(OSError))
        cam = ClusteredLayerCAM(net, net.layer, clusterer=torch.tensor([0, 1]))
        _, clusters = cam.attribute(x, return_clusters=True)
        assert (clusters.importances[:, 1] == 0).all()
        torch.testing.assert_close(
            clusters.importances[:, 0], x[:, 0].mean((1, 2)), atol=1e-4, rtol=0
        )


def test_two_threads_give_their_single_threaded_results():
    net = MlpHead(channels=12).double()
    inputs = [images(seed=seed) for seed in range(4)]
    cams = [ClusteredLayerCAM(net, net.conv, clusterer=3, seed=seed) for seed in range(4)]
    expected = [cam.attribute(x, 0) for cam, x in zip(cams, inputs, strict=True)]
    plain = net(inputs[0]).detach()
    found, outputs = {}, []
    start = threading.Barrier(5)

    def explain(i):
        start.wait(10)
        for _ in range(5):
            found.setdefault(i, []).append(cams[i].attribute(inputs[i], 0))

    def forward():
        start.wait(10)
        with torch.no_grad():
            outputs.extend(net(inputs[0]) for _ in range(30))

    threads = [threading.Thread(target=explain, args=(i,)) for i in range(4)]
    threads.append(threading.Thread(target=forward))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, results in found.items():
        assert len(results) == 5
        for result in results:
            torch.testing.assert_close(result, expected[i])
    for output in outputs:
        torch.testing.assert_close(output, plain)
    assert not net.conv._forward_hooks


class Recurrent(nn.Module):
    """Keeps what it computed, in every way that a module can."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.out = nn.Conv2d(2, 4, 1), nn.Linear(4, 5), nn.Linear(5, 3)
        self.previous, self.history, self.by_name = torch.zeros(3, 5), [], {}
        self.register_buffer("average", torch.zeros(3, 5))

    def forward(self, x):
        hidden = self.fc(self.conv(x).relu().flatten(2).mean(2)).tanh()
        scores = self.out(hidden - self.previous - self.average)
        self.previous, self.latest = hidden.detach(), hidden
        self.average = 0.9 * self.average + 0.1 * hidden.detach()
        self.history.append(hidden)
        self.by_name["hidden"] = hidden
        return scores


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: lambda x: net(x),
        lambda net: net.forward,
        lambda net: functools.partial(net),
    ],
)
def test_results_that_a_model_keeps_are_as_before_and_do_not_count(wrap, training, monkeypatch):
    torch.manual_seed(0)
    net, x = Recurrent().train(training), images(dtype=torch.float32)
    cam = ClusteredLayerCAM(wrap(net), net.conv, clusterer=torch.arange(4))
    _, first = cam.attribute(x, 0, return_clusters=True)
    assert not hasattr(net, "latest")
    assert net.history == []
    assert net.by_name == {}
    assert net.previous.tolist() == net.average.tolist() == [[0.0] * 5] * 3
    _, again = cam.attribute(x, 0, return_clusters=True)
    assert torch.equal(first.importances, again.importances)
    assert (first.importances != 0).any()

    monkeypatch.setattr("captum_clustered._ablation.evaluate.vmap_pass", raising(OSError))
    with pytest.warns(UserWarning, match="once for each ablation"):
        _, looped = cam.attribute(x, 0, return_clusters=True)
    torch.testing.assert_close(looped.importances, first.importances)
    net(x).sum().backward()  # and it still works


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize(
    "wrap",
    [lambda net: lambda x: net(x), lambda net: net.forward, lambda net: functools.partial(net)],
)
def test_a_model_in_training_mode_behind_a_function_is_found(wrap):
    net, x = Stateful().train(), images(dtype=torch.float32)
    before = state(net)
    with pytest.warns(UserWarning, match="training mode"):
        ClusteredLayerCAM(wrap(net), net.layer, clusterer=2).attribute(x, 0)
    assert state(net) == before


def test_chunks_meet_the_same_noise_when_the_model_is_noisy_by_itself():
    net, x = MlpHead(channels=12), images(dtype=torch.float32)

    def noisy(x):
        return nn.functional.dropout(net(x), 0.5, training=True)

    cam = ClusteredLayerCAM(noisy, net.conv, clusterer=4)
    expected = cam.attribute(x, 0)
    torch.testing.assert_close(cam.attribute(x, 0, perturbations_per_eval=2), expected)
