"""The score of each image's predicted class, found in the pass that ablates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_clustered.scores import ScoreWrapper


class ChosenScore(ScoreWrapper):
    """
    A forward function that selects the target by itself: one score for each image.

    Which class is predicted is known when the network has run; running it once more to
    explain that class would double the price of an image. So the class is read off the
    scores of the images as they are, which the first pass over a batch has in its first
    row, and the scores of the ablated images are those of the same class.

    Attributes:

        prediction (Tensor or None): The class with the largest score of each image of the
                    batch, (N,), once the batch was run.
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        super().__init__(forward_func, _same)
        self.prediction: Tensor | None = None
        self._target: Tensor | None = None
        self._range = (0, 0)

    def start(self, target: Tensor | None) -> None:
        """
        To be called before each batch.

        Args:

            target (Tensor or None): The class of each image, (N,), on the CPU; None for the
                        predicted.
        """
        self.prediction, self._target = None, target
        # Here, where it costs no waiting for a GPU.
        self._range = (0, 0) if target is None else (int(target.min()), int(target.max()))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """
        Scores of shape (N,).

        Raises:

            ValueError: If the forward function does not return (N, n_classes), or a target is
                        none of these classes.
        """
        scores = self.forward_func(*args, **kwargs)
        if not isinstance(scores, Tensor) or scores.dim() != 2:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                "forward_func must return a score for each class, shape (N, n_classes); got "
                f"{shape}."
            )
        for target in self._range:
            if not 0 <= target < scores.shape[1]:
                raise ValueError(
                    f"target {target} is out of range: forward_func returns {scores.shape[1]} "
                    f"classes, 0 to {scores.shape[1] - 1}."
                )
        selected: Tensor = _Select.apply(scores, self)
        return selected

    def select(self, rows: Tensor) -> Tensor:
        """Of scores (rows, N, n_classes) those of the target, (rows, N)."""
        if self.prediction is None:
            self.prediction = rows[0].argmax(1)
        target = self.prediction if self._target is None else self._target.to(rows.device)
        return rows.gather(2, target.expand(len(rows), -1)[..., None])[..., 0]


class _Select(torch.autograd.Function):
    """Under vmap an operation sees one row alone; only its rule for vmap sees them all."""

    @staticmethod
    def forward(scores: Tensor, chosen: ChosenScore) -> Tensor:
        return chosen.select(scores[None])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """There is no backward pass."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], scores: Tensor, chosen: ChosenScore
    ) -> tuple[Tensor, int]:
        assert in_dims[0] is not None  # noqa: S101 - torch calls it only then
        return chosen.select(scores.movedim(in_dims[0], 0)), 0


def _same(scores: Tensor) -> Tensor:
    return scores
