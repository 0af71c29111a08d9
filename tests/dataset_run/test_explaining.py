"""The predicted class's attribution is that of a run with the class given."""

import pytest
import torch
from nets import MlpHead, images
from small_runs import method
from torch import nn

from captum_clustered import ClusteredLayerCAM, scores
from captum_clustered.dataset_run.explaining import BatchExplainer, RunSettings, TargetScore
from captum_clustered.dataset_run.loading import LoadedBatch


def balanced(kind=MlpHead):
    """A network whose predictions differ between images and change when clusters are ablated."""
    net = kind().double()
    net.head[3].bias.data -= net(images(n=7)).mean(0).detach()
    return net


def both(net, layer, x, target=None, forward=None, **options):
    """(attribution, clusters) with the target chosen on the way, and with it given."""
    forward = forward or net
    chosen = TargetScore(forward)
    chosen.start(target)
    given = forward(x).argmax(1) if target is None else target
    first = ClusteredLayerCAM(chosen, layer, clusterer=3).attribute(
        x, return_clusters=True, **options
    )
    second = ClusteredLayerCAM(forward, layer, clusterer=3).attribute(
        x, given, return_clusters=True, **options
    )
    return chosen, first, second


def assert_same(first, second):
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1].importances, second[1].importances)
    torch.testing.assert_close(first[1].score, second[1].score)


@pytest.mark.parametrize("chunk", [None, 1, 2, 3])
@pytest.mark.parametrize("wrap", [None, scores.margin, scores.probability])
def test_the_prediction_is_that_of_the_image_as_it_is(chunk, wrap):
    net, x = balanced(), images(n=7)
    assert len(set(net(x).argmax(1).tolist())) > 1
    forward = wrap(net) if wrap else net
    chosen, *results = both(net, net.relu, x, forward=forward, perturbations_per_eval=chunk)
    assert torch.equal(chosen.prediction, net(x).argmax(1))
    assert_same(*results)


def test_a_given_target_is_explained_and_the_prediction_noted():
    net, x = balanced(), images(n=4)
    chosen, *results = both(net, net.relu, x, target=torch.tensor([2, 0, 1, 2]))
    assert torch.equal(chosen.prediction, net(x).argmax(1))
    assert_same(*results)


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each ablation")
def test_a_model_that_vmap_cannot_run():
    class Stubborn(MlpHead):
        def forward(self, x):
            logits = super().forward(x)
            return logits if float(logits.detach().sum()) is not None else None

    net, x = balanced(Stubborn), images(n=5)
    _, *results = both(net, net.relu, x)
    assert_same(*results)


def test_a_layer_called_twice():
    class Twice(MlpHead):
        def forward(self, x):
            return self.head(self.pool(self.relu(self.conv(self.relu(self.trunk(x))))))

    net, x = balanced(Twice), images(n=5)
    _, *results = both(net, net.relu, x)
    assert_same(*results)


def test_the_next_batch_has_predictions_of_its_own():
    net = balanced()
    chosen = TargetScore(net)
    cam = ClusteredLayerCAM(chosen, net.relu, clusterer=3)
    for x in images(n=8).split(4):
        chosen.start(None)
        cam.attribute(x)
        assert torch.equal(chosen.prediction, net(x).argmax(1))


def test_scores_without_classes_are_refused():
    net = balanced()
    chosen = TargetScore(lambda x: net(x)[:, 0])
    chosen.start(None)
    with pytest.raises(ValueError, match=r"shape \(N, n_classes\); got \(3,\)"):
        ClusteredLayerCAM(chosen, net.relu).attribute(images())
    assert isinstance(net.head[0], nn.Flatten)


@pytest.mark.parametrize("target", [3, -1])
def test_a_target_that_is_no_class_is_named(target):
    net = balanced()
    chosen = TargetScore(net)
    chosen.start(torch.tensor([0, target, 1]))
    with pytest.raises(ValueError, match=rf"target {target} is out of range: .* 3 classes, 0 to 2"):
        ClusteredLayerCAM(chosen, net.relu).attribute(images())


def test_a_device_that_is_broken_ends_the_run(monkeypatch):
    def broken(device=None):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    # On this device nothing can be explained, and it is the device's fault.
    explainer = BatchExplainer(method(), RunSettings(), torch.device("cuda"))
    monkeypatch.setattr(explainer, "explain", lambda *_: broken())
    x = torch.zeros(1, 2, 12, 10)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        explainer.rows(LoadedBatch([0], [0], x, [0], {}), ["0"])


class SingleLogit(nn.Module):
    """The logit of class 1 is the image's mean minus 0.5."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return self.conv(x).relu().mean((1, 2, 3))[:, None] - 0.5


@pytest.mark.parametrize("wrap", [lambda net: net, scores.SCORES["logit"].wrap])
@pytest.mark.parametrize(
    ("target", "classes", "values"),
    [
        ("prediction", [0, 1, 1], [0.3, 0.1, 0.4]),
        ("label", [1, 1, 0], [-0.3, 0.1, -0.4]),
        (0, [0, 0, 0], [0.3, -0.1, -0.4]),
    ],
)
def test_the_sign_of_a_single_logit_decides(wrap, target, classes, values):
    net = SingleLogit()
    cam = ClusteredLayerCAM(wrap(net), net.conv, clusterer=torch.tensor([0, 0, 1, 1]))
    explainer = BatchExplainer(cam, RunSettings(target=target), torch.device("cpu"))
    inputs = torch.tensor([0.2, 0.6, 0.9])[:, None, None, None].expand(3, 3, 4, 4)
    rows = explainer.explain(inputs, [1, 1, 0])
    assert [int(row["prediction"]) for row in rows] == [0, 1, 1]
    assert [int(row["target"]) for row in rows] == classes
    assert [float(row["score"]) for row in rows] == pytest.approx(values, abs=1e-6)
    # Without the layer the logit is -0.5, and half of the channels have half of the rest.
    signs = [1 if target else -1 for target in classes]
    means = [0.2, 0.6, 0.9]
    for row, sign, mean in zip(rows, signs, means, strict=True):
        assert row["baseline_score"] == pytest.approx(-0.5 * sign)
        assert row["importances"].tolist() == pytest.approx([sign * mean / 2] * 2, abs=1e-6)
