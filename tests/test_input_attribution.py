import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation, NoiseTunnel, Saliency
from captum.metrics import infidelity, sensitivity_max
from nets import GapLinear, MlpHead, TwoTensors, images

from captum_clustered import ClusteredLayerCAM, InputAttribution


def methods(net):
    return [
        ClusteredLayerCAM(net, net.conv, clusterer=3),
        LayerGradCam(net, net.conv),
        LayerGradientXActivation(net, net.conv),
    ]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_any_layer_attribution_takes_the_inputs_shape(index):
    net, x = MlpHead().double(), images(size=(6, 4))
    net.conv.stride = 2
    method = methods(net)[index]
    attribution = InputAttribution(method).attribute(x, target=1)
    layer = method.attribute(x, target=1).sum(1, keepdim=True)
    expected = torch.nn.functional.interpolate(layer, (6, 4), mode="bilinear")
    assert attribution.shape == x.shape
    assert attribution.is_contiguous()
    torch.testing.assert_close(attribution, expected.expand_as(x))


@pytest.mark.parametrize(("dims", "mode"), [(1, "linear"), (2, "bilinear"), (3, "trilinear")])
def test_interpolation_follows_the_number_of_dimensions(dims, mode):
    net = GapLinear(dims=dims).double()
    net.conv.stride = (2,) * dims
    x = images(size=(7, 6, 5)[:dims])
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3)
    for given, used in ((None, mode), ("nearest", "nearest")):
        attribution = InputAttribution(cam, interpolate_mode=given).attribute(x, 0)
        layer = cam.attribute(x, 0)
        expected = torch.nn.functional.interpolate(layer, x.shape[2:], mode=used)
        torch.testing.assert_close(attribution, expected.expand_as(x))


def test_a_tuple_of_inputs_gives_a_tuple():
    net = MlpHead().double()

    def forward(x, y):
        return net(x) + y.flatten(1).sum(1, keepdim=True)

    cam = ClusteredLayerCAM(forward, net.conv, clusterer=3)
    x, y = images(), images(channels=1, size=(12, 9))
    attribution = InputAttribution(cam).attribute((x, y), target=0)
    assert isinstance(attribution, tuple)
    assert [a.shape for a in attribution] == [x.shape, y.shape]
    single = InputAttribution(cam).attribute((x, y), 0)[0]
    assert torch.equal(single, attribution[0])
    one = InputAttribution(ClusteredLayerCAM(net, net.conv)).attribute((x,), target=0)
    assert isinstance(one, tuple)
    assert len(one) == 1


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("n", [1, 3])
def test_sensitivity_max_of_a_layer_attribution_is_right(index, n):
    net, x = MlpHead().double(), images(n=n)
    method = methods(net)[index]
    adapter = InputAttribution(method)

    def shift(inputs, radius):
        return (
            tuple(tensor + radius for tensor in inputs)
            if isinstance(inputs, tuple)
            else (inputs + radius)
        )

    before = adapter.attribute(x, target=0)
    after = adapter.attribute(x + 0.02, target=0)
    expected = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    found = sensitivity_max(adapter.attribute, x, perturb_func=shift, n_perturb_samples=1, target=0)
    torch.testing.assert_close(found, expected)


def test_what_the_adapter_is_for_captums_own_call_is_wrong():
    # If Captum mends this, the advice in the README is out of date.
    net = MlpHead().double()
    method, adapter = LayerGradCam(net, net.conv), InputAttribution(LayerGradCam(net, net.conv))

    def shift(inputs, radius):
        return inputs + radius

    x = images(n=1)
    arguments = {"perturb_func": shift, "n_perturb_samples": 4, "target": 0}
    wrong = sensitivity_max(method.attribute, x, **arguments)
    right = sensitivity_max(adapter.attribute, x, **arguments)
    # The four samples are compared all with all: too much by a factor of sqrt(4).
    torch.testing.assert_close(wrong, 2 * right)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        sensitivity_max(method.attribute, images(n=2), **arguments)


def test_infidelity_accepts_the_attribution():
    net, x = MlpHead().double(), images()
    attribution = InputAttribution(ClusteredLayerCAM(net, net.conv)).attribute(x, target=0)

    def perturb(inputs):
        return torch.full_like(inputs, 0.1), inputs - 0.1

    value = infidelity(net, perturb, x, attribution, target=0, normalize=True)
    assert value.shape == (3,)
    assert value.isfinite().all()


def test_delta_is_handed_on_and_noise_tunnel_works():
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3, scaling="density")
    adapter = InputAttribution(cam)
    assert adapter.has_convergence_delta()
    assert adapter.multiplies_by_inputs
    attribution, delta = adapter.attribute(x, 0, return_convergence_delta=True)
    expected = cam.attribute(x, 0, return_convergence_delta=True)[1]
    assert torch.equal(delta, expected)
    smooth, deltas = NoiseTunnel(adapter).attribute(
        x, nt_samples=2, stdevs=0.0, target=0, return_convergence_delta=True
    )
    torch.testing.assert_close(smooth, attribution)
    torch.testing.assert_close(deltas, delta.repeat_interleave(2))


def test_mistakes_are_named():
    net, x = MlpHead().double(), images()
    with pytest.raises(TypeError, match="layer_attribution must be a LayerAttribution"):
        InputAttribution(Saliency(net))
    adapter = InputAttribution(ClusteredLayerCAM(net, net.conv))
    with pytest.raises(ValueError, match="return_clusters"):
        adapter.attribute(x, 0, return_clusters=True)
    with pytest.raises(ValueError, match="cannot be interpolated"):
        InputAttribution(ClusteredLayerCAM(net, net.head[1])).attribute(x, 0)
    two = TwoTensors()
    with pytest.raises(ValueError, match="2 tensors"):
        InputAttribution(ClusteredLayerCAM(two, two.split, clusterer=2)).attribute(
            images(channels=6, size=(4, 4))
        )
