"""Average drop, coherency and complexity in one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics.coherency import coherency
from captum_clustered.metrics.complexity import complexity
from captum_clustered.metrics.faithfulness import average_drop


def adcc(
    explanation_func: Callable[..., Tensor],
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    **kwargs: Any,
) -> Tensor:
    r"""
    Harmonic mean of coherency, 1 - complexity and 1 - average drop.

    ``3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))`` with the drop as a
    share, and 0 if one of the three is 0: Poppi et al., "Revisiting the evaluation of
    class activation mapping for explainability", CVPR Workshops 2021. Formed for each
    example; the mean over examples is not the harmonic mean of the three mean values.

    In [0, 1]; higher is better. A map that keeps everything has a complexity near 1 and
    gets next to nothing. It is still gamed: a Gaussian in the middle of the image is
    coherent and simple, and drops little where objects are in the middle.

    Args:

        explanation_func (Callable): Returns the attribution of the inputs that it is
                    given, as in :func:`coherency`. Gets target and
                    additional_forward_args, unless they are None, and kwargs.
        forward_func (Callable): Returns probabilities, as in :func:`average_drop`. What
                    explanation_func explains may be another score, such as the logit.
        inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
                    dimensions.
        attributions (Tensor): Shape (N, c, \*spatial) of any size.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum.
                    Default: None
        **kwargs (Any, optional): Passed on to explanation_func.

    Returns:
        Tensor: ADCC of each example, shape (N,).

    Raises:

        TypeError, ValueError: As :func:`average_drop` and :func:`coherency`.

    Examples::

        >>> # net takes images and returns logits.
        >>> cam = ClusteredLayerCAM(net, net.conv)
        >>> attr = cam.attribute(input, target=1)
        >>> adcc(cam.attribute, scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
    """
    options = {"target": target, "additional_forward_args": additional_forward_args}
    given = {name: value for name, value in options.items() if value is not None}
    with torch.no_grad():
        drop = average_drop(forward_func, inputs, attributions, target, additional_forward_args)
        terms = (
            coherency(explanation_func, inputs, attributions, **given, **kwargs).to(drop.device),
            1 - complexity(attributions, inputs).to(drop.device),
            1 - drop / 100,
        )
        # 3 / infinity is 0 where a term is.
        return 3 / torch.stack([1 / term.clamp(min=0) for term in terms]).sum(0)
