"""Finding the network; --model and --weights on the command line."""

import urllib.error

import pytest
import small_factories
import torch
import torchvision
from PIL import Image
from torch import nn

from captum_clustered.models import example_input, load_model, load_skeleton
from captum_clustered.models.base import as_model

ERRORS = (ValueError, OSError, ImportError)


def error(name, weights=None, device="cpu"):
    with pytest.raises(ERRORS) as caught:
        load_model(name, weights, device)
    return str(caught.value)


@pytest.fixture
def resnet_file(tmp_path):
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "r.pth")
    return tmp_path / "r.pth"


class TestZoo:
    def test_state_dict(self, resnet_file):
        model = load_model("resnet18", str(resnet_file), "cpu")
        given = torch.load(resnet_file)
        assert torch.equal(model.module.fc.weight, given["fc.weight"])
        assert not model.module.training
        assert model.class_name(281) == "tabby"
        assert model.preset().crop_size == [224]

    def test_unknown_model(self):
        message = error("resnet51")
        assert "no image classification model 'resnet51'" in message
        assert "'resnet50'" in message

    def test_no_classifier(self):
        assert "no image classification model" in error("fasterrcnn_resnet50_fpn")

    def test_unknown_weights(self):
        message = error("resnet18", "IMAGENET1K_V7")
        assert "resnet18 has no weights 'IMAGENET1K_V7'" in message
        assert "IMAGENET1K_V1" in message

    def test_weights_that_do_not_fit(self, resnet_file):
        message = error("resnet34", str(resnet_file))
        assert "missing from the file: layer1.2.conv1.weight" in message
        assert "name a factory as package.module:factory" in message

    @pytest.mark.parametrize("weights", [None, "DEFAULT", "ResNet18_Weights.IMAGENET1K_V1"])
    def test_no_network(self, tmp_path, monkeypatch, weights):
        def unreachable(*args, **kwargs):
            raise urllib.error.URLError("Name or service not known")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "urlopen", unreachable)
        message = error("resnet18", weights)
        assert "IMAGENET1K_V1 of resnet18 could not be downloaded" in message
        assert "(Name or service not known); give the path of a file as weights." in message

    def test_a_download_that_was_cut_off(self, monkeypatch):
        def cut_off(self, **kwargs):
            raise RuntimeError('invalid hash value (expected "f37072fd", got "0")')

        monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", cut_off)
        message = error("resnet18")
        assert "IMAGENET1K_V1 of resnet18 could not be loaded: RuntimeError: invalid" in message

    def test_named_weights_are_asked_for(self, monkeypatch):
        asked = []
        state = torchvision.models.resnet18().state_dict()
        weights = torchvision.models.ResNet18_Weights

        def get_state_dict(self, **kwargs):
            asked.append(self)
            return state

        monkeypatch.setattr(weights, "get_state_dict", get_state_dict)
        model = load_model("resnet18", "DEFAULT", "cpu")
        assert asked == [weights.IMAGENET1K_V1]
        assert model.weights == "ResNet18_Weights.IMAGENET1K_V1"

    @pytest.mark.parametrize("device", ["toaster", "cuda:99"])
    def test_unknown_device(self, resnet_file, device):
        assert f"device={device!r}: resnet18 cannot be moved there" in error(
            "resnet18", str(resnet_file), device
        )

    @pytest.mark.parametrize(
        ("n", "sentence"), [(0, "no NVIDIA GPU here"), (2, "2 NVIDIA GPUs here")]
    )
    def test_a_gpu_that_is_not_there(self, resnet_file, monkeypatch, n, sentence):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        assert f"torch finds {sentence}." in error("resnet18", str(resnet_file), "cuda:2")


