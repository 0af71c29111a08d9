import pytest
import torch
from nets import GapLinear
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
