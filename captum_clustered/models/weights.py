"""Load state dicts from files."""

from __future__ import annotations

import os
import pickle
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captum_clustered._errors import explained, first_few, one_line, printable

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
# Keys under which training code nests the state dict in a checkpoint.
NESTING = ("state_dict", "model", "model_state_dict")
# Of several copies of a network, such as an average of its weights, that of this name is taken.
USUAL_PREFIXES = ("", "model.", "net.", "module.", "backbone.")


def is_path(weights: str) -> bool:
    """Return whether this is a file rather than a name of weights."""
    return Path(weights).suffix in SUFFIXES or os.sep in weights or Path(weights).exists()


def load_weights(module: nn.Module, path: str) -> None:
    """
    Load a state dict into a module, which it must fit exactly.

    Args:

        module (torch.nn.Module): The network.
        path (str): A file of torch.save or of safetensors. No code in it is run. The
                    state dict may be nested in a checkpoint, and its keys may have a prefix
                    such as the "model." of a Lightning module, which is found by trying. What
                    does not have the prefix is left out.

    Raises:

        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or does not fit; the message names keys and
                    shapes, and says what the file looks like.
    """
    expected, name = module.state_dict(), printable(path)
    state, n_shared = _renamed(_state_dict(_read(path), name), expected, name)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        differences = "; ".join(_differences(expected, state)) or one_line(error)
        raise ValueError(
            f"The weights in {name} do not fit the model: {differences}. For a model of another "
            "shape, such as another number of classes, name a factory as package.module:factory. "
            f"{_looks_like(expected, state, n_shared)}"
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
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f", {named[1]}" if named else ""
        raise ValueError(
            f"{name} holds objects other than tensors{what}, which are not loaded because they can "
            "run code; save model.state_dict() instead, or only the state_dict of a checkpoint."
        ) from error
    except Exception as error:
        raise ValueError(f"{name} cannot be read as weights: {one_line(error)}") from error


def _state_dict(content: Any, name: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        inner = [key for key, value in content.items() if _has_tensors(value)]
        known = [key for key in NESTING if isinstance(content.get(key), Mapping)]
        for key in known or (inner if len(inner) == 1 else []):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{name} holds no state dict but {type(content).__name__}.")
    # A few models keep more than tensors in their state; load_state_dict checks that.
    state = {str(key): value for key, value in content.items()}
    if not any(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{name} holds no state dict: there are no tensors in it.")
    return state


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _renamed(
    state: dict[str, Tensor], expected: Mapping[str, Any], name: str
) -> tuple[dict[str, Tensor], int]:
    """Return the state as the model names it, and how many of the model's keys it has."""
    shared: Counter[str] = Counter()
    for key in state:
        starts = [0, *(i + 1 for i, character in enumerate(key) if character == ".")]
        shared.update(key[:start] for start in starts if key[start:] in expected)
    complete = [prefix for prefix, count in shared.items() if count == len(expected)]
    usual = [prefix for prefix in complete if prefix in USUAL_PREFIXES]
    if len(complete) > 1 and len(usual) != 1:
        raise ValueError(
            f"{name} holds several networks like the model, under {first_few(complete)}; save the "
            "state dict of one."
        )
    # Of those that do not fit, the nearest.
    [(prefix, count)] = [(usual[0], len(expected))] if usual else shared.most_common(1) or [("", 0)]
    if prefix:
        start = len(prefix)
        return {k[start:]: v for k, v in state.items() if k.startswith(prefix)}, count
    # The model may be the one that wraps the network of the file.
    (outer, *others) = {key.partition(".")[0] for key in expected} or {""}
    wrapped = {f"{outer}.{key}": value for key, value in state.items()}
    if not others and wrapped.keys() == expected.keys():
        return wrapped, len(expected)
    return state, count


def _looks_like(expected: Mapping[str, Any], state: Mapping[str, Any], n_shared: int) -> str:
    """Say what a file that does not fit may be."""
    names = list(dict.fromkeys(key.partition(".")[0] for key in state))
    if 2 * n_shared < len(expected):
        return f"It looks like another network, with parts named {first_few(names)}."
    last = [key for key in expected if expected[key].dim()][-1:]
    head = last[0].rpartition(".")[0] if last else ""
    others = [k for k, v in expected.items() if k not in state or v.shape != state[k].shape]
    if head and others and all(key.startswith(f"{head}.") and key in state for key in others):
        return f"It looks like the same network with {len(state[last[0]])} classes."
    return (
        f"It looks like a similar network: it has {n_shared} of the model's {len(expected)} keys."
    )


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
    return [f"{what}: {first_few(which)}" for what, which in groups.items() if which]
