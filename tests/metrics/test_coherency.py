import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from nets import GapLinear
from scipy import stats
from toys import batch, fake_cam

from captum_clustered import ClusteredLayerCAM
from captum_clustered.metrics import coherency


def returning(*values):
    maps = torch.tensor(values)
    return lambda inputs: maps


def test_coherency_by_hand():
    x = torch.ones(1, 3, 1, 4)
    maps = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]])
    for again, expected in (
        ([0.0, 2.0, 4.0, 6.0], 1),
        ([3.0, 2.0, 1.0, 0.0], 0),
        ([1.0, 0.0, 0.0, 1.0], 0.5),
        ([0.0, 0.0, 1.0, 1.0], (1 + 2 / 5**0.5) / 2),
    ):
        found = coherency(returning([[again]]), x, maps)
        assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_have_one_half(value):
    x, maps = batch()
    constant = torch.full_like(maps, value)
    assert (coherency(lambda inputs: maps, x, constant) == 0.5).all()
    assert (coherency(lambda inputs: constant, x, maps) == 0.5).all()
    assert (coherency(lambda inputs: constant, x, constant) == 0.5).all()


def test_the_new_map_is_that_of_the_masked_image():
    x = torch.full((1, 2, 2, 2), 3.0)
    maps = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]]])

    def explain(inputs, target, word):
        assert (target, word) == (1, "word")
        assert inputs.tolist() == [[[[3.0, 1.5], [1.5, 0.0]]] * 2]
        return maps

    assert coherency(explain, x, maps, target=1, word="word").item() == pytest.approx(1)


@pytest.mark.parametrize("method", [LayerGradCam, ClusteredLayerCAM])
def test_equals_scipy_with_layer_attributions(method):
    net, (x, _) = GapLinear().double(), batch()
    cam = method(net, net.conv)
    maps = cam.attribute(x, target=1).detach()
    found = coherency(cam.attribute, x, maps, target=1)
    assert not found.requires_grad

    def normalized(maps):
        maps = maps.detach().relu()
        low, high = maps.amin((2, 3), True), maps.amax((2, 3), True)
        return (maps - low) / (high - low)

    again = cam.attribute(normalized(maps) * x, target=1)
    pairs = zip(normalized(maps).flatten(1), normalized(again).flatten(1), strict=True)
    expected = [(stats.pearsonr(a, b).statistic + 1) / 2 for a, b in pairs]
    np.testing.assert_allclose(found, expected)


def test_a_map_that_ignores_the_image_is_coherent():
    x = torch.rand(2, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(coherency(fake_cam, x, fake_cam(x)), torch.ones(2))


def test_mistakes_name_the_argument():
    x, maps = batch()
    with pytest.raises(TypeError, match="explanation_func returns must be one Tensor; got tuple"):
        coherency(lambda inputs: (maps,), x, maps)
    with pytest.raises(ValueError, match=r"explanation_func returns of shape .* do not fit inputs"):
        coherency(lambda inputs: maps[:2], x, maps)
    with pytest.raises(TypeError, match="inputs must be of a floating-point dtype"):
        coherency(lambda inputs: maps, x.long(), maps)
