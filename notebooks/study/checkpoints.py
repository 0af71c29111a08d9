"""
The folder of models: one file with a fixed name for each data set and head.

- ``busbra_efficientnet_lite0.safetensors``: the complete network with the linear head.
- ``busbra_mlp_head.safetensors``: the nonlinear head. Either only the head (names
  ``3.weight``, ...), whose trunk is in the other file, or the head with its own trunk
  (names ``trunk. ...`` and ``head. ...``).

Weights are stored in half precision and used in single precision.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from study.data import StudyData
from study.networks import HEADS, MLPNetwork, check_choice, linear_network, mlp_head, trunk_of

FILES = {"linear": "efficientnet_lite0", "mlp": "mlp_head"}
# Metadata keys: the trunk that a head without its own trunk was trained on, and the data.
TRUNK, DATA = "trunk", "data"


def file_name(head: str, dataset: str = "busbra") -> str:
    """Return the name of the file of a head."""
    return f"{dataset}_{FILES[head]}.safetensors"


def load_network(
    folder: str | os.PathLike[str], head: str, data: StudyData | None = None
) -> nn.Module:
    """
    Load a trained network, in evaluation mode and single precision.

    Args:

        folder (str or PathLike): Folder with the files described in this module.
        head (str): "linear" or "mlp".
        data (StudyData, optional): The data that the network must have been trained on.
                    Default: None (BUS-BRA, with any settings)

    Returns:
        torch.nn.Module: Takes images (N, 3, 224, 224), returns logits (N, 2).

    Raises:

        FileNotFoundError: If a file is missing.
        ValueError: If a file has weights of another network, the head is unknown, the head
                    was trained on another trunk than the one in the folder, or the network
                    on other data.
    """
    check_choice("head", head, HEADS)
    dataset = "busbra" if data is None else data.name
    path = Path(folder) / file_name(head, dataset)
    weights, metadata = read(path)
    if data is not None:
        _check_data(data, metadata, path)
    if head == "mlp":
        if any(name.startswith("trunk.") for name in weights):
            network: nn.Module = MLPNetwork(linear_network(), mlp_head())
            _load(network, weights, path)
        else:
            trunk = load_network(folder, "linear", data)
            _check_trunk(trunk, metadata, path)
            new_head = mlp_head()
            _load(new_head, weights, path)
            network = MLPNetwork(trunk_of(trunk), new_head)
    else:
        network = linear_network()
        _load(network, weights, path)
    return network.float().eval()


def save_network(
    network: nn.Module,
    folder: str | os.PathLike[str],
    metadata: Mapping[str, str],
    head_alone: bool = False,
    data: StudyData | None = None,
) -> Path:
    """
    Write the file of a network atomically.

    Args:

        network (torch.nn.Module): With either head.
        folder (str or PathLike): Output folder, created if missing.
        metadata (Mapping): Metadata for the file: settings, AUC.
        head_alone (bool, optional): Write only the head; its trunk is in the folder's other
                    file.
                    Default: False
        data (StudyData, optional): The data that the network was trained on.
                    Default: None (BUS-BRA)

    Returns:
        Path: The file.
    """
    metadata = dict(metadata)
    if data is not None:
        metadata[DATA] = json.dumps(data.settings)
    head = "mlp" if isinstance(network, MLPNetwork) else "linear"
    part = network
    if head_alone and isinstance(network, MLPNetwork):
        part = network.head
        metadata[TRUNK] = digest(trunk_of(network))
    weights = {name: _stored(tensor) for name, tensor in part.state_dict().items()}
    path = Path(folder) / file_name(head, "busbra" if data is None else data.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    save_file(weights, temporary, metadata)
    os.replace(temporary, path)
    return path


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """
    Read the weights and metadata of a file.

    Raises:

        FileNotFoundError: If the file does not exist.
        ValueError: If the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. `make study-train` trains it; docs/study.md says which files a "
            "folder of models has."
        )
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return weights, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no complete safetensors file: {error}.") from error


def digest(module: nn.Module) -> str:
    """Return a hash of the stored weights; loading and saving do not change it."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        found.update(name.encode())
        found.update(_stored(tensor).numpy().tobytes())
    return found.hexdigest()


def _stored(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() else tensor


def _load(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    single = {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
    try:
        # Evaluation does not use the counters of batch normalization, so they may be missing.
        counters = {
            name: torch.zeros_like(tensor)
            for name, tensor in module.state_dict().items()
            if name.endswith("num_batches_tracked")
        }
        module.load_state_dict(counters | single)
    except RuntimeError as error:
        raise ValueError(f"{path} has other weights than the network of the study: {error}") from (
            error
        )


def _check_trunk(trunk: nn.Module, metadata: dict[str, str], path: Path) -> None:
    # Files from other sources may lack this key.
    if metadata.get(TRUNK, digest(trunk)) != digest(trunk):
        raise ValueError(
            f"{path} was trained on another trunk than that of the linear network beside it, which "
            "has been trained anew since: train the head again."
        )


def _check_data(data: StudyData, metadata: dict[str, str], path: Path) -> None:
    # Files from other sources may lack this key.
    trained = json.loads(metadata.get(DATA, "{}"))
    other = [
        f"{name}: {trained[name]} in training, {value} now"
        for name, value in data.settings.items()
        if trained.get(name, value) != value
    ]
    if other:
        raise ValueError(
            f"{path} was trained on other data ({'; '.join(other)}). Give the options that it was "
            "trained with, or train again, into another folder of models."
        )
