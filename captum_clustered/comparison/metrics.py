"""The metrics of a comparison: how each is called on the maps of one method."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.forward import Forward, Remembered
from captum_clustered.comparison.registry import chosen, unknown
from captum_clustered.input_attribution import like_input
from captum_clustered.metrics._registry import ARROWS, METRICS, MetricInfo, metric
from captum_clustered.metrics.insertion_deletion import area_under, deletion_curve, insertion_curve

# Of infidelity: noise as a share of each image's own standard deviation.
NOISE = 0.1
N_NOISES = 10
# Of max-sensitivity, in units of the input, and how often.
RADIUS = 0.02
N_SHIFTS = 3
# Of the insertion and deletion curves.
N_STEPS = 10


@dataclass
class Case:
    r"""
    One method's maps of one batch of images, which a metric evaluates.

    Attributes:

        method (str): The method's name.
        inputs (Tensor): Images of shape (N, channels, \*spatial).
        target (Tensor): The explained class of each image, shape (N,).
        attributions (Tensor): The method's maps of shape (N, 1, \*spatial of the layer),
                    with their sign.
        labels (Tensor or None): True classes, shape (N,).
        masks (Tensor or None): Booleans, true inside the object, shape (N, 1,
                    \*spatial).
        forward_func (Callable): Returns logits.
        probability (Callable): Returns probabilities.
        explainer (Callable): Computes the method's maps of a batch.
        seed (int): A seed that differs between batches and is the same for all methods.
        explain (Callable): ``explain(inputs, target=target)`` computes the method's maps
                    of other inputs, the same number of each image.
    """

    method: str
    inputs: Tensor
    target: Tensor
    attributions: Tensor
    labels: Tensor | None
    masks: Tensor | None
    forward_func: Forward
    probability: Forward
    explainer: Callable[[ImageBatch, Tensor], Tensor] = field(repr=False)
    seed: int
    explain: Callable[..., Tensor] = field(init=False, repr=False)
    curves: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        def explain(inputs: Tensor, target: Tensor) -> Tensor:
            return self.explainer(ImageBatch(inputs, masks=self.masks), target)

        # Coherency and ADCC ask for the same maps.
        self.explain = Remembered(explain, len(self.inputs))

    def generator(self) -> torch.Generator:
        """Return a new random number generator on the CPU, the same for all methods."""
        return torch.Generator().manual_seed(self.seed)

    def copied(self) -> Case:
        """Return the case with copied tensors; remembered results are shared."""
        case = copy.copy(self)
        vars(case).update(self._tensors(torch.clone))
        return case

    def select(self, indices: list[int]) -> Case:
        """Return the case of some of the images."""
        if indices == list(range(len(self.inputs))):
            return self
        return replace(self, **self._tensors(itemgetter(indices)))

    def _tensors(self, function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        names = ("inputs", "target", "attributions", "labels", "masks")
        found = {name: getattr(self, name) for name in names}
        return {name: None if each is None else function(each) for name, each in found.items()}


def seed_of(seed: int, batch_index: int, *what: str) -> int:
    """Return a seed for one purpose in one batch."""
    return zlib.crc32(" ".join([str(seed), str(batch_index), *what]).encode())


@dataclass(frozen=True)
class Metric:
    r"""
    A metric of a comparison.

    Attributes:

        function (Callable): Takes a :class:`Case` and returns one value for each image, a
                    tensor of shape (N,).
        direction (str or None): Which values are better: "higher", "lower" or None.
                    Default: None
    """

    function: Callable[[Case], Tensor]
    direction: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in ARROWS:
            raise ValueError(f"direction={self.direction!r} must be 'higher', 'lower' or None.")


def default_metrics(has_masks: bool) -> list[str]:
    """Return the names of the metrics that are evaluated unless others are chosen."""
    return [
        name
        for name, info in sorted(METRICS.items(), key=lambda item: item[1].takes("masks"))
        if info.is_default and (has_masks or not info.takes("masks"))
    ]


def make_metrics(given: Any, has_masks: bool) -> dict[str, Metric]:
    """Return the metrics to evaluate, in the order of the tables."""
    found = {}
    given = default_metrics(has_masks) if given is None else given
    for name, value in chosen("metrics", given).items():
        if value is None:
            if name not in METRICS:
                raise unknown("metrics", name, METRICS)
            if METRICS[name].takes("masks") and not has_masks:
                raise ValueError(f"metrics has {name!r}, which needs masks in data.")
            found[name] = _of_cases(METRICS[name])
        elif isinstance(value, Metric):
            found[name] = value
        elif callable(value):
            found[name] = Metric(value)
        else:
            raise TypeError(
                f"metrics[{name!r}] must be a function of a Case or a Metric; got "
                f"{type(value).__name__}."
            )
    if not found:
        raise ValueError("metrics must name at least one metric; got none.")
    return found


def _of_cases(info: MetricInfo) -> Metric:
    """Return a metric that takes its arguments from a case."""

    def function(case: Case) -> Tensor:
        given = {
            "case": case,
            "explanation_func": case.explain,
            "forward_func": case.probability,
            "inputs": case.inputs,
            "attributions": case.attributions,
            "masks": case.masks,
            "target": case.target,
            "max_examples_per_batch": len(case.inputs),
        }
        taken = {name: value for name, value in given.items() if info.takes(name)}
        # The keyword arguments of some functions are those of explanation_func.
        if info.takes("explanation_func"):
            taken["target"] = case.target
        found = info.function(**taken, **info.options)
        values: Tensor = getattr(found, info.part) if info.part else found
        if case.masks is not None and info.takes("masks"):
            # A missing value where the mask is empty: no map could hit it.
            there = case.masks.flatten(1).any(1).to(values.device)
            values = torch.where(there, values, torch.nan)
        return values

    return Metric(_CURVES.get(info.label, function), info.direction)


def curve(case: Case, name: str, baseline: float | str) -> Tensor:
    """Return an insertion or deletion curve, computed once per case, (N, n_steps + 1)."""
    key = f"{name} {baseline}"
    if key not in case.curves:
        function = {"insertion": insertion_curve, "deletion": deletion_curve}[name]
        case.curves[key] = function(
            case.probability,
            case.inputs,
            case.attributions,
            target=case.target,
            baseline=baseline,
            n_steps=N_STEPS,
            max_examples_per_batch=len(case.inputs),
        )
    return case.curves[key]


def _area(case: Case, name: str, baseline: float | str) -> Tensor:
    return area_under(curve(case, name, baseline), case.inputs)


# Metrics that share curves, which figures show too.
_CURVES: dict[str, Callable[[Case], Tensor]] = {
    "insertion": lambda case: _area(case, "insertion", "blur"),
    "deletion": lambda case: _area(case, "deletion", 0.0),
    "insertion - deletion": lambda case: (
        _area(case, "insertion", "blur") - _area(case, "deletion", "blur")
    ),
}


@metric(
    "infidelity",
    direction="lower",
    meaning="whether the map predicts how noise of a tenth of the image's standard deviation "
    "changes p, with `normalize=True`",
    values="at least 0",
    won_by="flat maps, where p hardly changes",
)
def _infidelity(case: Case) -> Tensor:
    # The map keeps its sign and is interpolated to the input.
    generator = case.generator()

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        scale = NOISE * inputs.flatten(1).std(1).view(-1, *[1] * (inputs.dim() - 1))
        noise = torch.randn(inputs.shape, generator=generator, device="cpu").to(inputs) * scale
        return noise, inputs - noise

    as_input = like_input(case.attributions.to(case.inputs.dtype), case.inputs)
    result: Tensor = infidelity(
        case.probability,
        perturb,
        case.inputs,
        as_input,
        target=case.target,
        n_perturb_samples=N_NOISES,
        max_examples_per_batch=len(case.inputs),
        normalize=True,
    )
    return result


@metric(
    "max-sensitivity",
    direction="lower",
    meaning="largest relative change of the map when the input changes by at most 0.02",
    values="at least 0",
    won_by="maps that do not depend on the input",
    is_slow=True,
    defaults=(),
)
def _max_sensitivity(case: Case) -> Tensor:
    generator = case.generator()

    def perturb(inputs: Tensor, radius: float) -> Tensor:
        noise = torch.rand(inputs.shape, generator=generator, device="cpu").to(inputs)
        return inputs + (2 * noise - 1) * radius

    def explain(inputs: Tensor | tuple[Tensor], target: Tensor) -> Tensor | tuple[Tensor]:
        images = inputs[0] if isinstance(inputs, tuple) else inputs
        maps = like_input(torch.relu(case.explain(images, target=target)), images)
        # Captum gives a tuple the first time, and needs one: it takes each part for a map.
        return (maps,) if isinstance(inputs, tuple) else maps

    result: Tensor = sensitivity_max(
        explain,
        case.inputs,
        perturb,
        perturb_radius=RADIUS,
        n_perturb_samples=N_SHIFTS,
        max_examples_per_batch=len(case.inputs),
        target=case.target,
    )
    return result
