"""
Wrappers of forward_func that change the score to be explained.

Captum explains what ``forward_func`` returns. If a network returns logits, these functions
make it return probabilities, log-probabilities or margins. Classes are dimension 1 of the
output. The wrapped function takes the same arguments, and ``target`` selects the class.

A network with a single logit has two classes. The logit is the score of class 1, minus the
logit that of class 0, and the sigmoid of the logit is the probability of class 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import DataParallel, Module

from captum_clustered._argument_checks import shape_of

__all__ = ["SCORES", "Score", "log_probability", "margin", "probability", "sigmoid"]

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

        ValueError: When called, if there is no dimension of classes.

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


def sigmoid(forward_func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    r"""
    Return the probability of each class by itself, the sigmoid, for multi-label networks.

    Classes do not exclude each other, so the probabilities need not sum to 1. It saturates as
    :func:`probability` does.

    Args:

        forward_func (Callable): As in :func:`probability`.

    Returns:
        Callable: Returns probabilities of the same shape.

    Examples::

        >>> cam = ClusteredLayerCAM(sigmoid(net), net.layer4)
    """
    return ScoreWrapper(forward_func, _sigmoid)


def _same(logits: Tensor) -> Tensor:
    return logits


class ScoreWrapper:
    """Not a closure: it can be pickled and has the ``device_ids`` that Captum looks for."""

    def __init__(
        self, forward_func: Callable[..., Tensor], transform: Callable[[Tensor], Tensor] = _same
    ) -> None:
        self.forward_func = forward_func
        self.transform = transform
        if isinstance(forward_func, DataParallel):
            self.device_ids = forward_func.device_ids

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        logits = self.forward_func(*args, **kwargs)
        if not isinstance(logits, Tensor) or logits.dim() < 2 or logits.shape[1] < 1:
            raise ValueError(
                "forward_func must return logits of shape (N, n_classes, ...); got "
                f"{shape_of(logits)}."
            )
        return self.transform(logits)


class LogitWrapper(ScoreWrapper):
    """A wrapper that returns a score for both classes of a network with a single logit."""

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        super().__init__(forward_func, class_scores)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return class_scores(self.forward_func(*args, **kwargs))


def class_scores(logits: Tensor) -> Tensor:
    """Return logits of which class 1 has the single logit z, if there is one, and class 0 -z."""
    if isinstance(logits, Tensor) and logits.dim() > 1 and logits.shape[1] == 1:
        return torch.cat([-logits, logits], 1)
    return logits


def class_probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each class: the softmax, or the sigmoid of a single logit."""
    return _two_classes(logits).softmax(1)


def _two_classes(logits: Tensor) -> Tensor:
    """Return 0 and z for a single logit z: their softmax is its sigmoid."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


# Named functions, because runs identify a score by the name of its transform.
def _softmax(logits: Tensor) -> Tensor:
    return class_probabilities(logits)


def _sigmoid(logits: Tensor) -> Tensor:
    return class_scores(logits).sigmoid()


def _log_softmax(logits: Tensor) -> Tensor:
    return _two_classes(logits).log_softmax(1)


def _margin(logits: Tensor) -> Tensor:
    logits = _two_classes(logits)
    top, index = logits.topk(2, dim=1)
    classes = torch.arange(logits.shape[1], device=logits.device)
    classes = classes.view(1, -1, *[1] * (logits.dim() - 2))
    runner_up = torch.where(classes == index[:, :1], top[:, 1:], top[:, :1])
    return logits - runner_up


@dataclass(frozen=True)
class Score:
    """
    A score that can be explained.

    Attributes:

        name (str): Its key in ``SCORES`` and its value as an option.
        label (str): Its name in sentences and captions.
        wrap (Callable): Takes a ``forward_func`` that returns logits; returns a function that
                    returns this score of each class.
        probability (Callable): The same for the probability of each class: the softmax, or the
                    sigmoid if classes do not exclude each other.
        unit (str): Its unit in captions; "" if it has none.
        compares_classes (bool): Whether the score of a class depends on the other classes'
                    logits, which makes no sense if classes do not exclude each other.
    """

    name: str
    label: str
    wrap: Callable[[Forward], Forward]
    probability: Callable[[Forward], Forward] = probability
    unit: str = ""
    compares_classes: bool = True


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("logit", "logit", LogitWrapper, unit="logits", compares_classes=False),
        Score("probability", "probability", probability),
        Score("log_probability", "log-probability", log_probability),
        Score("margin", "margin", margin, unit="logits"),
        Score("sigmoid", "sigmoid", sigmoid, probability=sigmoid, compares_classes=False),
    )
}


def probabilities_given(
    forward_func: Callable[[Tensor], Tensor], inputs: Tensor, outputs: Tensor
) -> str:
    """
    Return a remark if outputs that should be logits look like probabilities, else "".

    Logits may lie in [0, 1] by chance, but seldom those of strong noise as well. Only a softmax
    shows beyond doubt, by rows that sum to 1: normalized features give logits in [0, 1], too.
    """
    if not _in_unit_interval(outputs):
        return ""
    noise = 10 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    others = forward_func(noise.to(inputs))
    # What ignores the image, such as a bias, is no probability.
    if not _in_unit_interval(others) or torch.allclose(others, outputs, atol=1e-4):
        return ""
    if _sum_to_one(outputs) and _sum_to_one(others):
        return (
            "The network seems to return probabilities: for any image, its outputs lie in [0, 1] "
            "and sum to 1. It must return logits, without a softmax behind them."
        )
    return (
        "The network may return probabilities: its outputs lie in [0, 1], for noise as well. If a "
        "sigmoid is behind them, it must return logits instead. If its classes do not exclude each "
        "other, their probabilities are those of --score sigmoid or, in explain, --multi-label."
    )


def _in_unit_interval(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _sum_to_one(values: Tensor) -> bool:
    sums = values.sum(1)
    # Half precision sums to 1 within a few thousandths.
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-2)


def model_of(forward_func: Callable[..., Any]) -> Module | None:
    """Return the module that a function is, or that it is a score of; else None."""
    while isinstance(forward_func, ScoreWrapper):
        forward_func = forward_func.forward_func
    return forward_func if isinstance(forward_func, Module) else None
