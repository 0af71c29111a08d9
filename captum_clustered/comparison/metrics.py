"""The metrics of a comparison, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import LayerAttribution
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from captum_clustered import metrics
from captum_clustered.comparison.case import Case, RectifiedMap
from captum_clustered.comparison.choices import chosen, unknown
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.metrics.insertion_deletion import area_under

# Of infidelity: noise as a share of each image's own standard deviation.
NOISE = 0.1
N_NOISES = 10
# Of max-sensitivity, in units of the input, and how often.
RADIUS = 0.02
N_SHIFTS = 3
# Of the insertion and deletion curves.
N_STEPS = 10
DIRECTIONS = ("higher", "lower", None)


@dataclass(frozen=True)
class Metric:
    r"""
    A metric of a comparison.

    Attributes:

        function (Callable): Takes a :class:`Case` and returns one value for each image, a
                    tensor of shape (N,).
        direction (str or None): Which values are better, "higher" or "lower", if any.
                    Default: None
    """

    function: Callable[[Case], Tensor]
    direction: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction={self.direction!r} must be 'higher', 'lower' or None.")


def make_metrics(given: Any, has_masks: bool) -> dict[str, Metric]:
    """
    The metrics to evaluate, in the order of the tables.

    Raises:

        TypeError, ValueError: If one is not known, no function, or needs masks.
    """
    if given is None:
        return {name: METRICS[name] for name in DEFAULT + (DEFAULT_WITH_MASKS if has_masks else ())}
    found = {}
    for name, value in chosen("metrics", given).items():
        if value is None:
            if name not in METRICS:
                raise unknown("metrics", name, METRICS)
            if name in NEEDS_MASKS and not has_masks:
                raise ValueError(f"metrics has {name!r}, which needs masks in data.")
            found[name] = METRICS[name]
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


def _kept(name: str, filling: float | str, keep: float | None) -> Callable[[Case], Tensor]:
    def function(case: Case) -> Tensor:
        metric = getattr(metrics, name)
        result: Tensor = metric(
            case.probability,
            case.inputs,
            case.attributions,
            target=case.target,
            filling=filling,
            keep=keep,
        )
        return result

    return function


def curve(case: Case, name: str, filling: float | str) -> Tensor:
    """An insertion or deletion curve, computed once for each case, (N, n_steps + 1)."""
    key = f"{name} {filling}"
    if key not in case.curves:
        case.curves[key] = getattr(metrics, f"{name}_curve")(
            case.probability,
            case.inputs,
            case.attributions,
            target=case.target,
            filling=filling,
            n_steps=N_STEPS,
            max_examples_per_batch=len(case.inputs),
        )
    return case.curves[key]


def _area(case: Case, name: str, filling: float | str) -> Tensor:
    area: Tensor = area_under(curve(case, name, filling), case.inputs)
    return area


def _insertion(case: Case) -> Tensor:
    return _area(case, "insertion", "blur")


def _deletion(case: Case) -> Tensor:
    return _area(case, "deletion", 0.0)


def _insertion_minus_deletion(case: Case) -> Tensor:
    return _insertion(case) - _area(case, "deletion", "blur")


def _complexity(case: Case) -> Tensor:
    return metrics.complexity(case.attributions, case.inputs)


def _coherency(case: Case) -> Tensor:
    return metrics.coherency(case.explain, case.inputs, case.attributions, target=case.target)


def _adcc(case: Case) -> Tensor:
    return metrics.adcc(
        case.explain, case.probability, case.inputs, case.attributions, target=case.target
    )


def _road(case: Case) -> Tensor:
    return metrics.road(
        case.probability,
        case.inputs,
        case.attributions,
        target=case.target,
        max_examples_per_batch=len(case.inputs),
    )


def _infidelity(case: Case) -> Tensor:
    """
    Captum's infidelity of the probability, with ``normalize=True``.

    The perturbation is Gaussian noise of a tenth of the image's standard deviation, the
    same for all methods, ten times; the map is signed and interpolated to the input.
    """
    generator = case.generator()

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        scale = NOISE * inputs.flatten(1).std(1).view(-1, *[1] * (inputs.dim() - 1))
        noise = torch.randn(inputs.shape, generator=generator, device="cpu").to(inputs) * scale
        return noise, inputs - noise

    as_input = InputAttribution(_Given(case)).attribute(case.inputs)
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


def _max_sensitivity(case: Case) -> Tensor:
    """
    Captum's max-sensitivity of the ReLU'd map, interpolated to the input.

    Three uniform perturbations of at most 0.02, the same for all methods.
    """
    generator = case.generator()

    def perturb(inputs: Any, radius: float) -> Any:
        if isinstance(inputs, tuple):
            return tuple(perturb(tensor, radius) for tensor in inputs)
        noise = torch.rand(inputs.shape, generator=generator, device="cpu").to(inputs)
        return inputs + (2 * noise - 1) * radius

    result: Tensor = sensitivity_max(
        InputAttribution(RectifiedMap(case)).attribute,
        case.inputs,
        perturb,
        perturb_radius=RADIUS,
        n_perturb_samples=N_SHIFTS,
        max_examples_per_batch=len(case.inputs),
        target=case.target,
    )
    return result


class _Given(LayerAttribution):
    """Maps that are already there."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.forward_func, torch.nn.Identity())
        self.maps = case.attributions

    def attribute(self, inputs: Tensor) -> Tensor:
        """The maps."""
        return self.maps.to(inputs.dtype)


