"""A mistake raises an exception that names the argument and what is accepted."""

import pytest
import torch
from nets import GapLinear, MlpHead, images

from captum_clustered import ClusteredLayerCAM


@pytest.fixture
def net():
    return MlpHead().double()


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("scaling", "mass", "scaling='mass' must be 'density' or 'drop'"),
        ("importance", "gradient", "importance='gradient' must be 'ablation' or 'shapley'"),
        ("n_clusterings", 0, "n_clusterings=0 must be an int of at least 1"),
        ("n_clusterings", True, "n_clusterings=True"),
        ("n_samples", 0, "n_samples=0"),
        ("seed", -1, "seed=-1"),
        ("seed", 0.5, "seed=0.5"),
        ("channel_dim", 0, "channel_dim=0"),
        ("channel_dim", "last", "channel_dim='last'"),
    ],
)
def test_constructor(net, argument, value, message):
    with pytest.raises(ValueError, match=message):
        ClusteredLayerCAM(net, net.conv, **{argument: value})


def test_the_layer_must_be_a_module(net):
    with pytest.raises(TypeError, match=r"layer must be a torch.nn.Module; got str"):
        ClusteredLayerCAM(net, "conv")


def test_grad_kwargs_have_no_meaning_here(net):
    with pytest.raises(TypeError, match="grad_kwargs"):
        ClusteredLayerCAM(net, net.conv).attribute(images(), 0, grad_kwargs={})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": [images()]}, TypeError, "inputs must be a Tensor.*got list"),
        ({"inputs": images(n=0)}, ValueError, "inputs must hold at least one example"),
        ({"inputs": ()}, ValueError, "inputs must hold at least one example"),
        ({"target": None}, ValueError, r"shape \(3,\); got shape \(3, 3\). Is target missing"),
        ({"target": 7}, ValueError, r"target=7 does not fit .* shape \(3, 3\)"),
        ({"target": [0, 1]}, ValueError, r"target=\[0, 1\] does not fit"),
        ({"perturbations_per_eval": 0}, ValueError, "perturbations_per_eval=0"),
        (
            {"layer_baselines": (0, 1)},
            ValueError,
            "layer_baselines must have one .* tensors, 1; got 2",
        ),
        ({"layer_baselines": "zero"}, TypeError, "layer_baselines must hold numbers or tensors"),
        ({"layer_baselines": torch.zeros(5)}, ValueError, None),
        ({"layer_baselines": torch.zeros(7)}, ValueError, r"shape \(7,\) does not broadcast"),
        ({"layer_baselines": torch.zeros(2, 3, 6, 6, 5)}, ValueError, "does not broadcast"),
    ],
)
def test_attribute(net, arguments, error, message):
    call = {"inputs": images(), "target": 0, **arguments}
    cam = ClusteredLayerCAM(net, net.conv)
    if message is None:  # fits: the layer's last dimension is 5
        assert cam.attribute(**call).shape == (3, 1, 6, 5)
        return
    with pytest.raises(error, match=message):
        cam.attribute(**call)
    assert not net.conv._forward_hooks


def test_delta_is_in_units_of_the_score_for_density_alone(net):
    cam = ClusteredLayerCAM(net, net.conv, scaling="drop")
    with pytest.raises(ValueError, match="return_convergence_delta=True needs scaling='density'"):
        cam.attribute(images(), 0, return_convergence_delta=True)


def test_a_layer_that_is_not_reached(net):
    with pytest.raises(ValueError, match="layer ReLU was not reached"):
        ClusteredLayerCAM(net, torch.nn.ReLU()).attribute(images(), 0)
    net.unused = torch.nn.ReLU()
    with pytest.raises(ValueError, match=r"layer 'unused' \(ReLU\) was not reached"):
        ClusteredLayerCAM(net, net.unused).attribute(images(), 0)


