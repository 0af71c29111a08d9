import torch
from nets import GapLinear, Interacting, images
from study import variants

from captum_clustered import ClusteredLayerCAM


def test_clusters_that_speak_against_the_class_are_left_out():
    # Score 1 is -a: only the first channel matters, and it speaks against.
    net, labels = Interacting(), torch.tensor([0, 1])
    x = torch.rand(2, 2, 3, 4) + 0.5
    method = variants.PositiveClusters(net, net.layer, clusterer=labels)
    assert not method.attribute(x, target=1).any()
    # Score 0 is 4 a + 2 b + 2 a b: both speak for it.
    positive = method.attribute(x, target=0)
    expected = ClusteredLayerCAM(net, net.layer, clusterer=labels).attribute(x, target=0)
    torch.testing.assert_close(positive, expected)


def test_powers_one_and_zero_are_the_two_scalings():
    net, x = GapLinear(channels=8).double(), images()
    options = {"clusterer": torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])}
    arguments = {"target": 1}

    def attribution(method, **kwargs):
        return method(net, net.relu, **options, **kwargs).attribute(x, **arguments)

    by_power = [attribution(variants.PowerOfActivity, power=p) for p in (1, 0, 0.5)]
    drop, density = (attribution(ClusteredLayerCAM, scaling=s) for s in ("drop", "density"))
    torch.testing.assert_close(by_power[0], drop)
    torch.testing.assert_close(by_power[1], density * x[0, 0].numel())
    assert not torch.allclose(by_power[2], drop)
