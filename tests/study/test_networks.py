import pytest
import torch
from made_up import networks
from safetensors.torch import load_file, save_file
from study.checkpoints import file_name, load_network, save_network
from study.networks import MLPNetwork, linear_network, mlp_head, target_layer

from captum_clustered import ClusteredLayerCAM


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    networks(folder)
    return folder


@pytest.fixture
def images():
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize(
    ("layer", "shape"), [("last", (1, 1280, 7, 7)), ("middle", (1, 112, 14, 14))]
)
def test_a_layer_is_called_once_and_is_signed_in_the_middle_alone(
    folder, images, head, layer, shape
):
    network = load_network(folder, head)
    target = target_layer(network, layer)
    seen = []
    hook = lambda _, inputs, output: seen.append(inputs[0] if target.at_input else output)  # noqa: E731
    with target.layer.register_forward_hook(hook), torch.no_grad():
        assert network(images).shape == (1, 2)
    assert [tuple(tensor.shape) for tensor in seen] == [shape]
    assert (seen[0].min() < 0) == (layer == "middle")


def test_both_layers_can_be_explained(folder, images):
    network = load_network(folder, "mlp")
    for name, side in (("last", 7), ("middle", 14)):
        target = target_layer(network, name)
        heatmap = ClusteredLayerCAM(network, target.layer).attribute(
            images, 1, attribute_to_layer_input=target.at_input
        )
        assert heatmap.shape == (1, 1, side, side)


def test_weights_are_kept_in_half_and_used_in_single_precision(folder, images):
    stored = load_file(folder / file_name("linear"))
    assert stored["_fc.weight"].dtype == torch.float16
    network = load_network(folder, "linear")
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    torch.testing.assert_close(network._fc.weight.half(), stored["_fc.weight"])
    assert not network.training


def test_a_head_alone_has_the_trunk_of_the_other_file(folder):
    assert sorted(load_file(folder / file_name("mlp"))) == [
        "3.bias",
        "3.weight",
        "6.bias",
        "6.weight",
    ]
    trunk = load_network(folder, "mlp").trunk
    expected = load_network(folder, "linear").state_dict()
    torch.testing.assert_close(trunk.state_dict(), expected)


def test_a_head_can_bring_its_own_trunk(tmp_path, images):
    network = MLPNetwork(linear_network(), mlp_head()).eval()
    save_network(network, tmp_path, {})
    loaded = load_network(tmp_path, "mlp")
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=0.02)


def test_files_of_others_without_metadata_and_counters_are_read(folder, tmp_path):
    weights = load_file(folder / file_name("linear"))
    save_file(
        {n: t for n, t in weights.items() if "tracked" not in n}, tmp_path / file_name("linear")
    )
    save_file(load_file(folder / file_name("mlp")), tmp_path / file_name("mlp"))
    assert isinstance(load_network(tmp_path, "mlp"), MLPNetwork)


class TestWhatIsWrong:
    def test_a_missing_file_says_how_to_get_it(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"lite0.*is missing.*make study-train"):
            load_network(tmp_path, "linear")

    def test_another_network_is_named(self, tmp_path):
        save_file({"weight": torch.zeros(2)}, tmp_path / file_name("linear"))
        with pytest.raises(ValueError, match="other weights than the network of the study"):
            load_network(tmp_path, "linear")

    def test_a_broken_file_is_named(self, tmp_path):
        (tmp_path / file_name("linear")).write_bytes(b"12")
        with pytest.raises(ValueError, match="no complete safetensors file"):
            load_network(tmp_path, "linear")

    def test_a_head_of_another_trunk_is_not_used(self, tmp_path):
        networks(tmp_path)
        save_network(linear_network(), tmp_path, {})
        with pytest.raises(ValueError, match="trained on another trunk"):
            load_network(tmp_path, "mlp")

    def test_unknown_names_are_refused(self, folder):
        with pytest.raises(ValueError, match="head='first' must be one of 'linear', 'mlp'"):
            load_network(folder, "first")
        with pytest.raises(ValueError, match="layer='first' must be one of 'last', 'middle'"):
            target_layer(linear_network(), "first")
