"""Captum's ``visualize_image_attr`` for maps that may be zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from captum.attr import visualization as captum_visualization
from numpy.typing import NDArray

__all__ = ["visualize_image_attr"]

_KEPT = {
    "positive": lambda attr: np.maximum(attr, 0),
    "negative": lambda attr: np.minimum(attr, 0),
}


def visualize_image_attr(
    attr: NDArray[Any],
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

        attr (numpy.ndarray): Attribution of shape (H, W, C).
        original_image (numpy.ndarray, optional): Image of shape (H, W, C).
                    Default: None
        method (str, optional): As in Captum.
                    Default: "heat_map"
        sign (str, optional): As in Captum.
                    Default: "absolute_value"
        **kwargs: Captum's further arguments.

    Returns:
        2-element tuple of **figure**, **axis**, as in Captum.

    Examples::

        >>> heatmap = InputAttribution(cam).attribute(x, target=1)[0].permute(1, 2, 0)
        >>> figure, axis = visualize_image_attr(
        >>>     heatmap.numpy(), image, "blended_heat_map", "positive", use_pyplot=False
        >>> )
    """
    summed = attr.sum(axis=2) if attr.ndim == 3 else attr
    if _KEPT.get(sign, np.asarray)(summed).any():
        figure, axis = captum_visualization.visualize_image_attr(
            attr, original_image, method, sign, **kwargs
        )
        return figure, axis
    # Captum draws a map that it can scale; its values are then set to zero.
    ones = np.full_like(attr, -1 if sign == "negative" else 1)
    figure, axis = captum_visualization.visualize_image_attr(
        ones, original_image, method, sign, **kwargs
    )
    if method != "original_image":
        drawn = axis.images[-1]
        drawn.set_data(np.zeros_like(drawn.get_array()))
    return figure, axis
