import functools
import hashlib

import pytest
import torch
from captum.attr import LayerGradCam
from nets import MlpHead

from captum_clustered import scores
from captum_clustered._storage.fingerprints import describe, hash_module, hash_names, hash_tensor
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.multi_layer_attribution import MultiLayerAttribution
from captum_clustered.test_time_augmentation import TestTimeAugmentation


def test_tensors_are_told_apart_by_value_shape_and_dtype():
    zeros = torch.zeros(4)
    different = [zeros, zeros.view(2, 2), zeros.int(), torch.tensor([0.0, 0, 0, 1]), zeros[:0]]
    assert len({hash_tensor(tensor) for tensor in different}) == len(different)
    matrix = torch.arange(6).view(2, 3).T
    assert hash_tensor(matrix) == hash_tensor(matrix.contiguous())


def test_the_hash_of_a_tensor_is_the_same_in_every_version():
    # Seeds of the control "random" are made from it.
    expected = hashlib.blake2b(b"(2,) torch.uint8\x01\x02", digest_size=16).hexdigest()
    assert hash_tensor(torch.tensor([1, 2], dtype=torch.uint8)) == expected


def test_weights_are_told_apart_by_value_name_shape_and_type():
    net = torch.nn.BatchNorm1d(4)
    before = hash_module(net)
    assert hash_module(torch.nn.BatchNorm1d(4)) == before
    changed = torch.nn.BatchNorm1d(4)
    changed.running_mean[2] = 1e-6
    named = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    others = [changed, named, torch.nn.BatchNorm1d(4).double(), torch.nn.BatchNorm1d(2)]
    assert len({before, *map(hash_module, others)}) == 5


def test_names_are_told_apart_by_order_and_ends():
    lists = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["a:b"], [], ["1a"], ["a\udcff"]]
    assert len({hash_names(names) for names in lists}) == len(lists)
    assert hash_names([1, None]) == hash_names(["1", "None"])


def double(x):
    return 2 * x


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (double, "double"),
        (functools.partial(double, x=1), "partial of "),
        (MlpHead(), "nets.MlpHead"),
        (scores.margin(MlpHead()), "margin of nets.MlpHead"),
    ],
)
def test_functions_are_described_by_their_names(value, expected):
    assert expected in describe(value)
    assert " at 0x" not in describe(value)


def test_a_method_is_described_by_its_plain_settings():
    method = LayerGradCam(MlpHead(), MlpHead().relu)
    method.factor = 0.5
    found = describe(method)
    assert found.startswith("captum.attr._core.layer.grad_cam.LayerGradCam {")
    assert "'factor': 0.5" in found


def test_views_and_the_methods_behind_them_are_described():
    gradcam = LayerGradCam(MlpHead(), MlpHead().relu)
    clustered = ClusteredLayerCAM(MlpHead(), MlpHead().relu)
    methods = [
        TestTimeAugmentation(gradcam),
        TestTimeAugmentation(gradcam, ["identity", "vflip"]),
        TestTimeAugmentation(gradcam, ["identity", "hflip+zoom(1.1)"]),
        TestTimeAugmentation(gradcam, grid=(2, 2)),
        TestTimeAugmentation(clustered),
        TestTimeAugmentation(ClusteredLayerCAM(MlpHead(), MlpHead().relu, clusterer=3)),
        MultiLayerAttribution([gradcam, clustered]),
        MultiLayerAttribution([gradcam, gradcam]),
        MultiLayerAttribution([gradcam, gradcam], fusion="max"),
    ]
    found = list(map(describe, methods))
    assert len(set(found)) == len(found)
    assert "View('hflip+zoom(1.1)')" in found[2]
    assert "LayerGradCam" in found[2]
    assert not any(" at 0x" in text for text in found)
