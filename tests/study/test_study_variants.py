import torch
from nets import GapLinear, Interacting, images
from study import variants

from captum_clustered import ClusteredLayerCAM


def test_groups_that_speak_against_the_class_are_left_out():
    # Score 1 is -a: only the first channel matters, and it speaks against.
    net, labels = Interacting(), torch.tensor([0, 1])
    x = torch.rand(2, 2, 3, 4) + 0.5
    method = variants.PositiveGroups(net, net.layer, clusterer=labels)
    assert not method.attribute(x, target=1).any()
    # Score 0 is 4 a + 2 b + 2 a b: both speak for it.
    positive = method.attribute(x, target=0)
    expected = ClusteredLayerCAM(net, net.layer, clusterer=labels).attribute(x, target=0)
    torch.testing.assert_close(positive, expected)


def test_centred_rows_are_grouped_by_shape_and_not_by_level():
    ramp = torch.arange(6.0)
    rows = torch.stack([ramp, ramp + 100, -ramp, 50 - ramp])
    labels = variants.Centred(2)(rows).tolist()
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_raw_rows_are_grouped_by_level_and_not_by_shape():
    # Two levels of two shapes each: maps of unit length would be grouped by shape.
    shape = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    x = torch.stack([shape, shape.T.flip(0), 100 * shape, 100 * shape.flip(0)])[None]
    net = GapLinear(channels=4)
    net.conv = torch.nn.Identity()
    expected = ClusteredLayerCAM(net, net.conv, clusterer=torch.tensor([0, 0, 1, 1]))
    found = variants.RawRows(net, net.conv, n_groups=2).attribute(x, torch.tensor([1]))
    torch.testing.assert_close(found, expected.attribute(x, 1))


def test_soft_groups_far_apart_are_those_of_clustered_cam():
    # Maps of two shapes with nothing in common, all but alike within each.
    x = images(2, 4, (3, 4)).abs().float() * 1e-3
    x[:, :2, :, :2] += 1
    x[:, 2:, :, 2:] += 1
    net = Interacting()
    net.forward = lambda inputs: torch.stack(
        [(m := net.layer(inputs).mean((2, 3)))[:, 0] * m[:, 2] + m[:, 1], -m[:, 3]], 1
    )
    labels = torch.tensor([0, 0, 1, 1])
    expected = ClusteredLayerCAM(net, net.layer, clusterer=labels).attribute(x, 0)
    found = variants.SoftGroups(net, net.layer, n_groups=2).attribute(x, torch.tensor([0, 0]))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_temperature_softens_groups():
    angles = torch.linspace(0, 1.5, 7)
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    hardest = []
    for temperature in (1, 0.05):
        method = variants.SoftGroups(None, None, n_groups=2, temperature=temperature)
        shares = method._shares(rows)
        torch.testing.assert_close(shares.sum(0), torch.ones(7))
        hardest.append(shares.amax(0).min())
    assert hardest[0] < hardest[1]
