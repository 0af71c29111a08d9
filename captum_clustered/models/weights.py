"""Load state dicts from files."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captum_clustered._errors import explained, one_line, printable

__all__ = ["is_path", "load_weights"]

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
# Keys under which training code nests the state dict in a checkpoint.
NESTING = ("state_dict", "model", "model_state_dict")
# Number of keys that a message names; it counts the others.
NAMED = 3


def is_path(weights: str) -> bool:
    """Return whether this is a file rather than a name of weights."""
    return Path(weights).suffix in SUFFIXES or os.sep in weights or Path(weights).exists()


def load_weights(module: nn.Module, path: str) -> None:
    """
    Load a state dict into a module, which it must fit exactly.

    Args:

        module (torch.nn.Module): The network.
        path (str): A file of torch.save or of safetensors. No code in it is run. The
                    state dict may be nested in a checkpoint and its keys may begin with
                    the "module." of DataParallel.

    Raises:

        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or does not fit; the message names keys and
                    shapes.
    """
    state = _state_dict(_read(path), printable(path))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        differences = "; ".join(_differences(module.state_dict(), state)) or one_line(error)
        raise ValueError(
            f"The weights in {printable(path)} do not fit the model: {differences}. For a "
            "model of another shape, such as another number of classes, name a factory as "
            "package.module:factory."
        ) from error


def _read(path: str) -> Any:
    name = printable(path)
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no file {name} with weights.")
    if not Path(path).is_file():
        raise ValueError(f"weights={name!r} is not a file.")
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import load_file

        with explained(f"{name} cannot be read as safetensors", ValueError):
            return load_file(path)
    with Path(path).open("rb") as file:
        begins = file.read(2)
    # A zip archive, or the pickle of torch before 1.6.
    if begins and begins != b"PK" and begins[:1] != b"\x80":
        raise ValueError(
            f"{name} is not a file of weights: give one of torch.save (.pt, .pth) or safetensors."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{name} holds objects other than tensors, which are not loaded because they can run "
            "code; save model.state_dict() instead."
        ) from error
    except Exception as error:
        raise ValueError(f"{name} cannot be read as weights: {one_line(error)}") from error


def _state_dict(content: Any, name: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in NESTING:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{name} holds no state dict but {type(content).__name__}.")
    # A few models keep more than tensors in their state; load_state_dict checks that.
    state = {str(key): value for key, value in content.items()}
    if not any(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{name} holds no state dict: there are no tensors in it.")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _differences(expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    shapes = [
        f"{key} is {tuple(given[key].shape)} in the file and {tuple(value.shape)} in the model"
        for key, value in expected.items()
        if isinstance(value, Tensor)
        and isinstance(given.get(key), Tensor)
        and given[key].shape != value.shape
    ]
    groups = {
        "different shapes": shapes,
        "missing from the file": [key for key in expected if key not in given],
        "unknown to the model": [key for key in given if key not in expected],
    }
    return [f"{what}: {_some(which)}" for what, which in groups.items() if which]


def _some(items: list[str]) -> str:
    rest = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + rest
