"""State dicts from files."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from captum_clustered.models.weights import is_path, load_weights

ERRORS = (ValueError, OSError, ImportError)


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.fixture
def state():
    torch.manual_seed(1)
    return net().state_dict()


def lightning(state, prefix):
    """The state of a Lightning module that has a network and a loss with weights."""
    renamed = {f"{prefix}{key}": value for key, value in state.items()}
    return renamed | {"loss.pos_weight": torch.ones(3)}


def doubled(state):
    return {key: 2 * value for key, value in state.items()}


def loaded(path):
    module = net()
    load_weights(module, str(path))
    return module.state_dict()


class TestAccepted:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda state: state,
            lambda state: {"state_dict": state, "epoch": 3},
            lambda state: {"model": state},
            lambda state: {f"module.{key}": value for key, value in state.items()},
            lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
            lambda state: {"state_dict": lightning(state, "model."), "hyper_parameters": {"a": 1}},
            lambda state: {"state_dict": lightning(state, "net.")},
            lambda state: {"state_dict": lightning(state, "backbone.")},
            lambda state: {"state_dict": lightning(state, "model._orig_mod.")},
            lambda state: {**lightning(state, "model."), **lightning(doubled(state), "ema_model.")},
            lambda state: {"network": state, "optimizer": {"state": {}, "param_groups": []}},
        ],
    )
    def test_pth(self, tmp_path, state, wrap):
        torch.save(wrap(state), tmp_path / "a.pth")
        result = loaded(tmp_path / "a.pth")
        assert all(torch.equal(result[key], value) for key, value in state.items())

    def test_safetensors(self, tmp_path, state):
        save_file(state, tmp_path / "a.safetensors")
        result = loaded(tmp_path / "a.safetensors")
        assert all(torch.equal(result[key], value) for key, value in state.items())

    def test_a_model_that_wraps_the_network_of_the_file(self, tmp_path, state):
        torch.save(state, tmp_path / "a.pth")
        module = nn.ModuleDict({"net": net()})
        load_weights(module, str(tmp_path / "a.pth"))
        assert torch.equal(module["net"][0].weight, state["0.weight"])


class TestRefused:
    def error(self, path):
        with pytest.raises(ERRORS) as caught:
            loaded(path)
        return str(caught.value)

    def test_shape_missing_and_unknown_keys(self, tmp_path, state):
        state["0.weight"] = torch.zeros(5, 2)
        state["2.bias"] = state.pop("1.bias")
        torch.save(state, tmp_path / "a.pth")
        assert (
            "do not fit the model: different shapes: 0.weight is (5, 2) in the file and (3, 2) in "
            "the model; missing from the file: 1.bias; unknown to the model: 2.bias. For a model"
        ) in self.error(tmp_path / "a.pth")

    def test_several_networks_of_which_none_has_a_usual_name(self, tmp_path, state):
        torch.save({**lightning(state, "student."), **lightning(state, "teacher.")}, tmp_path / "a")
        message = "several networks like the model, under student., teacher.; save the state dict"
        assert message in self.error(tmp_path / "a")

    @pytest.mark.parametrize("prefix", ["", "model."])
    def test_what_the_file_looks_like(self, tmp_path, prefix):
        def message(module):
            torch.save(lightning(module.state_dict(), prefix), tmp_path / "a.pth")
            with pytest.raises(ValueError, match="do not fit") as caught:
                load_weights(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), tmp_path / "a.pth")
            return str(caught.value)

        same = message(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 7)))
        assert same.endswith("It looks like the same network with 7 classes.")
        wider = message(nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 4)))
        assert wider.endswith("It looks like a similar network: it has 4 of the model's 4 keys.")
        assert "0.weight is (5, 2) in the file and (3, 2) in the model" in wider
        other = message(nn.ModuleDict({"stem": nn.Linear(2, 3), "head": nn.Linear(3, 4)}))
        parts = "model, loss" if prefix else "stem, head, loss"
        assert other.endswith(f"It looks like another network, with parts named {parts}.")

    def test_objects_of_a_checkpoint_are_named(self, tmp_path, state):
        content = {"state_dict": state, "hyper_parameters": argparse.Namespace(lr=1)}
        torch.save(content, tmp_path / "a.ckpt")
        assert "other than tensors, argparse.Namespace, which" in self.error(tmp_path / "a.ckpt")

    def test_long_lists_are_counted(self, tmp_path):
        torch.save({f"x{i}": torch.zeros(1) for i in range(10)}, tmp_path / "a.pth")
        assert "x0, x1, x2 and 7 more" in self.error(tmp_path / "a.pth")

    def test_whole_module(self, tmp_path):
        torch.save(net(), tmp_path / "a.pth")
        assert "save model.state_dict() instead" in self.error(tmp_path / "a.pth")

    @pytest.mark.parametrize("content", [torch.zeros(2), [1], {}, {"a": 1}])
    def test_no_state_dict(self, tmp_path, content):
        torch.save(content, tmp_path / "a.pth")
        assert "holds no state dict" in self.error(tmp_path / "a.pth")

    @pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
    def test_garbage(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x80garbage" * 5)
        assert name in self.error(tmp_path / name)

    def test_empty_file(self, tmp_path):
        (tmp_path / "a.pth").touch()
        assert "a.pth cannot be read as weights" in self.error(tmp_path / "a.pth")

    def test_missing(self, tmp_path):
        assert "a.pth with weights" in self.error(tmp_path / "a.pth")

    def test_folder(self, tmp_path):
        assert "is not a file" in self.error(tmp_path)


class TestIsPath:
    @pytest.mark.parametrize(
        ("weights", "expected"),
        [("DEFAULT", False), ("IMAGENET1K_V1", False), ("a.pth", True), ("x/weights", True)],
    )
    def test_without_looking(self, weights, expected):
        assert is_path(weights) is expected

    def test_existing_file_without_suffix(self, tmp_path):
        (tmp_path / "weights").touch()
        assert is_path("weights")
