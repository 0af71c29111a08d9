import pytest
import torch
from nets import GapLinear, Interacting, images
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
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


def test_centered_rows_are_clustered_by_shape_and_not_by_level():
    ramp = torch.arange(6.0)
    rows = torch.stack([ramp, ramp + 100, -ramp, 50 - ramp])
    labels = variants.Centered(2)(rows).tolist()
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_raw_rows_are_clustered_by_level_and_not_by_shape():
    # Two levels of two shapes each: maps of unit length would be clustered by shape.
    shape = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    x = torch.stack([shape, shape.T.flip(0), 100 * shape, 100 * shape.flip(0)])[None]
    net = GapLinear(channels=4)
    net.conv = torch.nn.Identity()
    expected = ClusteredLayerCAM(net, net.conv, clusterer=torch.tensor([0, 0, 1, 1]))
    found = variants.RawRows(net, net.conv, n_clusters=2).attribute(x, torch.tensor([1]))
    torch.testing.assert_close(found, expected.attribute(x, 1))


def test_soft_clusters_far_apart_are_those_of_clustered_cam():
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
    found = variants.SoftClusters(net, net.layer, n_clusters=2).attribute(x, torch.tensor([0, 0]))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_temperature_softens_clusters():
    angles = torch.linspace(0, 1.5, 7)
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    hardest = []
    for temperature in (1, 0.05):
        method = variants.SoftClusters(None, None, n_clusters=2, temperature=temperature)
        shares = method._shares(rows)
        torch.testing.assert_close(shares.sum(0), torch.ones(7))
        hardest.append(shares.amax(0).min())
    assert hardest[0] < hardest[1]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_soft_clusters_of_an_image_do_not_depend_on_the_batch(n):
    # As many images as clusters, too: then a mix-up of the two raises nothing.
    net, x, target = GapLinear().double(), images(), torch.tensor([0, 1, 2])
    method = variants.SoftClusters(net, net.relu, n_clusters=2)
    alone = [method.attribute(x[i : i + 1], target[i : i + 1]) for i in range(n)]
    torch.testing.assert_close(method.attribute(x[:n], target[:n]), torch.cat(alone))


def test_soft_clusters_spread_their_drop_over_where_they_are():
    net, x, target = GapLinear().double(), images(n=2), torch.tensor([2, 0])
    maps = net.relu(net.conv(x)).detach()
    rows = torch.nn.functional.normalize(maps.flatten(2), dim=2)
    expected = torch.zeros(2, 1, 6, 5, dtype=x.dtype)
    for i in range(2):
        found = KMeans(2, n_init=1, random_state=0).fit(rows[i].numpy())
        square = torch.tensor(cdist(rows[i].numpy(), found.cluster_centers_, "sqeuclidean"))
        weight = (-square / square.min(1).values.mean()).exp()
        for share in (weight / weight.sum(1, keepdim=True)).T:
            drop = net.fc((share[:, None, None] * maps[i]).mean((1, 2))) - net.fc.bias
            cluster = (share[:, None, None] * maps[i]).sum(0)
            expected[i, 0] += (drop[target[i]] / cluster.sum() * cluster).detach()
    method = variants.SoftClusters(net, net.relu, n_clusters=2, temperature=1)
    found = method.attribute(x, target)
    torch.testing.assert_close(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "make",
    [
        variants.RawRows,
        variants.SoftClusters,
        lambda net, layer: ClusteredLayerCAM(net, layer, clusterer=variants.Centered(10)),
    ],
)
def test_variants_run_where_the_model_is(make):
    net, x, target = GapLinear(channels=20), images(dtype=torch.float32), torch.tensor([0, 1, 2])
    expected = make(net, net.relu).attribute(x, target)
    net.cuda()
    found = make(net, net.relu).attribute(x.cuda(), target.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)
