import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode

from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.models import find_layer, load_model, load_skeleton
from captum_clustered.models import timm as timm_models

ERRORS = (ValueError, OSError, ImportError)


timm = pytest.importorskip("timm", reason="needs the extra timm")
NAME = "timm:test_resnet"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return str(path)


def test_a_model_with_weights_from_a_file(weights):
    model = load_model(NAME, weights, "cpu")
    stored = torch.load(weights, weights_only=True)
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, stored[name])
    assert not model.module.training
    assert model.name == NAME


def test_pictures_are_prepared_as_timm_says(weights):
    model = load_model(NAME, weights, "cpu")
    config = timm.data.resolve_model_data_config(model.module)
    preset = model.preset()
    size = config["input_size"][-1]
    assert preset.crop_size == [size]
    assert preset.resize_size == [int(size / config["crop_pct"])]
    assert tuple(preset.mean) == config["mean"]
    assert preset.interpolation == InterpolationMode(config["interpolation"])


@pytest.mark.parametrize("mode", ["center", "squash"])
def test_pictures_become_what_they_are_in_timm(mode):
    module = timm.create_model("test_resnet")
    module.pretrained_cfg |= {"crop_mode": mode, "crop_pct": 0.9}
    values = np.random.default_rng(0).integers(0, 256, (150, 230, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    config = timm.data.resolve_model_data_config(module)
    expected = timm.data.create_transform(**config, is_training=False)(image)
    preset = timm_models._preset(NAME, module)
    torch.testing.assert_close(make_preprocessing(preset)(image), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_mode": "border"}, "160 x 160, cropped by 'border'; accepted are squares"),
        ({"input_size": (3, 64, 48)}, "64 x 48, cropped by 'center'; accepted are squares"),
    ],
)
def test_what_cannot_be_prepared_as_timm_says_is_refused(change, message):
    module = timm.create_model("test_resnet")
    module.pretrained_cfg |= change
    with pytest.raises(ERRORS, match=message):
        timm_models._preset(NAME, module)


def test_its_own_weights_are_asked_for_without_a_file(monkeypatch):
    made = []

    def create(name, pretrained):
        made.append((name, pretrained))
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(ERRORS, match=r"no connection.*as weights"):
        load_model(NAME, None, "cpu")
    assert made == [("test_resnet", True)]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        # Classes of attention: MHSA, ClassAttn, EvaAttention and Attention.
        ("convit_tiny", "blocks.11.norm1"),
        ("cait_xxs24_224", "blocks_token_only.1.norm1"),
        ("vit_small_patch16_dinov3", "blocks.11.norm1"),
        ("deit_tiny_distilled_patch16_224", "blocks.11.norm1"),
        # Its last attention is the pooling of all tokens; heads of its keys are no maps.
        ("vit_pe_core_tiny_patch16_384", "norm"),
    ],
)
def test_the_usual_layer_of_transformers_is_before_the_last_attention(name, layer):
    module = timm.create_model(name, img_size=64).eval()
    assert find_layer(module, torch.zeros(1, 3, 64, 64)) == layer


def test_layers_are_listed_without_weights():
    model = load_skeleton(NAME)
    assert model.weights is None
    assert model.device.type == "cpu"


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("timm:test_resnt", None, "timm has no model 'test_resnt'. Did you mean 'test_resnet"),
        (NAME, "a1_in1k", "weights='a1_in1k' is not a file; timm's weights are part"),
    ],
)
def test_mistakes_are_named(name, weights, message):
    with pytest.raises(ERRORS, match=message):
        load_model(name, weights, "cpu")


def test_without_timm_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ERRORS, match=r"pip install captum_clustered\[timm\]"):
        load_model(NAME, None, "cpu")
