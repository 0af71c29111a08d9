"""Arguments that no metric accepts, and inputs that a forward_func changes."""

import pytest
import torch
from toys import batch, classifier

from captum_clustered import metrics

MASKS = torch.zeros(3, 6, 5)
MASKS[:, 2:4, 2:4] = 1
NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("road", {"shares": ["a"]}, TypeError, r"shares=\['a'\] must be numbers between 0 and 1"),
        ("road", {"shares": "ab"}, TypeError, r"shares=\['a', 'b'\] must be numbers"),
        ("road", {"noise": "a"}, ValueError, "noise='a' must be a standard deviation"),
        ("road", {"order": ["x"]}, ValueError, r"order=\['x'\] must be 'combined'"),
        ("road", {"seed": "a"}, ValueError, "seed='a' must be an int"),
        ("road", {"seed": 2**70}, ValueError, "seed=.* must be an int of 64 bits"),
        ("average_drop", {"baseline": NAN}, ValueError, "baseline=nan must be finite"),
        ("average_drop", {"baseline": torch.tensor(NAN)}, ValueError, "baseline must be finite"),
        ("average_drop", {"target": 7}, ValueError, "target must be a class from 0 to 2.*got 7"),
        ("insertion", {"target": [0, 9, 1]}, ValueError, "target must be a class .*got 9"),
        ("deletion", {"target": torch.tensor([0, 1, 3])}, ValueError, "target must .*got 3"),
    ],
)
def test_of_faithfulness(name, options, error, message):
    x, maps = batch()
    with pytest.raises(error, match=message):
        getattr(metrics, name)(classifier(), x, maps, **{"target": 1} | options)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("iou", {"threshold": "a"}, ValueError, "threshold='a' must be at least 0"),
        ("energy_shares", {"ring": "a"}, ValueError, "ring='a' must be a share"),
    ],
)
def test_of_place(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(metrics, name)(batch()[1], MASKS, **options)


def test_complex_maps():
    x, maps = batch()
    with pytest.raises(TypeError, match="attributions must be real"):
        metrics.complexity(maps.to(torch.complex64), x)


def test_half_precision_is_promoted_before_channels_are_summed():
    maps = torch.full((1, 2, 4, 4), 4e4, dtype=torch.float16)
    maps[:, :, 0, 0] = 0
    assert metrics.complexity(maps, torch.zeros(1, 3, 4, 4)).item() == pytest.approx(15 / 16)


@pytest.mark.parametrize(
    "name", ["average_drop", "average_gain", "insertion", "deletion", "road", "adcc"]
)
def test_a_forward_func_that_works_in_place(name):
    x, maps = batch()
    before, net = x.clone(), classifier()

    def in_place(x):
        return net(x.mul_(0.5))

    def out_of_place(x):
        return net(x * 0.5)

    first = (lambda x, target=None: x.sum(1, keepdim=True),) if name == "adcc" else ()
    found, expected = (
        getattr(metrics, name)(*first, forward, x, maps, target=1)
        for forward in (in_place, out_of_place)
    )
    assert torch.equal(x, before)
    assert torch.equal(found, expected)
