"""Captum's ``visualize_image_attr`` for maps that may be zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from captum.attr import visualization as captum_visualization
from numpy.typing import NDArray

from captum_clustered.visualization.arrays import check_finite
from captum_clustered.visualization.canvas import axes_for, show

_KEPT = {"positive": lambda attr: np.maximum(attr, 0), "negative": lambda attr: np.minimum(attr, 0)}


def visualize_image_attr(
    attr: NDArray[Any] | None,
    original_image: NDArray[Any] | None = None,
    method: str = "heat_map",
    sign: str = "absolute_value",
    **kwargs: Any,
) -> tuple[Any, Any]:
    """
    Draw an attribution with Captum's ``visualize_image_attr``, also if nothing is to be drawn.

    A map without attribution of the requested sign is a valid result: no cluster of channels
    raises the score. Captum raises an error for such a map; this function draws it as zero.

    Args:

        attr (numpy.ndarray or None): Attribution of shape (H, W, C) or (H, W). None is for
                    method "original_image", which ignores it.
        original_image (numpy.ndarray, optional): Image of shape (H, W, C).
                    Default: None
        method (str, optional): As in Captum.
                    Default: "heat_map"
        sign (str, optional): As in Captum.
                    Default: "absolute_value"
        **kwargs: Captum's further arguments.

    Returns:
        2-element tuple of **figure**, **axis**, as in Captum.

    Raises:

        ValueError: If attr is NaN or infinite anywhere, or None for another method.

    Examples::

        >>> heatmap = InputAttribution(cam).attribute(x, target=1)[0].permute(1, 2, 0)
        >>> figure, axis = visualize_image_attr(
        >>>     heatmap.numpy(), image, "blended_heat_map", "positive", use_pyplot=False
        >>> )
    """
    # Captum draws a map that it can scale. Its values are set to zero afterwards.
    scalable = np.full((1, 1, 1), -1.0 if sign == "negative" else 1.0)
    if method != "original_image":
        if attr is None:
            raise ValueError(f"attr=None is for method='original_image'; {method!r} draws a map.")
        check_finite("attr", attr)
        summed = attr.sum(axis=2) if attr.ndim == 3 else attr
        if _KEPT.get(sign, np.asarray)(summed).any():
            scalable = attr
        else:
            scalable = np.broadcast_to(scalable, (*summed.shape, 1))
    figure, axis = captum_visualization.visualize_image_attr(
        scalable, original_image, method, sign, **kwargs
    )
    if method != "original_image" and scalable is not attr:
        drawn = axis.images[-1]
        drawn.set_data(np.zeros_like(drawn.get_array()))
    return figure, axis


def visualize_image_attr_multiple(
    attr: NDArray[Any] | None,
    original_image: NDArray[Any] | None,
    methods: Sequence[str],
    signs: Sequence[str],
    titles: Sequence[str] | None = None,
    fig_size: tuple[int, int] = (8, 6),
    use_pyplot: bool = True,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """
    Draw an attribution by several methods side by side, each by :func:`visualize_image_attr`.

    Args:

        attr, original_image: As in :func:`visualize_image_attr`.
        methods, signs, titles: One of each per axis; titles are optional.
        fig_size (tuple, optional): Size of the figure in inches.
                    Default: (8, 6)
        use_pyplot (bool, optional): Whether to make and show the figure with pyplot.
                    Default: True
        **kwargs: Captum's further arguments, for every axis.

    Returns:
        2-element tuple of **figure**, **axes**, as in Captum: the axes are a list, or the axis
        itself if it is the only one.

    Raises:

        ValueError: If methods, signs and titles are not equally many, there are none, or attr
                    is refused by :func:`visualize_image_attr`.
    """
    if not methods:
        raise ValueError("methods must name at least one method of visualize_image_attr.")
    if len(methods) != len(signs) or (titles and len(titles) != len(methods)):
        names = f" and {len(titles)} titles" if titles else ""
        raise ValueError(
            f"Give one of each per drawing; got {len(methods)} methods, {len(signs)} signs{names}."
        )
    figure, grid = axes_for(None, 1, len(methods), fig_size, use_pyplot)
    axes = grid[0].tolist()
    for axis, method, sign, title in zip(
        axes, methods, signs, titles or [""] * len(methods), strict=True
    ):
        visualize_image_attr(
            attr,
            original_image,
            method,
            sign,
            plt_fig_axis=(figure, axis),
            title=title,
            use_pyplot=False,
            **kwargs,
        )
    show(use_pyplot)
    return figure, axes if len(axes) > 1 else axes[0]
