"""Inputs of a subclass of Tensor, as MONAI's transforms yield them."""

import pytest
import torch
from captum.attr import LayerGradCam
from nets import GapLinear, MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM


class Scan(torch.Tensor):
    """A tensor with spacing. Its new_empty takes the size as one tuple, as MetaTensor's does."""

    def new_empty(self, size, **arguments):
        return torch.Tensor.new_empty(self, size=size, **arguments)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs)
        if isinstance(found, Scan):
            owners = [arg for arg in args if isinstance(arg, Scan) and hasattr(arg, "spacing")]
            if owners:
                found.spacing = owners[0].spacing
        return found


def scan(**arguments):
    made = images(**arguments).as_subclass(Scan)
    made.spacing = 0.4
    return made


@pytest.mark.parametrize("perturbations_per_eval", [None, 1])
@pytest.mark.parametrize("attr_dim_summation", [True, False])
def test_the_attribution_is_what_layer_gradcam_returns(attr_dim_summation, perturbations_per_eval):
    net = MlpHead().double()
    settings = {"target": 1, "attr_dim_summation": attr_dim_summation}
    found, clusters = ClusteredLayerCAM(net, net.trunk, clusterer=3).attribute(
        scan(), **settings, perturbations_per_eval=perturbations_per_eval, return_clusters=True
    )
    expected = ClusteredLayerCAM(net, net.trunk, clusterer=3).attribute(images(), **settings)
    gradcam = LayerGradCam(net, net.trunk).attribute(scan(), **settings)
    assert type(found) is type(gradcam) is Scan
    assert found.spacing == 0.4
    assert found.is_contiguous()
    assert not found.requires_grad
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)
    tensors = (clusters.labels, clusters.importances, clusters.maps, clusters.score)
    assert [type(tensor) for tensor in tensors] == [torch.Tensor] * 4


@pytest.mark.parametrize("clusterer", [3, lambda features: features.new_empty(6).zero_().long()])
def test_every_clusterer_gets_a_plain_tensor(clusterer):
    net = GapLinear().double()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=clusterer)
    torch.testing.assert_close(
        cam.attribute(scan(), 1).as_subclass(torch.Tensor), cam.attribute(images(), 1)
    )


def test_fit_learns_the_same_clusters():
    net = GapLinear().double()
    plain = ClusteredLayerCAM(net, net.relu, clusterer=3).fit(images())
    assert ClusteredLayerCAM(net, net.relu, clusterer=3).fit([scan()]).labels_.equal(plain.labels_)


def test_baselines_and_labels_may_be_of_a_subclass():
    net, x = GapLinear().double(), images()
    labels, baseline = torch.tensor([0, 1, 2, 0, 1, 2]), images(channels=6)

    def attribution(convert):
        cam = ClusteredLayerCAM(net, net.relu, clusterer=convert(labels))
        return cam.attribute(x, 1, layer_baselines=convert(baseline))

    found = attribution(lambda tensor: tensor.as_subclass(Scan))
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, attribution(torch.clone))


class ReadsSpacing(GapLinear):
    """Needs what the subclass adds behind the layer."""

    def forward(self, x):
        maps = self.relu(self.conv(x))
        return self.fc(maps.flatten(2).mean(2)) * maps.spacing


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
def test_a_model_may_use_what_the_subclass_adds_behind_the_layer():
    class Plain(GapLinear):
        def forward(self, x):
            return super().forward(x) * 0.4

    def attribution(net, x):
        return ClusteredLayerCAM(net.double(), net.relu, clusterer=3).attribute(x, 1)

    found = attribution(ReadsSpacing(), scan())
    torch.testing.assert_close(found.as_subclass(torch.Tensor), attribution(Plain(), images()))


def test_a_layer_that_returns_a_parameter_gives_a_plain_attribution():
    class Bank(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.Parameter(images(n=1, channels=4))

        def forward(self, x):
            return self.maps

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.bank = Bank()

        def forward(self, x):
            return (self.bank(x) * x.mean()).flatten(1).sum(1)

    net = Net().eval()
    found = ClusteredLayerCAM(net, net.bank, clusterer=2).attribute(images(n=1))
    assert type(found) is torch.Tensor
    assert not found.requires_grad