def _of_place(metric: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Case], Tensor]:
    """NaN, a missing value, where the mask is empty: no map could hit it."""

    def function(case: Case) -> Tensor:
        if case.masks is None:
            raise ValueError("data must hold masks for this metric.")
        values = metric(case.attributions, case.masks)
        there = case.masks.flatten(1).any(1).to(values.device)
        return torch.where(there, values, torch.nan)

    return function


def _share(name: str) -> Callable[[Case], Tensor]:
    def share(attributions: Tensor, masks: Tensor) -> Tensor:
        found: Tensor = getattr(metrics.energy_shares(attributions, masks), name)
        return found

    return _of_place(share)


# Names of fillings in tables.
_FILLINGS: dict[str, float | str] = {"": 0.0, " (mean)": "mean", " (blur)": "blur"}
_KEPT = {
    "average drop": ("average_drop", "lower"),
    "increase in confidence": ("increase_in_confidence", "higher"),
    "average gain": ("average_gain", "higher"),
}
METRICS: dict[str, Metric] = {
    f"{name}{half}{filling_name}": Metric(_kept(function, filling, keep), direction)
    for name, (function, direction) in _KEPT.items()
    for half, keep in (("", None), (" 50%", 0.5))
    for filling_name, filling in _FILLINGS.items()
} | {
    "insertion": Metric(_insertion, "higher"),
    "deletion": Metric(_deletion, "lower"),
    "insertion - deletion": Metric(_insertion_minus_deletion, "higher"),
    "complexity": Metric(_complexity, "lower"),
    "coherency": Metric(_coherency, "higher"),
    "ADCC": Metric(_adcc, "higher"),
    "ROAD": Metric(_road, "higher"),
    "infidelity": Metric(_infidelity, "lower"),
    "max-sensitivity": Metric(_max_sensitivity, "lower"),
    "pointing game": Metric(_of_place(metrics.pointing_game), "higher"),
    "energy in mask": Metric(_of_place(metrics.energy_pointing_game), "higher"),
    "IoU": Metric(_of_place(metrics.iou), "higher"),
    "energy lesion": Metric(_share("lesion"), "higher"),
    "energy ring": Metric(_share("ring")),
    "energy background": Metric(_share("background"), "lower"),
}
NEEDS_MASKS = (
    "pointing game",
    "energy in mask",
    "IoU",
    "energy lesion",
    "energy ring",
    "energy background",
)
DEFAULT = (
    *(
        f"{name}{variant}"
        for name in ("average drop", "increase in confidence")
        for variant in ("", " (mean)", " (blur)", " 50%")
    ),
    "average gain",
    "insertion",
    "deletion",
    "insertion - deletion",
    "complexity",
    "coherency",
    "ADCC",
    "infidelity",
)
# "energy in mask" is the same number as "energy lesion".
DEFAULT_WITH_MASKS = tuple(name for name in NEEDS_MASKS if name != "energy in mask")
