"""Captum's visualization of attributions, for maps that may be zero."""

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
    Captum's ``visualize_image_attr``, which also draws maps without any attribution.

    A map of zeros, or one of the other sign than is asked for, is a legal result: no
    cluster of channels speaks for the target. Captum refuses to scale it; here it is drawn
    as what it is, zero everywhere on the color scale.

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
    # Something that Captum can scale, whose picture is then wiped.
    ones = np.full_like(attr, -1 if sign == "negative" else 1)
    figure, axis = captum_visualization.visualize_image_attr(
        ones, original_image, method, sign, **kwargs
    )
    if method != "original_image":
        drawn = axis.images[-1]
        drawn.set_data(np.zeros_like(drawn.get_array()))
    return figure, axis
