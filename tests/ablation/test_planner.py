import pytest
import torch
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.planner import AblationPlanner, expected_channels, format_baselines
from captum_clustered._clustering.clusterers import make_clusterer

LAYER = torch.rand(2, 4, 3, 3)


def planner(clusterer=3, n_clusterings=1, importance="ablation", with_baseline_score=False, **kw):
    return AblationPlanner(
        n_examples=2,
        clusterer=make_clusterer(clusterer, n_clusterings, seed=0),
        importance=IMPORTANCES[importance],
        n_samples=kw.get("n_samples", 5),
        seed=0,
        channel_dim=kw.get("channel_dim", 1),
        layer_baselines=None,
        with_baseline_score=with_baseline_score,
        layer_name="mine",
        expected_channels=kw.get("expected_channels"),
    )


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, 1 + 3),
        ({"with_baseline_score": True}, 2 + 3),
        ({"n_clusterings": 4}, 1 + 4 * 3),
        ({"importance": "shapley", "with_baseline_score": True}, 2 + 6),
        ({"importance": "shapley", "clusterer": 12}, 1 + 5 * 11),
        ({"clusterer": torch.tensor([0, 1, 1, 0])}, 1 + 2),
        # A callable does not say how many clusters it makes.
        ({"clusterer": lambda features: [0, 0, 1, 1]}, 1 + 10),
        ({"clusterer": None, "expected_channels": 4}, 1 + 4),
        ({"clusterer": None}, 1 + 10),
    ],
)
def test_evaluations_to_expect(kwargs, expected):
    assert planner(**kwargs).expected_evaluations == expected


@pytest.mark.parametrize(
    ("layer", "of_output", "of_input"),
    [
        (nn.ReLU(), None, None),
        (nn.Conv2d(3, 5, 2, bias=False), 5, 3),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Tanh()), 4, 3),
        (nn.BatchNorm2d(7), 7, 7),
    ],
)
def test_channels_that_the_parameters_suggest(layer, of_output, of_input):
    assert expected_channels(layer, attribute_to_layer_input=False) == of_output
    assert expected_channels(layer, attribute_to_layer_input=True) == of_input


def test_parameters_without_dimensions_say_nothing_about_channels():
    class Gain(nn.Module):
        def __init__(self, *parts):
            super().__init__()
            self.parts = nn.Sequential(*parts)
            self.gain = nn.Parameter(torch.tensor(1.0))

    assert expected_channels(Gain(), attribute_to_layer_input=False) is None
    layer = Gain(nn.Conv2d(3, 5, 2, bias=False))
    for of_input, expected in ((False, 5), (True, 3)):
        assert expected_channels(layer, attribute_to_layer_input=of_input) == expected
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 7, 1), Gain(), relu)
    assert expected_channels(relu, False, model) == 7


@pytest.mark.parametrize("importance", ["ablation", "shapley"])
def test_a_plan_has_the_evaluations_that_were_expected(importance):
    made = planner(importance=importance, n_clusterings=2, with_baseline_score=True)
    assert made.plan((LAYER,)).n_evaluations == made.expected_evaluations


def test_clusters_are_numbered_tensor_by_tensor():
    labels = (torch.tensor([1, 0, 1, 0]), torch.tensor([0, -1]))
    plan = planner(labels).plan((LAYER, LAYER[:, :2]))
    assert plan.n_clusters == (2, 2)
    assert plan.labels[0].tolist() == [[[1, 0, 1, 0]] * 2]
    # The noise label becomes the last cluster.
    assert plan.labels[1].tolist() == [[[2, 3]] * 2]
    assert plan.designs[0].n_clusters == 4


def test_empty_clusters_of_an_example_take_no_part_in_its_shapley_values():
    # The first example has 2 clusters of 12, the second all.
    channels = torch.rand(2, 12, 2, 2)
    labels = {0: torch.arange(12) % 2, 1: torch.arange(12)}
    calls = iter(range(2))
    made = planner(lambda features: labels[next(calls)], importance="shapley")
    (design,) = made.plan((channels,)).designs
    assert (design.weights[0, 2:] == 0).all()
    assert (design.weights[0, :2] != 0).any()
    assert (design.weights[1].abs().sum(1) > 0).all()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ((), "no floating-point tensor"),
        ((LAYER[:1],), "N = 2"),
        ((LAYER[0, 0, 0],), "shape"),
        ((LAYER[:, :0],), "shape"),
    ],
)
def test_layers_that_do_not_fit(tensors, message):
    with pytest.raises(ValueError, match=message):
        planner().plan(tensors)


def test_the_number_of_fixed_labels_must_be_that_of_the_tensors():
    with pytest.raises(ValueError, match="fixed labels for 1 tensors, but layer mine has 2"):
        planner(torch.arange(4)).plan((LAYER, LAYER))


def test_values_that_are_not_finite_reach_no_clusterer_of_the_users():
    broken = LAYER.clone()
    broken[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="layer mine has NaN"):
        planner(lambda features: pytest.fail("was called")).plan((broken,))


def test_baselines_are_one_for_each_tensor_in_its_dtype():
    half = LAYER.half()
    assert [b.tolist() for b in format_baselines(None, (LAYER, half))] == [0, 0]
    number, tensor = format_baselines((2, torch.rand(4, 1, 1)), (LAYER, half))
    assert (number.dtype, tensor.dtype) == (torch.float32, torch.float16)
    (large,) = format_baselines(10**30, (LAYER,))
    assert large.item() == pytest.approx(1e30)
    (learned,) = format_baselines(torch.rand(4, 1, 1, requires_grad=True), (LAYER,))
    assert not learned.requires_grad


@pytest.mark.parametrize(
    ("baselines", "error", "message"),
    [
        ((0, 0), ValueError, "one entry for each of the layer's tensors, 1; got 2"),
        (torch.rand(5, 1, 1), ValueError, "does not broadcast"),
        (torch.rand(2, 2, 4, 3, 3), ValueError, "does not broadcast"),
        ("zero", TypeError, "numbers or tensors; got str"),
        (1e39, ValueError, "layer_baselines=1e.39 does not fit into the layer's torch.float32"),
    ],
)
def test_baselines_that_do_not_fit(baselines, error, message):
    with pytest.raises(error, match=message):
        format_baselines(baselines, (LAYER,))


@pytest.mark.parametrize(("name", "expected"), [("0", None), ("2", 8), ("4", 5)])
def test_a_layer_without_parameters_has_the_channels_in_front_of_it(name, expected):
    model = nn.Sequential(
        nn.ReLU(), nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 3), nn.MaxPool2d(2)
    )
    layer = model.get_submodule(name)
    for at_input in (False, True):
        assert expected_channels(layer, at_input, model) == expected
        assert expected_channels(layer, at_input) is None


def test_each_channel_of_a_pooling_layer_takes_one_pass():
    n_passes = 0

    class Counting(nn.Sequential):
        def forward(self, x):
            nonlocal n_passes
            n_passes += 1
            return super().forward(x)

    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 3))
    model = Counting(nn.Conv2d(3, 40, 3), nn.ReLU(), head).eval()
    cam = ClusteredLayerCAM(model, head[0], clusterer=None)
    cam.attribute(torch.rand(2, 3, 6, 6), 1, attribute_to_layer_input=True)
    assert n_passes == 1
