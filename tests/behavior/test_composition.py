"""With the rest of Captum."""

import pytest
import torch
from captum.attr import GuidedBackprop, GuidedGradCam, LayerAttribution, LayerGradCam, NoiseTunnel
from captum.metrics import sensitivity_max
from nets import MlpHead, images

from captum_clustered import ClusteredLayerCAM, InputAttribution
from captum_clustered.visualization import visualize_image_attr


@pytest.fixture
def net():
    net = MlpHead(channels=12).double()
    net.relu.inplace = False  # GuidedBackprop cannot do otherwise
    return net


@pytest.mark.parametrize("nt_type", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_tunnel_averages_over_noisy_inputs(net, nt_type):
    x, target, samples = images(), [0, 1, 2], 4
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3, scaling="density")
    arguments = {"target": target, "return_convergence_delta": True}
    torch.manual_seed(0)
    found, delta = NoiseTunnel(cam).attribute(
        x, nt_type=nt_type, nt_samples=samples, nt_samples_batch_size=2, stdevs=0.2, **arguments
    )
    assert delta.shape == (3 * samples,)

    torch.manual_seed(0)
    parts = []
    for _ in range(samples // 2):
        noisy = x.repeat_interleave(2, 0)
        noisy = noisy + torch.normal(0, torch.full_like(noisy, 0.2, dtype=torch.float32))
        part = cam.attribute(noisy, [0, 0, 1, 1, 2, 2])
        parts.append(part.view(3, 2, *part.shape[1:]))
    alone = torch.cat(parts, 1)
    expected = {
        "smoothgrad": alone.mean(1),
        "smoothgrad_sq": alone.square().mean(1),
        "vargrad": alone.var(1, correction=0),
    }[nt_type]
    torch.testing.assert_close(found, expected)


def test_noise_tunnel_cannot_average_clusters(net):
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    with pytest.raises(AttributeError):
        NoiseTunnel(cam).attribute(images(), nt_samples=2, target=0, return_clusters=True)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
def test_guided_backprop_times_the_map_as_in_guided_grad_cam(net):
    x = images().requires_grad_()
    guided = GuidedGradCam(net, net.conv)
    guided.grad_cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    found = guided.attribute(x, target=2)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    heatmap = cam.attribute(x, 2, relu_attributions=True)
    upsampled = LayerAttribution.interpolate(heatmap, (6, 5), "nearest")
    expected = GuidedBackprop(net).attribute(x, target=2) * upsampled
    torch.testing.assert_close(found, expected)
    assert found.abs().sum() > 0


@pytest.mark.parametrize("sign", ["all", "positive", "absolute_value"])
def test_visualization_of_attributions_and_of_maps_without_any(net, sign):
    x = images(n=1, size=(12, 10))
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    image = (x[0] - x.min()).permute(1, 2, 0).numpy()[..., [0, 0, 1]]
    full = InputAttribution(cam).attribute(x, 0)[0].permute(1, 2, 0).numpy()
    for heatmap in (full, 0 * full):
        figure, axis = visualize_image_attr(
            heatmap, image / image.max(), "blended_heat_map", sign, use_pyplot=False
        )
        figure.draw_without_rendering()
        assert axis.images


@pytest.mark.parametrize("method", [ClusteredLayerCAM, LayerGradCam])
def test_sensitivity_max_is_wrong_without_the_adapter_and_right_with_it(net, method):
    def shift(inputs, radius):
        return inputs + radius

    attribution = method(net, net.conv)
    arguments = {"perturb_func": shift, "n_perturb_samples": 4, "target": 0}
    x = images(n=1)
    wrong = sensitivity_max(attribution.attribute, x, **arguments)
    right = sensitivity_max(InputAttribution(attribution).attribute, x, **arguments)
    before, after = attribution.attribute(x, 0), attribution.attribute(x + 0.02, 0)
    expected = (after - before).norm() / before.norm()
    torch.testing.assert_close(right, expected.view(1))
    torch.testing.assert_close(wrong, 2 * expected.view(1))  # by sqrt(4 samples)
