import pytest
import torch
from captum.attr import (
    LayerAttribution,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
)
from captum.log import log_usage
from captum.metrics import sensitivity_max
from nets import images
from torch import nn

from captum_clustered import (
    ClusteredLayerCAM,
    InputAttribution,
    MultiLayerAttribution,
    TestTimeAugmentation,
)


class Returns(LayerAttribution):
    """A made-up method with a given map; it keeps the arguments of its last call."""

    def __init__(self, values):
        super().__init__(None, nn.Identity())
        self.values = values

    @log_usage(part_of_slo=True)
    def attribute(self, inputs, **kwargs):
        self.given = kwargs
        return self.values


class TwoSizes(nn.Module):
    """A fine and, behind it, a coarse layer, each with a head."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.fine = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 3 * 4, 5), nn.Tanh(), nn.Linear(5, 3))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2
        self.double().eval()

    def forward(self, x):
        return self.head(self.coarse(self.fine(x)))


def returning(*maps):
    return [Returns(torch.tensor(values)) for values in maps]


X = torch.zeros(1, 1, 8, 8)
# Masses of 8 and 4, so each gets 6.
FIRST, SECOND = [[[[2.0, -2.0, 4.0, 0.0]]]], [[[[1.0, 1.0, 0.0, -2.0]]]]


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [("mean", [1.5, 0.0, 1.5, -1.5]), ("max", [1.5, 1.5, 3.0, 0.0])],
)
def test_maps_of_equal_mass_are_fused(fusion, expected):
    attr = MultiLayerAttribution(returning(FIRST, SECOND), fusion).attribute(X)
    assert attr.tolist() == [[[expected]]]
    shown = MultiLayerAttribution(returning(FIRST, SECOND), fusion).attribute(
        X, relu_attributions=True
    )
    assert shown.tolist() == [[[[max(value, 0) for value in expected]]]]


def test_the_unit_of_one_layer_does_not_matter_to_the_shape():
    fused = [
        MultiLayerAttribution(returning(FIRST, (scale * torch.tensor(SECOND)).tolist())).attribute(
            X
        )
        for scale in (1, 1000)
    ]
    torch.testing.assert_close(*(each / each.abs().sum() for each in fused))


def test_each_example_has_its_own_masses():
    both = [FIRST[0], [[[0.0, 0.0, 0.0, 8.0]]]], [SECOND[0], [[[16.0, 0.0, 0.0, 0.0]]]]
    attr = MultiLayerAttribution(returning(*both)).attribute(X.expand(2, 1, 8, 8))
    # Masses of 8 and 16: each gets 12.
    assert attr.tolist() == [[[[1.5, 0.0, 1.5, -1.5]]], [[[6.0, 0.0, 0.0, 6.0]]]]


@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_one_layer_keeps_its_map(fusion):
    attr = MultiLayerAttribution(returning(FIRST), fusion).attribute(X)
    assert attr.tolist() == FIRST


def test_a_map_of_zeros_stays_zero():
    zeros = [[[[0.0, 0.0, 0.0, 0.0]]]]
    # The mean mass of 8 and 0 is 4.
    attr = MultiLayerAttribution(returning(FIRST, zeros)).attribute(X)
    assert attr.tolist() == [[[[0.5, -0.5, 1.0, 0.0]]]]
    assert MultiLayerAttribution(returning(zeros, zeros)).attribute(X).tolist() == zeros


def test_the_grid_is_the_finest_in_each_dimension():
    rows, columns = returning([[[[1.0], [3.0]]]], [[[[5.0, 1.0]]]])
    attr = MultiLayerAttribution([rows, columns]).attribute(X)
    # On the grid of 2 x 2 the masses are 8 and 12, so each gets 10.
    expected = 1.25 * torch.tensor([[1, 1], [3, 3]]) + torch.tensor([[5, 1], [5, 1]]) * 10 / 12
    torch.testing.assert_close(attr[0, 0], expected / 2)


def test_coarse_maps_are_interpolated_bilinearly():
    coarse = torch.tensor([[[[0.0, 4.0]]]])
    attr = MultiLayerAttribution([Returns(coarse), Returns(torch.zeros(1, 1, 1, 4))]).attribute(X)
    # Scaled to half of the mass, then halved by the mean.
    assert (4 * attr).tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]


def test_channels_are_summed_before_they_are_fused():
    values = torch.tensor([[[[3.0, -2.0]], [[-1.0, 0.0]]]])
    assert MultiLayerAttribution([Returns((values,))]).attribute(X).tolist() == [[[[2.0, -2.0]]]]


def test_half_precision_does_not_overflow():
    values = torch.full((1, 4, 8, 8), 3e4, dtype=torch.half)
    attr = MultiLayerAttribution([Returns(values), Returns(values)]).attribute(X)
    assert attr.unique().tolist() == [4 * values.float()[0, 0, 0, 0].item()]


def by_hand(net, x, target):
    fine, coarse = (
        LayerGradCam(net, layer).attribute(x, target) for layer in (net.fine, net.coarse)
    )
    coarse = nn.functional.interpolate(coarse, (6, 8), mode="bilinear")
    masses = [each.abs().sum((2, 3), keepdim=True) for each in (fine, coarse)]
    return (fine / masses[0] + coarse / masses[1]) / 2 * (masses[0] + masses[1]) / 2


def test_layers_of_a_network():
    net, x = TwoSizes(), images(size=(6, 8))
    cam = MultiLayerAttribution([LayerGradCam(net, layer) for layer in (net.fine, net.coarse)])
    torch.testing.assert_close(cam.attribute(x, 1), by_hand(net, x, 1))
    assert not cam.attribute(x, 1).requires_grad
    assert cam.layer == [net.fine, net.coarse]
    assert not cam.has_convergence_delta()


@pytest.mark.parametrize(
    "method", [ClusteredLayerCAM, LayerGradCam, LayerGradientXActivation, LayerIntegratedGradients]
)
def test_it_composes_with_views_metrics_and_input_attribution(method):
    net, x = TwoSizes().requires_grad_(method is not LayerGradCam), images(size=(6, 8))
    # Where all parameters are frozen, gradients need inputs that require them.
    x.requires_grad_(method is LayerGradCam)
    layers = [net.fine, net.coarse]
    cam = MultiLayerAttribution([method(net, layer) for layer in layers], "max")
    plain, mirrored = cam.attribute(x, 1), cam.attribute(x.flip(-1), 1).flip(-1)
    assert plain.shape == (3, 1, 6, 8)
    if method is not LayerGradCam:
        averaged = TestTimeAugmentation(cam).attribute(x, 1)
        torch.testing.assert_close(averaged, (plain + mirrored) / 2)
    shaped = InputAttribution(cam)
    torch.testing.assert_close(shaped.attribute(x, 1), plain.expand_as(x))
    found = sensitivity_max(shaped.attribute, x.detach(), target=1, n_perturb_samples=2)
    assert found.shape == (3,)
    assert (found > 0).all()


def test_arguments_reach_each_method_and_only_if_given():
    maps = returning(FIRST, SECOND)
    cam = MultiLayerAttribution(maps)
    cam.attribute(X)
    assert [each.given for each in maps] == [{}, {}]
    cam.attribute(X, 3, 2.0, attribute_to_layer_input=True, n_steps=5)
    expected = {
        "target": 3,
        "additional_forward_args": 2.0,
        "attribute_to_layer_input": True,
        "n_steps": 5,
    }
    assert [each.given for each in maps] == [expected] * 2


def test_tokens_of_equal_number_are_fused_without_a_grid():
    tokens = [torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[4.0, 0.0]]])]
    attr = MultiLayerAttribution(list(map(Returns, tokens))).attribute(X)
    assert attr.tolist() == [[[2.5, 1.5]]]


def test_a_model_that_writes_into_its_input_shows_each_layer_the_same():
    class Writes(TwoSizes):
        def forward(self, x):
            return super().forward(x.sub_(1))

    x = images(size=(6, 8))
    before = x.clone()
    cams = [
        MultiLayerAttribution(
            [ClusteredLayerCAM(net, net.fine), ClusteredLayerCAM(net, net.coarse)]
        )
        for net in (Writes(), TwoSizes())
    ]
    torch.testing.assert_close(cams[0].attribute(x, 1), cams[1].attribute(x - 1, 1))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("attributions", "fusion", "error", "message"),
    [
        ([], "mean", ValueError, "attributions must have at least one LayerAttribution; got none"),
        ([nn.ReLU()], "mean", TypeError, "one for each layer; got ReLU"),
        (returning(FIRST), "sum", ValueError, "fusion='sum' must be 'mean' or 'max'"),
    ],
)
def test_wrong_arguments_are_named(attributions, fusion, error, message):
    with pytest.raises(error, match=message):
        MultiLayerAttribution(attributions, fusion)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([FIRST], {"return_clusters": True}, "return_clusters=True is not supported by Multi"),
        ([FIRST], {"return_convergence_delta": True}, "return_convergence_delta=True is not"),
        ([[[[1.0, 2.0]]], [[[1.0]]]], {}, r"got \(1, 1, 1\) and \(1, 1, 2\) for inputs of shape"),
    ],
)
def test_what_cannot_be_fused_is_refused(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiLayerAttribution(returning(*values)).attribute(X, **arguments)


def test_a_layer_of_two_tensors_is_refused():
    with pytest.raises(ValueError, match="must return one tensor; got 2 tensors"):
        MultiLayerAttribution([Returns((torch.ones(1), torch.ones(1)))]).attribute(X)
