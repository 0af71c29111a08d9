"""Faithfulness: the class probability when only what a map shows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import masked_confidence
from captum_clustered.metrics._masking import Baseline
from captum_clustered.metrics._registry import metric

__all__ = ["average_drop", "average_gain", "increase_in_confidence"]

# Variants in a comparison: what replaces hidden pixels, and whether the mask is binary.
_VARIANTS: dict[str, dict[str, Any]] = {
    " (mean)": {"baseline": "mean"},
    " (blur)": {"baseline": "blur"},
    " 50%": {"top_fraction": 0.5},
    " 50% (mean)": {"top_fraction": 0.5, "baseline": "mean"},
    " 50% (blur)": {"top_fraction": 0.5, "baseline": "blur"},
}


@metric(
    "average drop",
    direction="lower",
    meaning="`100 * max(0, p - o) / p`, 0 if p is 0: probability lost when only what the map "
    "shows is kept",
    values="0 to 100",
    won_by="maps that keep everything (Fake-CAM); a Gaussian in the middle",
    variants=_VARIANTS,
    defaults=("", " (mean)", " (blur)", " 50%"),
)
def average_drop(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = 0.0,
    top_fraction: float | None = None,
) -> Tensor:
    r"""
    Compute the drop of the class probability when only what the map shows is kept.

    The attribution becomes a mask m in [0, 1]. With p the probability of the target on
    the input x and o that on ``m * x + (1 - m) * baseline``, the drop of an example is
    ``100 * max(0, p - o) / p`` percent, and 0 where p is 0. The mean over examples is
    the average drop of Chattopadhay et al., "Grad-CAM++", WACV 2018, equation 12. With
    ``top_fraction=0.5`` it is that of Wang et al., "Score-CAM", CVPR Workshops 2020.

    A map that is constant but for a single pixel ("Fake-CAM", Poppi et al., CVPR
    Workshops 2021) drops by nearly nothing. ``top_fraction`` prevents this, but not that a
    Gaussian in the middle wins. Use other metrics beside it, and compare baselines: black
    is an ordinary color in ultrasound.

    Returns:
        Tensor: Drop of each example in percent, shape (N,).

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> drop = average_drop(scores.probability(net), input, attr, target=1)
        >>> drop.mean() < 100
        tensor(True)
    """
    before, after = masked_confidence(
        forward_func, inputs, attributions, target, additional_forward_args, baseline, top_fraction
    )
    return torch.where(before > 0, 100 * (before - after).clamp(min=0) / before, 0)


@metric(
    "increase in confidence",
    direction="higher",
    meaning="100 if `o > p`, else 0: whether the probability rises",
    values="0 or 100",
    won_by="any map if o and p are equal up to rounding, by chance; a Gaussian in the middle",
    variants=_VARIANTS,
    defaults=("", " (mean)", " (blur)", " 50%"),
)
def increase_in_confidence(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = 0.0,
    top_fraction: float | None = None,
) -> Tensor:
    r"""
    Compute whether the class is more probable when only what the map shows is kept.

    With p and o as in :func:`average_drop`, an example counts ``100 * (o > p)``. The mean
    over examples is the increase in confidence of Chattopadhay et al., "Grad-CAM++",
    WACV 2018, in percent of the examples.

    The size of the increase does not count; see :func:`average_gain`. For a map that is
    constant but for a single pixel, o is p up to rounding, so the result is chance.

    Returns:
        Tensor: 100 for each example with an increase, 0 for the others, shape (N,).
    """
    before, after = masked_confidence(
        forward_func, inputs, attributions, target, additional_forward_args, baseline, top_fraction
    )
    return 100 * (after > before).to(before.dtype)


@metric(
    "average gain",
    direction="higher",
    meaning="`100 * max(0, o - p) / (1 - p)`, 0 if p is 1: how far the probability rises",
    values="0 to 100",
    won_by="masks that raise the probability of the class, above all optimized masks; a Gaussian "
    "in the middle",
    variants=_VARIANTS,
)
def average_gain(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    baseline: Baseline = 0.0,
    top_fraction: float | None = None,
) -> Tensor:
    r"""
    Compute the gain of the class probability when only what the map shows is kept.

    With p and o as in :func:`average_drop`, the gain of an example is
    ``100 * max(0, o - p) / (1 - p)`` percent, and 0 where p is 1. The mean over examples
    is the average gain of Zhang et al., "Opti-CAM: Optimizing saliency maps for
    interpretability", 2023 (arXiv 2301.07002). Read it together with the average drop: an
    example has a drop or a gain.

    A map that keeps everything gains nothing. Where p is nearly 1, a rounding error of o
    is a large part of 1 - p.

    Returns:
        Tensor: Gain of each example in percent, shape (N,).
    """
    before, after = masked_confidence(
        forward_func, inputs, attributions, target, additional_forward_args, baseline, top_fraction
    )
    return torch.where(before < 1, 100 * (after - before).clamp(min=0) / (1 - before), 0)
