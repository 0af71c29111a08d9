"""The attribution of a volume, in slices and projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._argument_checks import check_choice, check_int
from captum_clustered.data.volumes import resampled, resized_affine
from captum_clustered.visualization.canvas import axes_for, show
from captum_clustered.visualization.layer_attr import draw_legend
from captum_clustered.visualization.look import Look
from captum_clustered.visualization.oriented import PLANES, Oriented, plane_of
from captum_clustered.visualization.palette import OPACITY
from captum_clustered.visualization.scale import Scale, draw_color_bar

__all__ = ["VIEWS", "maximum_of", "strip_of", "visualize_volume"]

VIEWS = ("slices", "strip", "projection")
# Inches.
_CELL, _NARROW = 2.4, 1.2


def visualize_volume(
    attr: Any,
    volume: Any,
    *,
    view: str = "slices",
    affine: NDArray[Any] | None = None,
    value_range: tuple[float, float] | None = None,
    n_slices: int = 8,
    opacity: float = OPACITY,
    outline: bool = False,
    limit: float | None = None,
    label: str = "attribution",
    use_pyplot: bool = True,
) -> tuple[Figure, NDArray[Any]]:
    """
    Draw a volume and, below it, its attribution over it.

    With an affine, planes are drawn in their true proportions and as radiologists look at them:
    the patient's right is on the left. Colors are those of :func:`visualize_layer_attr`.

    Args:

        attr (Tensor or numpy.ndarray): Attribution of one volume, of any size: (d, h, w), with
                    dimensions of length 1 before them. It covers the whole volume, in the order
                    of its axes. NaN is where the network did not see it, as in
                    :meth:`Explanation.on_volume <captum_clustered.explain.Explanation.on_volume>`.
        volume (nibabel image, Tensor or numpy.ndarray): The volume, (X, Y, Z), with dimensions of
                    length 1 before them.
        view (str, optional): "slices": three planes through the voxel of the largest attribution.
                    "strip": slices across the last axis (axial ones, with an affine). "projection":
                    for each ray, the largest gray value and the attribution farthest from zero.
                    Default: "slices"
        affine (numpy.ndarray, optional): From indices of voxels to millimeters, (4, 4), as
                    nibabel has it.
                    Default: None (that of a nibabel image, else voxels are cubes)
        value_range (tuple[float, float], optional): The gray values that are black and white.
                    Default: None (nearly the lowest and the highest one)
        n_slices (int, optional): Number of slices of the strip. One of them has the largest
                    attribution.
                    Default: 8
        opacity, outline, limit, label (optional): As in :func:`visualize_layer_attr`.
        use_pyplot (bool, optional): Whether to make the figure with pyplot and show it.
                    Default: True

    Returns:
        2-element tuple of **figure**, **axes** (*numpy.ndarray*: the volume's row and the map's).

    Raises:

        ValueError: If a shape does not fit, or an option has a value that is not accepted.

    Examples::

        >>> attribution = cam.attribute(x, target=1)  # (1, 1, 6, 6, 6)
        >>> figure, axes = visualize_volume(attribution, x[0], use_pyplot=False)
        >>> figure, axes = visualize_volume(
        >>>     explanation.on_volume(explanation.attribution), read_volume("scan.nii.gz")
        >>> )
    """
    check_choice("view", view, VIEWS)
    check_int("n_slices", n_slices, 1)
    look = Look(opacity, outline, keep_colors=False)
    if affine is None:
        affine = getattr(volume, "affine", None)
    values = _three("volume", getattr(volume, "dataobj", volume))
    low, high = value_range or np.nanpercentile(values, (0.5, 99.5)).tolist()
    gray = np.clip((np.nan_to_num(values) - low) / ((high - low) or 1), 0, 1)
    oriented = Oriented.of(gray, None if affine is None else np.asarray(affine))
    on_volume = oriented.turned(_resized(_three("attr", attr), values.shape))
    scale = Scale.of([on_volume], limit)
    place = maximum_of(on_volume)
    if view == "strip":
        indices = strip_of(on_volume.shape[2], place[2], n_slices)
        panels: list[tuple[int, int | None]] = [(2, index) for index in indices]
    else:
        panels = [(across, place[across] if view == "slices" else None) for across in PLANES]
    widths, heights = zip(*(oriented.size(across) for across, _ in panels), strict=True)
    inches = len(panels) * (_NARROW if view == "strip" else _CELL)
    height = max(heights) / sum(widths) * inches
    # All planes have the same scale.
    figure, axes = axes_for(
        None, 2, len(panels), (inches + 1.3, 2 * (height + 0.1) + 0.9), use_pyplot, widths
    )
    for column, (across, index) in zip(axes.T, panels, strict=True):
        for axis, drawn in zip(column, (None, on_volume), strict=True):
            oriented.draw(axis, across, index, drawn, scale, look, has_letters=view != "strip")
        title = f"slice {index + 1}" if view == "strip" and index is not None else None
        column[0].set_title(title or oriented.title(across, index), fontsize=8)
    draw_color_bar(figure, scale, label, look, ax=list(axes.ravel()), pad=0.01, fraction=0.05)
    planes = [plane_of(on_volume, across, index) for across, index in panels]
    draw_legend(figure, scale, planes, look)
    show(use_pyplot)
    return figure, axes


def maximum_of(values: NDArray[Any]) -> tuple[int, ...]:
    """Return the voxel of the largest value, of several the one in their middle."""
    ties = np.argwhere(values == np.nanmax(values))
    middle = ties[np.abs(ties - ties.mean(0)).sum(1).argmin()]
    return tuple(int(i) for i in middle)


def strip_of(n: int, chosen: int, n_slices: int) -> list[int]:
    """Return evenly spaced slices of n, of which the nearest is replaced by the chosen one."""
    count = min(n, n_slices)
    places = ((np.arange(count) + 0.5) * n / count).astype(int)
    places[np.abs(places - chosen).argmin()] = chosen
    return [int(place) for place in places]


def _three(name: str, given: Any) -> NDArray[np.float32]:
    values = given.detach().cpu().float() if isinstance(given, Tensor) else given
    array = np.asarray(values, dtype=np.float32)
    shape = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or not array.size or np.isnan(array).all():
        raise ValueError(
            f"{name} must be one volume of numbers, with three dimensions; got shape {shape}."
        )
    return array


def _resized(values: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    if values.shape == tuple(size):
        return values
    return resampled(values, resized_affine(np.eye(4), size, values.shape), size, np.eye(4))
