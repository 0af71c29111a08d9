"""The methods of the study by name: compare's, fitted clusters, and each of them with views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from captum.attr import LayerAttribution
from torch import Tensor, nn

from captum_clustered import TestTimeAugmentation
from captum_clustered.comparison.methods import METHODS, default_methods
from study.fitted_clusters import Factory, fitted_method

FITTED = "ClusteredLayerCAM, fitted"
# A second view that is mirrored and magnified steadies maps more than a mirror image alone.
VIEWS = {
    "2 views": ("identity", "hflip+zoom(1.15)"),
    "4 views": ("identity", "hflip", "zoom(1.15)", "hflip+zoom(1.15)"),
}


def study_methods() -> list[str]:
    """
    Return the methods that run by default.

    They are compare's, but views and their names are the study's.
    """
    ours = ["ClusteredLayerCAM", "AblationCAM", FITTED]
    viewed = [f"{name}, {views}" for name in (*ours, "LayerGradCam") for views in VIEWS]
    others = [name for name in default_methods() if name not in ours and "mirrored" not in name]
    return [*ours, *others, *viewed]


def resolve(names: Sequence[str], fit: Callable[[], Tensor]) -> list[Any]:
    """
    Return the methods as :func:`captum_clustered.compare` takes them.

    Args:

        names (sequence of str): Names of compare, ``FITTED``, and either of these followed by
                    ", 2 views" or ", 4 views".
        fit (Callable): Returns fitted clusters (C,); called if a name needs them.

    Raises:

        ValueError: If views are asked for a method that is not known by name.
    """
    fitted = fitted_method(fit()) if any(name.startswith(FITTED) for name in names) else None
    found: list[Any] = []
    for name in names:
        base, _, views = name.rpartition(", ")
        if views not in VIEWS:
            base, views = name, ""
        if base == FITTED and fitted is not None:
            factory: Factory = fitted
        elif not views:
            found.append(name)
            continue
        elif base in METHODS:
            factory = METHODS[base].build
        else:
            raise ValueError(
                f"methods has {name!r}: views can be added to {FITTED!r} and to "
                f"{', '.join(map(repr, METHODS))}."
            )
        found.append({name: viewed(factory, base, views) if views else factory})
    return found


def viewed(factory: Factory, name: str, views: str) -> Factory:
    """Return a method with "2 views" or "4 views"; ``name`` stands for a factory without one."""

    def method(forward_func: Callable[..., Tensor], layer: nn.Module) -> LayerAttribution:
        return TestTimeAugmentation(factory(forward_func, layer), VIEWS[views])

    # Stored batches identify a function by its name.
    inner = getattr(factory, "__qualname__", name)
    method.__qualname__ = f"{inner} {VIEWS[views]}"
    return method
