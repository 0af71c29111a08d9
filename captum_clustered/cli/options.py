"""The options of the command line, each declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union, get_type_hints

import typer
from typer import Option

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import UserError
from captum_clustered._scalings import SCALINGS
from captum_clustered.data.gray_values import chosen_range
from captum_clustered.multi_layer_attribution import FUSIONS
from captum_clustered.scores import SCORES

if TYPE_CHECKING:
    from captum_clustered.data import Preprocessing
    from captum_clustered.explain import ExplainerSettings, ImageExplainer
    from captum_clustered.models import Model

Scaling = Enum("Scaling", [(name, name) for name in SCALINGS], type=str)  # type: ignore[misc]
Importance = Enum(  # type: ignore[misc]
    "Importance", [(name, name) for name in IMPORTANCES], type=str
)
Score = Enum("Score", [(name, name) for name in SCORES], type=str)  # type: ignore[misc]

Fusion = Enum("Fusion", [(name, name) for name in FUSIONS], type=str)  # type: ignore[misc]

DROP, ABLATION, LOGIT = Scaling("drop"), Importance("ablation"), Score("logit")
MEAN = Fusion("mean")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} must be numbers, separated by commas") from None


def _mean(text: str) -> tuple[float, ...]:
    numbers = _numbers(text)
    if len(numbers) not in (1, 3):
        raise typer.BadParameter(f"{text!r} must be 1 or 3 numbers")
    if not all(0 <= number <= 1 for number in numbers):
        raise typer.BadParameter(
            f"{text!r} must be from 0 to 1, because pixel values are scaled to 0 to 1"
        )
    return numbers


def _std(text: str) -> tuple[float, ...]:
    if 0 in _numbers(text):
        raise typer.BadParameter(f"{text!r} must be above 0: pixel values are divided by it")
    return _mean(text)


ModelName = Annotated[
    str,
    Option(
        "--model",
        help="A torchvision classification model, timm:name, or package.module:factory, a function "
        "without arguments that returns a torch.nn.Module or (module, transform).",
    ),
]
Weights = Annotated[
    Union[str, None],
    Option(
        "--weights",
        help="Name of torchvision weights (default: DEFAULT), or file of a state dict: .pt, .pth, "
        ".safetensors.",
    ),
]
FusionName = Annotated[
    Fusion, Option("--fusion", help="How the maps of several layers, of equal mass, become one.")
]
ClassNames = Annotated[
    Union[str, None],
    Option(
        "--class-names",
        help="Names of the classes in the order of the model's outputs, separated by commas "
        "(default: those of the weights, or .class_names of the model).",
    ),
]
Size = Annotated[
    Union[int, None],
    Option(
        "--size",
        min=1,
        help="Height and width of the input (default: those of the weights, or 224).",
    ),
]
OutFolder = Annotated[Path, Option("--out", help="Folder for the results.")]
ResumableFolder = Annotated[
    Path,
    Option("--out", help="Folder for the results. The same command continues an interrupted run."),
]
Target = Annotated[
    str, Option("--target", help="The class to explain: prediction, label or a number.")
]
LayerInput = Annotated[
    bool, Option("--layer-input", help="Use the layer's input instead of its output.")
]
ScoreName = Annotated[Score, Option("--score", help="The score to explain.")]
Seed = Annotated[int, Option("--seed", min=0, help="Seed of all random numbers.")]
SavedClusters = Annotated[
    Union[Path, None],
    Option(
        "--clusters",
        help="Saved clusters for all images: the folder of a run with --fit, a file of torch.save, "
        "or an explanation (.npz).",
    ),
]


@dataclass(frozen=True)
class NetworkOptions:
    """The network, its layer, and how images become its input."""

    model: ModelName
    layer: Annotated[
        Union[list[str], None],
        Option(
            help="The layer's name; the command layers lists them (default: the usual choice). "
            "explain and compare fuse the maps of several, separated by commas."
        ),
    ] = None
    weights: Weights = None
    size: Size = None
    mean: Annotated[
        Any,
        Option(
            parser=_mean,
            metavar="NUMBERS",
            help="1 or 3 numbers from 0 to 1 (default: those of the weights, or ImageNet's).",
        ),
    ] = None
    std: Annotated[
        Any,
        Option(
            parser=_std,
            metavar="NUMBERS",
            help="1 or 3 standard deviations, on the scale of --mean.",
        ),
    ] = None
    value_range: Annotated[
        Any,
        Option(
            "--range",
            parser=_numbers,
            metavar="LOW,HIGH",
            help="LOW,HIGH: the stored gray values that become black and white, such as 0,4095 for "
            "12 bits (default: all of 16 bits; the window of a DICOM file).",
        ),
    ] = None
    window: Annotated[
        Any,
        Option(
            parser=_numbers,
            metavar="CENTER,WIDTH",
            help="CENTER,WIDTH: the same as --range, as DICOM has it.",
        ),
    ] = None
    class_names: ClassNames = None
    device: Annotated[str, Option(help="cpu, cuda, cuda:1, mps, ...")] = "cpu"

    def __post_init__(self) -> None:
        """End the command as a wrong use if there is no range of values."""
        try:
            chosen_range(self.value_range, self.window)
        except ValueError as error:
            option = "--range" if self.window is None else "--window"
            raise typer.BadParameter(str(error).rstrip("."), param_hint=option) from None

    @property
    def layers(self) -> list[str]:
        """The names of the layers; none for the usual one."""
        return names_of(self.layer) or []

    def load(self) -> tuple[Model, Preprocessing]:
        """Return the network of images and its preprocessing."""
        model = self._load()
        if model.takes_volumes:
            raise UserError(
                f"{model.name} takes volumes: `captum-clustered explain` explains them."
            )
        return model, model.preprocessing(*self._pixels)

    def explainer(self, settings: ExplainerSettings) -> ImageExplainer:
        """Return what explains images or, by a network of volumes, volumes."""
        from captum_clustered.explain import ImageExplainer, VolumeExplainer

        model = self._load()
        if model.takes_volumes:
            return VolumeExplainer(model, settings, model.volume_preprocessing(*self._pixels))
        return ImageExplainer(model, settings, model.preprocessing(*self._pixels))

    @property
    def _pixels(self) -> tuple[Any, ...]:
        return self.size, self.mean, self.std, self.value_range, self.window

    def _load(self) -> Model:
        from captum_clustered.models import load_model

        names = None if self.class_names is None else class_names_of(self.class_names)
        return load_model(self.model, self.weights, self.device, names)


@dataclass(frozen=True)
class MethodOptions:
    """The method's arguments; the names are those of :class:`ExplainerSettings`."""

    layer_input: LayerInput = False
    n_clusters: Annotated[int, Option(min=1, help="Number of clusters.")] = 10
    clusters: SavedClusters = None
    scaling: Annotated[
        Scaling,
        Option(
            help="density spreads the importance over the positions where the cluster is active; "
            "drop multiplies each feature map by its share of it."
        ),
    ] = DROP
    importance: Annotated[
        Importance, Option(help="ablation: the drop in the score; shapley: the Shapley value.")
    ] = ABLATION
    n_clusterings: Annotated[
        int, Option(min=1, help="Number of clusterings; their maps are averaged.")
    ] = 1
    n_samples: Annotated[
        int, Option(min=1, help="Number of permutations for sampled Shapley values.")
    ] = 25
    seed: Seed = 0
    channel_dim: Annotated[
        int, Option(help="Dimension of the layer's channels; -1 for transformers.")
    ] = 1
    n_prefix: Annotated[
        Union[int, None],
        Option(
            min=0,
            help="Number of a transformer's tokens before those of the patches: the class token "
            "and registers (default: found where there is no doubt).",
        ),
    ] = None
    score: ScoreName = LOGIT
    layer_baselines: Annotated[
        Union[float, None],
        Option("--layer-baseline", help="The value that replaces ablated channels (default: 0)."),
    ] = None
    perturbations_per_eval: Annotated[
        Union[int, None],
        Option(
            min=1, help="Number of ablated copies of the layer in memory at once (default: all)."
        ),
    ] = None

    views: Annotated[
        Union[list[str], None],
        Option(
            help="Views to average the maps over, separated by commas: identity,hflip or "
            "'identity,hflip+zoom(1.15)' (default: none)."
        ),
    ] = None

    def settings(self, layers: Sequence[str], target: int | None = None) -> ExplainerSettings:
        """Return these and the layers as the library takes them."""
        from captum_clustered.explain import ExplainerSettings

        values = {
            name: value.value if isinstance(value, Enum) else value
            for name, value in vars(self).items()
        }
        values["views"] = tuple(names_of(self.views) or ())
        return ExplainerSettings(layer=layers, target=target, **values)


