"""
Wrappers of forward_func that change the score to be explained.

Captum explains what ``forward_func`` returns. If a network returns logits, these functions
make it return probabilities, log-probabilities or margins. Classes are dimension 1 of the
output. The wrapped function takes the same arguments, and ``target`` selects the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import DataParallel, Module

__all__ = ["SCORES", "Score", "log_probability", "margin", "probability"]

Forward = Callable[..., Any]


def probability(forward_func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    r"""
    Return the probability of each class, the softmax over dimension 1.

    Probabilities saturate: if the network is certain about an image, ablating a cluster hardly
    changes them.

    Args:

        forward_func (Callable): Returns logits of shape (N, n_classes, \*).

    Returns:
        Callable: Returns probabilities of the same shape.

    Raises:

        ValueError: When called, if there are fewer than two classes.

    Examples::

        >>> cam = ClusteredLayerCAM(probability(net), net.layer4)
    """
    return ScoreWrapper(forward_func, _softmax)


def log_probability(forward_func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    r"""
    Return the logarithm of each class's probability, the log-softmax over dimension 1.

    Args:

        forward_func (Callable): As in :func:`probability`.

    Returns:
        Callable: Returns log-probabilities of the same shape.

    Examples::

        >>> cam = ClusteredLayerCAM(log_probability(net), net.layer4)
    """
    return ScoreWrapper(forward_func, _log_softmax)


def margin(forward_func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    r"""
    Return each class's logit minus the largest logit of the other classes.

    Only the predicted class has a positive margin. With two classes, the margin is the
    log-odds. A logit also changes with evidence that all classes share; the margin does not.

    Args:

        forward_func (Callable): As in :func:`probability`.

    Returns:
        Callable: Returns margins of the same shape, in units of the logits.

    Examples::

        >>> cam = ClusteredLayerCAM(margin(net), net.layer4)
    """
    return ScoreWrapper(forward_func, _margin)


class ScoreWrapper:
    """Not a closure: it can be pickled and has the ``device_ids`` that Captum looks for."""

    def __init__(
        self, forward_func: Callable[..., Tensor], transform: Callable[[Tensor], Tensor]
    ) -> None:
        self.forward_func = forward_func
        self.transform = transform
        if isinstance(forward_func, DataParallel):
            self.device_ids = forward_func.device_ids

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        logits = self.forward_func(*args, **kwargs)
        if not isinstance(logits, Tensor) or logits.dim() < 2 or logits.shape[1] < 2:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                "forward_func must return logits of at least two classes, shape (N, n_classes, "
                f"...); got {shape}. If the network has a single logit, that logit is already the "
                "margin of class 1."
            )
        return self.transform(logits)


# Named functions, because runs identify a score by the name of its transform.
def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(1)


def _margin(logits: Tensor) -> Tensor:
    top, index = logits.topk(2, dim=1)
    classes = torch.arange(logits.shape[1], device=logits.device)
    classes = classes.view(1, -1, *[1] * (logits.dim() - 2))
    runner_up = torch.where(classes == index[:, :1], top[:, 1:], top[:, :1])
    return logits - runner_up


def _unchanged(forward_func: Forward) -> Forward:
    return forward_func


@dataclass(frozen=True)
class Score:
    """
    A score that can be explained.

    Attributes:

        name (str): Its key in ``SCORES`` and its value as an option.
        label (str): Its name in sentences and captions.
        wrap (Callable): Takes a ``forward_func`` that returns logits; returns a function that
                    returns this score of each class.
    """

    name: str
    label: str
    wrap: Callable[[Forward], Forward]


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("logit", "logit", _unchanged),
        Score("probability", "probability", probability),
        Score("log_probability", "log-probability", log_probability),
        Score("margin", "margin", margin),
    )
}


def model_of(forward_func: Callable[..., Any]) -> Module | None:
    """Return the module that a function is, or that it is a score of; else None."""
    while isinstance(forward_func, ScoreWrapper):
        forward_func = forward_func.forward_func
    return forward_func if isinstance(forward_func, Module) else None