class TestFactory:
    def test_current_directory_is_importable(self, monkeypatch, tmp_path):
        monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p != str(tmp_path)])
        model = load_model("factories:net", None, "cpu")
        assert len(model.module) == 5
        assert not model.module.training
        assert model.class_names is None
        assert model.class_name(2) == "class 2"

    def test_an_instance_is_no_factory(self):
        message = error("factories:instance")
        assert "'instance' is a torch.nn.Module; name a function" in message

    def test_state_dict(self, tmp_path):
        state = load_model("factories:net", None, "cpu").module.state_dict()
        state["4.bias"] = torch.tensor([7.0, 8.0, 9.0])
        torch.save(state, tmp_path / "a.pt")
        model = load_model("factories:net", "a.pt", "cpu")
        assert torch.equal(model.module[4].bias, state["4.bias"])

    def test_a_transform_beside_the_module_prepares_images(self, photo):
        model = load_model("factories:with_transform")
        image = Image.open(photo)
        preprocessing = model.preprocessing()
        assert torch.equal(preprocessing(image), small_factories.halved(image))
        assert preprocessing.guesses == ()
        assert preprocessing.description == (
            "halved: resized to 32 x 32, values from 0 to 1, minus 0.5, divided by 0.5"
        )
        assert example_input(model).shape == (1, 3, 32, 32)
        with pytest.raises(ValueError, match=r"size, std cannot be given .*, let a factory return"):
            model.preprocessing(64, std=(0.5,))

    def test_what_a_module_carries(self):
        module = small_factories.named()
        module.preprocess = small_factories.halved
        for model in (load_model(module), load_model(lambda: module), as_model(module)):
            assert [model.class_name(index) for index in range(2)] == ["malignant", "benign"]
            assert model.preprocessing().transform is small_factories.halved
        # A factory's word counts more.
        assert load_model(lambda: (module, None)).preprocess is None
        assert load_model(module, class_names=["a", "b"]).class_name(1) == "b"

    def test_a_method_that_is_called_preprocess_and_is_something_else(self):
        class Net(nn.Module):
            def preprocess(self, batch, device):
                return batch.to(device)

        message = r"transform of an RGB image; it fails: TypeError: .*let a factory return"
        with pytest.raises(ValueError, match=message):
            load_model(Net()).preprocessing()
        assert load_model(lambda: (Net(), None)).preprocessing().size == 224

    @pytest.mark.parametrize("names", ["benign", ["benign"], [0, 1], ["benign", ""]])
    def test_names_of_classes_are_two_or_more_texts(self, names):
        with pytest.raises(ValueError, match="class_names must be the names of two or more"):
            load_model("factories:net", class_names=names)

    def test_without_a_word_of_the_module_the_preprocessing_is_a_guess(self):
        model = load_model("factories:gray")
        assert model.preprocessing().guesses == ("size", "mean", "std")
        assert model.preprocessing(size=32, mean=(0.5,)).guesses == ("std",)
        assert model.preprocessing(32).description == (
            "resized to 32 x 32, gray, values from 0 to 1, minus 0.449, divided by 0.226 "
            "(mean, std: a guess)"
        )

    @pytest.mark.parametrize(("name", "channels"), [("net", 3), ("gray", 1)])
    def test_channels(self, name, channels):
        assert load_model(f"factories:{name}", None, "cpu").n_channels == channels

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("nowhere:net", "'nowhere' cannot be imported from here"),
            (":net", "cannot be imported"),
            ("factories:nett", "no function 'nett'. Did you mean 'net'"),
            ("factories:not_callable", "no function 'not_callable'"),
            ("factories:number", "Module or (module, transform); it returned int"),
            ("factories:broken", "the factory failed: KeyError: 'no such checkpoint'"),
            ("syntax:net", "'syntax' cannot be imported from here: SyntaxError"),
        ],
    )
    def test_refused(self, tmp_path, name, expected):
        (tmp_path / "syntax.py").write_text("def (")
        assert expected in error(name)

    def test_names_of_weights_belong_to_torchvision(self):
        assert "weights='DEFAULT' is not a file" in error("factories:net", "DEFAULT")


class TestPython:
    def test_a_function(self):
        def build():
            return nn.Conv2d(1, 2, 3)

        model = load_model(build)
        assert model.name.endswith("build")
        assert not model.module.training

    def test_a_module_with_weights(self, tmp_path):
        state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
        torch.save(state, tmp_path / "w.pt")
        net = nn.Linear(3, 2)
        model = load_model(net, str(tmp_path / "w.pt"))
        assert model.module is net
        assert model.name == "Linear"
        assert torch.equal(net.weight, state["weight"])

    def test_a_function_of_something_else(self):
        with pytest.raises(ValueError, match="the factory must return a torch"):
            load_model(dict)

    def test_the_skeleton_of_a_module(self):
        net = nn.Linear(3, 2)
        assert load_skeleton(net).module is net

    def test_the_skeleton_of_a_module_stays_where_it_is(self):
        assert load_skeleton(nn.Linear(3, 2, device="meta")).device.type == "meta"


class TestSkeleton:
    def test_needs_no_memory(self):
        model = load_skeleton("resnet18")
        assert model.device.type == "meta"
        assert model.module.fc.weight.is_meta

    def test_falls_back_to_numbers(self):
        # RegNets compute their widths with tensors.
        model = load_skeleton("regnet_x_400mf")
        assert model.device.type == "cpu"
        assert not model.module.fc.weight.is_meta