@dataclass(frozen=True)
class DrawingOptions:
    """How maps are drawn; the names are those of the functions in ``visualization``."""

    opacity: Annotated[
        Union[float, None],
        Option(min=0, max=1, help="Strength of the colors of a map in figures (default: 1)."),
    ] = None
    outline: Annotated[
        bool, Option("--outline", help="Draw outlines of the maps in figures, and no colors.")
    ] = False
    keep_colors: Annotated[
        bool, Option("--keep-colors", help="Do not draw images in gray below their maps.")
    ] = False

    def options(self) -> dict[str, Any]:
        """Return these as the figures take them."""
        return {name: value for name, value in vars(self).items() if value is not None}


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """
    Replace parameters that are a dataclass of options by these options.

    Typer makes an option of each parameter of the signature. This puts the fields of
    :class:`NetworkOptions` and the like there, and calls the function with the
    dataclass.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    found: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            hints |= get_type_hints(groups[name], include_extras=True)
            found |= inspect.signature(groups[name]).parameters
        else:
            found[name] = parameter
    parameters = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in found.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        function(**given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    del command.__wrapped__
    return command


def target_of(text: str) -> str | int:
    """Return the value of --target for commands on many images."""
    if text in ("prediction", "label"):
        return text
    if text.isdecimal():
        return int(text)
    raise UserError(f"--target {text} must be prediction, label or the number of a class.")


def names_of(given: list[str] | None) -> list[str] | None:
    """Return names from options that may hold several, separated by commas outside brackets."""
    names: list[str] = []
    for text in given or ():
        start = depth = 0
        for position, character in enumerate(f"{text},"):
            depth += (character in "([{") - (character in ")]}")
            if character == "," and depth <= 0:
                names.append(text[start:position].strip())
                start = position + 1
        names.append(text[start:].strip())
    return list(dict.fromkeys(filter(None, names))) or None


def class_names_of(text: str) -> list[str]:
    """Return the names in --class-names."""
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(names) or len({name.casefold() for name in names}) < len(names):
        raise UserError(
            f"--class-names {text} must be different names, one for each class: benign,malignant."
        )
    return names
