import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from nets import GapLinear
from scipy import stats
from toys import batch, brightness, fake_cam

from captum_clustered import ClusteredLayerCAM
from captum_clustered.metrics import adcc, average_drop, coherency, complexity
from captum_clustered.scores import probability


def test_adcc_by_hand():
    x = torch.full((1, 1, 2, 2), 0.8)
    maps = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]]])
    # Coherent; complexity and drop are a half.
    found = adcc(lambda inputs, target: maps, brightness, x, maps, target=0)
    assert found.item() == pytest.approx(3 / (1 + 2 + 2))


def test_it_is_the_harmonic_mean_of_the_three():
    net, (x, _) = GapLinear().double(), batch()
    cam = ClusteredLayerCAM(net, net.conv)
    maps = cam.attribute(x, target=[0, 1, 2])
    found = adcc(cam.attribute, probability(net), x, maps, target=[0, 1, 2])
    terms = (
        coherency(cam.attribute, x, maps, target=[0, 1, 2]),
        1 - complexity(maps, x),
        1 - average_drop(probability(net), x, maps, [0, 1, 2]) / 100,
    )
    torch.testing.assert_close(found, 3 / sum(1 / term for term in terms))
    assert ((found > 0) & (found < 1)).all()


def test_zero_if_any_term_is():
    x = torch.full((1, 1, 1, 2), 0.5)
    maps = torch.tensor([[[[0.0, 1.0]]]])
    opposite = maps.flip(3)
    assert adcc(lambda inputs, target: opposite, brightness, x, maps, 0).item() == 0
    # An all-zero map leaves nothing of the probability, and a constant one is one.
    for value in (0.0, 1.0):
        constant = torch.full_like(maps, value)
        assert adcc(lambda inputs, target: maps, brightness, x, constant, 0).item() == 0


def test_a_constant_map_where_something_is_left():
    x, maps = torch.full((1, 1, 1, 2), 0.5), torch.zeros(1, 1, 1, 2)
    found = adcc(lambda inputs, target: maps, lambda x: 1 - brightness(x), x, maps, 0)
    assert found.item() == pytest.approx(3 / (2 + 1 + 1))


def test_a_fake_cam_does_not_win():
    x = torch.full((1, 1, 16, 16), 0.1)
    x[..., 4:9, 4:9] = 1
    true_map = (x == 1).float()
    fake = adcc(lambda inputs, target: fake_cam(inputs), brightness, x, fake_cam(x), 0)
    true = adcc(lambda inputs, target: true_map, brightness, x, true_map, 0)
    assert fake < 0.02
    assert true > 0.7


def test_what_explanation_func_is_given():
    x, maps = batch()
    given = []

    def explain(inputs, **kwargs):
        given.append(kwargs)
        return maps

    def forward(x, extra=0.0):
        return torch.full((len(x),), 0.5)

    adcc(explain, forward, x, maps)
    adcc(explain, lambda x: forward(x)[:, None], x, maps, 0, n_clusterings=2)
    adcc(explain, forward, x, maps, None, 0.25)
    assert given == [{}, {"target": 0, "n_clusterings": 2}, {"additional_forward_args": 0.25}]


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


def test_complexity_by_hand():
    maps = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]], [[[-4.0, 2.0], [1.0, -1.0]]]])
    assert complexity(maps, torch.zeros(2, 3, 2, 2)).tolist() == [0.5, 0.375]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_have_none(value):
    assert complexity(torch.full((2, 1, 2, 2), value), torch.zeros(2, 3, 4, 4)).tolist() == [0, 0]


def test_a_fake_cam_is_as_complex_as_can_be():
    x = torch.zeros(1, 1, 10, 10)
    assert complexity(fake_cam(x), x).item() == pytest.approx(0.99)


def test_equals_pytorch_grad_cam():
    peer = pytest.importorskip(
        "pytorch_grad_cam.metrics.arcc",
        reason="pytorch-grad-cam is an optional peer",
        exc_type=ImportError,
    )
    x, maps = batch()
    maps = (maps - maps.amin((2, 3), True)) / (maps.amax((2, 3), True) - maps.amin((2, 3), True))
    np.testing.assert_allclose(complexity(maps, x), peer.Complexity()(maps[:, 0].numpy()))
