"""What a metric is given."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor
from torch.nn import Identity

from captum_clustered.comparison.data import Batch
from captum_clustered.comparison.forward import Forward, Remembered
from captum_clustered.scores import probability


@dataclass
class Case:
    """
    One method's maps on one batch of images, for a metric to judge.

    Attributes:

        method (str): The method's name.
        inputs (Tensor): Images of shape (N, channels, \\*spatial).
        target (Tensor): The class that is explained, for each image, shape (N,).
        attributions (Tensor): The method's maps of shape (N, 1, \\*spatial of the layer),
                    with their sign.
        labels (Tensor or None): True classes, shape (N,).
        masks (Tensor or None): Where the object is, of shape (N, 1, \\*spatial), boolean.
        forward_func (Callable): Returns logits.
        probability (Callable): Returns probabilities.
        explainer (Callable): Makes the method's maps of a batch.
        seed (int): A seed of its own for each batch, the same for all methods.
        explain (Callable): ``explain(inputs, target=target)`` gives the method's maps of
                    other inputs, as many of each image as of any other.
    """

    method: str
    inputs: Tensor
    target: Tensor
    attributions: Tensor
    labels: Tensor | None
    masks: Tensor | None
    forward_func: Forward
    probability: Forward
    explainer: Callable[[Batch, Tensor], Tensor] = field(repr=False)
    seed: int
    explain: Callable[..., Tensor] = field(init=False, repr=False)
    curves: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        def explain(inputs: Tensor, target: Tensor) -> Tensor:
            return self.explainer(Batch(inputs, masks=self.masks), target)

        # Coherency and ADCC ask for the same maps.
        self.explain = Remembered(explain, len(self.inputs))

    def generator(self) -> torch.Generator:
        """A new random number generator on the CPU, the same for all methods."""
        return torch.Generator().manual_seed(self.seed)

    def copied(self) -> Case:
        """The same case with tensors of its own, but what it remembers is shared."""
        case = copy.copy(self)
        for name in ("inputs", "target", "attributions", "labels", "masks"):
            tensor = getattr(self, name)
            setattr(case, name, None if tensor is None else tensor.clone())
        return case

    def select(self, indices: list[int]) -> Case:
        """The case of some of the images."""
        if indices == list(range(len(self.inputs))):
            return self
        part = Batch(self.inputs, self.labels, self.masks).select(indices)
        return replace(
            self,
            inputs=part.inputs,
            target=self.target[indices],
            attributions=self.attributions[indices],
            labels=part.labels,
            masks=part.masks,
        )


def remembered_probability(forward_func: Forward, n_examples: int) -> Forward:
    """Probabilities of a batch and of what is made of it."""
    return Remembered(probability(forward_func), n_examples)


def seed_of(seed: int, batch_index: int, *what: str) -> int:
    """A seed for one purpose in one batch."""
    return zlib.crc32(" ".join([str(seed), str(batch_index), *what]).encode())


class RectifiedMap(LayerAttribution):
    """A method's maps without their negative part, as Captum's metrics want a method."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.forward_func, Identity())
        self.case = case

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        """
        Args:

            inputs (Tensor or tuple of one Tensor): Images.
            target (Tensor): The class for each of them.

        Returns:
            Tensor: Of shape (N, 1, \\*spatial of the layer).
        """
        images = inputs[0] if isinstance(inputs, tuple) else inputs
        return torch.relu(self.case.explain(images, target=target))
