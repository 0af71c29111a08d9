import pytest
import torch
from nets import GapLinear, MlpHead, TwoTensors, images
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from torch.utils.data import DataLoader, TensorDataset

from captum_clustered import ClusteredLayerCAM
from captum_clustered._clustering.kmeans import kmeans


def test_fit_learns_the_clusters_that_all_images_share():
    net, x = MlpHead(channels=12).double(), images(n=8)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4)
    assert cam.fit(x) is cam
    maps = net.conv(net.trunk(x)).detach()
    long = torch.nn.functional.normalize(maps.transpose(0, 1).flatten(1), dim=1)
    expected = kmeans(long[None], 4, seeds=[0], n_init=10)[0, 0]
    assert cam.labels_.shape == (12,)
    assert adjusted_rand_score(cam.labels_, expected) == 1


def test_attribute_uses_the_fitted_clusters():
    net, x = MlpHead(channels=12).double(), images(n=8)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4, n_clusterings=3).fit(x)
    attribution, clusters = cam.attribute(x[:2], 0, return_clusters=True)
    assert torch.equal(clusters.labels, cam.labels_.expand(2, -1))
    fixed = ClusteredLayerCAM(net, net.conv, clusterer=cam.labels_)
    assert torch.equal(attribution, fixed.attribute(x[:2], 0))


def test_a_stream_of_batches_equals_one_tensor():
    net, x = MlpHead(channels=12).double(), images(n=8)
    whole = ClusteredLayerCAM(net, net.conv, clusterer=4).fit(x).labels_
    loader = DataLoader(TensorDataset(x, torch.arange(8)), batch_size=3)
    assert isinstance(next(iter(loader)), list)
    streams = [loader, [x[:5], x[5:]], iter(x.split(2)), [(x[:4],), (x[4:],)]]
    for stream in streams:
        labels = ClusteredLayerCAM(net, net.conv, clusterer=4).fit(stream).labels_
        assert torch.equal(labels, whole)


def test_images_may_differ_in_size_between_batches():
    net = GapLinear().double()
    batches = [images(size=(6, 5)), images(size=(9, 4))]
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3).fit(batches)
    assert cam.labels_.shape == (6,)


def test_fit_with_an_estimator_and_with_the_layers_input():
    net, x = MlpHead().double(), images(n=8)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=AgglomerativeClustering(2))
    cam.fit(x, attribute_to_layer_input=True)
    assert cam.labels_.shape == (4,)
    assert cam.attribute(x, 0, attribute_to_layer_input=True).shape == (8, 1, 6, 5)
    with pytest.raises(ValueError, match="attribute_to_layer_input=False, but fit"):
        cam.attribute(x, 0)


def test_fit_of_a_tuple_layer_gives_a_tuple():
    net, x = TwoTensors(), images(channels=6, size=(4, 4))
    cam = ClusteredLayerCAM(net, net.split, clusterer=2).fit(x)
    assert [len(labels) for labels in cam.labels_] == [2, 4]
    assert len(cam.attribute(x)) == 2


def test_labels_survive_saving(tmp_path):
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3).fit(x)
    torch.save(cam.labels_, tmp_path / "clusters.pt")
    loaded = ClusteredLayerCAM(net, net.conv, clusterer=torch.load(tmp_path / "clusters.pt"))
    assert torch.equal(loaded.attribute(x, 0), cam.attribute(x, 0))


def test_another_number_of_channels_is_refused():
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3).fit(x)
    cam.layer = net.trunk[0]
    with pytest.raises(ValueError, match="6 channels, but the layer has 4"):
        cam.attribute(x, 0)


def test_additional_forward_args_are_passed_on():
    net, x = MlpHead().double(), images()
    seen = []

    def forward(x, scale):
        seen.append(scale)
        return net(x * scale)

    ClusteredLayerCAM(forward, net.conv, clusterer=3).fit(x, additional_forward_args=2.0)
    assert seen == [2.0]


def test_mistakes_are_named():
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    with pytest.raises(ValueError, match="at least one batch"):
        cam.fit([])
    with pytest.raises(TypeError, match="inputs must be a Tensor"):
        cam.fit([{"image": x}])
    for clusterer, given in ((torch.arange(6), "fixed labels"), (None, "None")):
        with pytest.raises(ValueError, match=f"clusterer is {given}, so fit"):
            ClusteredLayerCAM(net, net.conv, clusterer=clusterer).fit(x)
    with pytest.raises(ValueError, match="not reached"):
        ClusteredLayerCAM(net, torch.nn.ReLU(), clusterer=3).fit(x)
    with pytest.raises(ValueError, match="NaN"):
        cam.fit(x * float("nan"))

    layer = torch.nn.Identity()
    changing = ClusteredLayerCAM(lambda x: layer(x).flatten(1).sum(1), layer, clusterer=2)
    with pytest.raises(ValueError, match="3 channels on one batch and 2"):
        changing.fit([images(channels=2), images(channels=3)])
    assert not hasattr(changing, "labels_")


def test_a_tuple_is_one_batch_of_several_inputs():
    net, x = GapLinear(), images(n=8, dtype=torch.float32)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=2)
    with pytest.raises(ValueError, match=r"a tuple of 4 tensors: one batch of 4 inputs .* a list"):
        cam.fit(x.split(2))
    assert torch.equal(cam.fit(list(x.split(2))).labels_, cam.fit(x).labels_)