def test_a_layer_without_the_batch_in_front():
    class Transposed(GapLinear):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Identity()

        def forward(self, x):
            return super().forward(self.layer(x.transpose(0, 1)).transpose(0, 1))

    net = Transposed().double()
    with pytest.raises(ValueError, match=r"'layer' \(Identity\).*N = 3.*shape \(2, 3, 6, 5\)"):
        ClusteredLayerCAM(net, net.layer).attribute(images(), 0)


def test_a_layer_without_channels():
    layer = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        ClusteredLayerCAM(lambda x: layer(x.flatten(1).sum(1)), layer).attribute(images())
    with pytest.raises(ValueError, match="channel_dim=4 is no dimension of channels"):
        ClusteredLayerCAM(lambda x: layer(x).flatten(1).sum(1), layer, channel_dim=4).attribute(
            images()
        )


def test_a_layer_without_float_tensors():
    layer = torch.nn.Identity()
    with pytest.raises(ValueError, match="no floating-point tensor"):
        ClusteredLayerCAM(lambda x: layer(x.long()).flatten(1).sum(1), layer).attribute(images())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("scaling", ["density", "drop"])
def test_activations_that_are_not_finite(net, value, scaling):
    x = images()
    x[1, 0, 2, 2] = value
    clusterers = [3, lambda rows: torch.arange(len(rows)) % 2, torch.arange(6)]
    for clusterer in clusterers:
        cam = ClusteredLayerCAM(net, net.conv, clusterer=clusterer, scaling=scaling)
        with pytest.raises(ValueError, match=r"layer 'conv' \(Conv2d\) has NaN or infinite"):
            cam.attribute(x, 0)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda out: {"logits": out}, TypeError, "must return a tensor; got dict"),
        (lambda out: out.sum(), ValueError, r"one score for each of the 3 examples.*shape \(\)"),
        (lambda out: out.to(torch.complex64)[:, 0], TypeError, "real numbers; got torch.complex64"),
    ],
)
def test_forward_func_must_return_one_score_for_each_example(net, output, error, message):
    with pytest.raises(error, match=message):
        ClusteredLayerCAM(lambda x: output(net(x)), net.conv).attribute(images())


def test_one_score_may_be_a_column_or_for_one_example_a_scalar(net):
    expected = ClusteredLayerCAM(net, net.conv).attribute(images(), 0)
    column = ClusteredLayerCAM(lambda x: net(x)[:, :1], net.conv).attribute(images())
    torch.testing.assert_close(column, expected)
    scalar = ClusteredLayerCAM(lambda x: net(x)[0, 0], net.conv).attribute(images()[:1])
    torch.testing.assert_close(scalar, expected[:1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_baselines_that_are_not_finite(net, value):
    with pytest.raises(ValueError, match="layer_baselines must be finite"):
        ClusteredLayerCAM(net, net.conv).attribute(images(), 0, layer_baselines=value)


def test_scores_that_are_not_finite(net):
    with pytest.raises(ValueError, match="forward_func returned NaN or an infinite score"):
        ClusteredLayerCAM(lambda x: (net(x) - 1e9).log(), net.conv).attribute(images(), 0)


@pytest.mark.parametrize("target", [[0, 1, 7], [0, 1, -1], torch.tensor([0, 1, 7])])
def test_a_target_of_one_example_out_of_range(net, target):
    with pytest.raises(ValueError, match=r"target=.* does not fit the output of forward_func"):
        ClusteredLayerCAM(net, net.conv).attribute(images(), target)


def test_fit_on_what_is_no_batch(net):
    with pytest.raises(TypeError, match=r"inputs must be .* an iterable of batches; got int"):
        ClusteredLayerCAM(net, net.conv).fit(5)


def test_labels_are_known_after_fit_and_are_no_handle_on_it(net):
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    with pytest.raises(AttributeError, match="after fit"):
        _ = cam.labels_
    expected = cam.fit(images()).attribute(images(), 0)
    cam.labels_.zero_()
    assert torch.equal(cam.attribute(images(), 0), expected)
    with pytest.raises(AttributeError):
        cam.labels_ = torch.zeros(6)
