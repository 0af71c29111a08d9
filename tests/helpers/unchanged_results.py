"""
Results of the whole package on tiny networks and images, to compare with stored ones.

``tests/unchanged/reference.json`` was written on commit 1193faa, before the package was
reorganized. It is rewritten only when a result is meant to change:

    python tests/helpers/unchanged_results.py --write

Every use of the package's interface is in this file: most in the first part, the rest in
the case that it is about. Whoever renames something edits the calls here. The names of
cases and of their numbers, which the reference has, are ours and stay.

Inputs and weights are multiples of 1/64, so that every machine has the same to the last
bit. Channels come in kinds that are far apart, so that rounding does not decide in which
cluster one is.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam
from PIL import Image
from sklearn.base import BaseEstimator
from torch import nn
from typer.testing import CliRunner

from captum_clustered import ClusteredLayerCAM, InputAttribution, metrics, scores, tokens_to_map
from captum_clustered.cli.app import app as command_line
from captum_clustered.comparison import Metric, compare
from captum_clustered.dataset_run import Run, cluster_summary, explain_dataset

REFERENCE = Path(__file__).parents[1] / "unchanged" / "reference.json"
DIGITS = 8

Results = dict[str, Any]
CASES: dict[str, Callable[[], Results]] = {}

# --- The package's interface -----------------------------------------------------------------

DENSITY, DROP = "density", "drop"
ABLATION, SHAPLEY = "ablation", "shapley"

# Ours -> the package's names in tables.
METHODS = {
    "default": "ClusteredLayerCAM(clusterer=10, scaling='density')",
    "three clusterings": "ClusteredLayerCAM(clusterer=3, n_clusterings=3, scaling='density')",
    "shapley": "ClusteredLayerCAM(clusterer=4, importance='shapley', scaling='density')",
    "drop": "ClusteredLayerCAM(clusterer=5, scaling='drop')",
    "Grad-CAM": "LayerGradCam",
    "HiResCAM": "LayerGradientXActivation",
    "channels": "LayerFeatureAblation",
}
CONTROLS = {
    "constant": "Fake-CAM",
    "random": "random",
    "center": "center Gaussian",
    "mean": "mean activation",
    "mask": "mask",
}
METRICS = {
    "drop": "average drop",
    "drop, mean": "average drop (mean)",
    "drop, blur": "average drop (blur)",
    "drop, half": "average drop 50%",
    "drop, half, mean": "average drop 50% (mean)",
    "drop, half, blur": "average drop 50% (blur)",
    "increase": "increase in confidence",
    "increase, mean": "increase in confidence (mean)",
    "increase, blur": "increase in confidence (blur)",
    "increase, half": "increase in confidence 50%",
    "increase, half, mean": "increase in confidence 50% (mean)",
    "increase, half, blur": "increase in confidence 50% (blur)",
    "gain": "average gain",
    "gain, mean": "average gain (mean)",
    "gain, blur": "average gain (blur)",
    "gain, half": "average gain 50%",
    "gain, half, mean": "average gain 50% (mean)",
    "gain, half, blur": "average gain 50% (blur)",
    "insertion": "insertion",
    "deletion": "deletion",
    "difference": "insertion - deletion",
    "complexity": "complexity",
    "coherency": "coherency",
    "ADCC": "ADCC",
    "ROAD": "ROAD",
    "infidelity": "infidelity",
    "sensitivity": "max-sensitivity",
}
METRICS_OF_MASKS = {
    "pointing": "pointing game",
    "energy": "energy in mask",
    "IoU": "IoU",
    "lesion": "energy lesion",
    "ring": "energy ring",
    "background": "energy background",
}
CURVES = {
    "insertion, blur": "insertion blur",
    "deletion, zero": "deletion 0.0",
    "deletion, blur": "deletion blur",
}
SUMMARY_COLUMNS = {
    "mean": "mean",
    "low": "low",
    "high": "high",
    "n": "n",
    "missing": "missing",
    "difference": "difference",
    "difference, low": "difference_low",
    "difference, high": "difference_high",
    "pairs": "pairs",
    "p": "p",
    "p, corrected": "p_holm",
}
IMAGE_COLUMNS = {
    "label": "label",
    "prediction": "prediction",
    "correct": "correct",
    "explained class": "target",
}
ROWS = "forward_examples"
# Of the files of a run over a data set.
RUN_COLUMNS = {
    "number": "index",
    "label": "label",
    "prediction": "prediction",
    "explained class": "target",
    "score": "score",
    "baseline score": "baseline_score",
    "importances": "importances",
    "sizes": "sizes",
    "scale": "scale",
    "attribution": "attribution",
}
RUN_ERROR = "error"
# Of the .npz files of the command line.
ARRAYS = {
    "attribution": "attribution",
    "Grad-CAM": "gradcam",
    "labels": "labels",
    "importances": "importances",
    "maps": "maps",
    "sizes": "sizes",
    "score": "score",
    "baseline score": "baseline_score",
    "explained class": "target",
    "image": "input_image",
}


def method(
    forward_func: Any,
    layer: nn.Module,
    *,
    groups: Any = 3,
    scaling: str = DENSITY,
    importance: str = ABLATION,
    clusterings: int = 1,
    permutations: int = 25,
    seed: int = 0,
    channel_dim: int = 1,
) -> ClusteredLayerCAM:
    return ClusteredLayerCAM(
        forward_func,
        layer,
        clusterer=groups,
        scaling=scaling,
        importance=importance,
        n_clusterings=clusterings,
        n_samples=permutations,
        seed=seed,
        channel_dim=channel_dim,
    )


def explained(
    cam: ClusteredLayerCAM,
    inputs: Any,
    target: Any = 1,
    *,
    arguments: Any = None,
    at_input: bool = False,
    positive: bool = False,
    summed: bool = True,
    baselines: Any = None,
    at_once: int | None = None,
) -> Results:
    """All that attribute() returns."""
    has_delta = cam.scaling == DENSITY
    attribution, *delta, clusters = cam.attribute(
        inputs,
        target,
        additional_forward_args=arguments,
        attribute_to_layer_input=at_input,
        relu_attributions=positive,
        attr_dim_summation=summed,
        layer_baselines=baselines,
        perturbations_per_eval=at_once,
        return_convergence_delta=has_delta,
        return_clusters=True,
    )
    return {
        "attribution": attribution,
        **({"delta": delta[0]} if has_delta else {}),
        "labels": clusters.labels,
        "importances": clusters.importances,
        "maps": clusters.maps,
        "sizes": clusters.sizes,
        "score": clusters.score,
        "baseline score": clusters.baseline_score,
    }


def compared(
    net: nn.Module,
    layer: nn.Module,
    data: Any,
    methods: Any,
    metrics: Any,
    *,
    score: str = "logit",
    target: str | int = "prediction",
    at_input: bool = False,
    reference: str | None = "LayerGradCam",
    batch_size: int = 2,
    seed: int = 0,
) -> Any:
    return compare(
        net,
        layer,
        data,
        methods,
        metrics,
        score=score,
        target=target,
        attribute_to_layer_input=at_input,
        reference=reference,
        batch_size=batch_size,
        seed=seed,
        show_progress=False,
    )


def tabulated(result: Any, methods: dict[str, str], metrics: dict[str, str]) -> Results:
    """The values of a comparison by metric: a list of each method's, image by image."""
    frame = result.frame.sort_values("image")
    images = frame.drop_duplicates("image")
    found: Results = {"number of values": len(frame)}
    for ours, column in IMAGE_COLUMNS.items():
        found[ours] = images[column].astype("float64").to_numpy(np.float64, na_value=np.nan)
    for ours, metric in metrics.items():
        rows = frame[frame["metric"] == metric]
        found[ours] = [rows.loc[rows["method"] == name, "value"] for name in methods.values()]
    costs = result.costs()
    found["forward examples"] = [costs.loc[name, ROWS] for name in methods.values()]
    return found


def columns_of(run: Run) -> Results:
    """The columns of a run's files, with an empty list where there is no result."""
    table = run.table()
    found: Results = {
        ours: [
            np.nan if value is None else value
            for value in table[name].to_pylist()
            if not (value is None and table[name].type.num_fields)
        ]
        for ours, name in RUN_COLUMNS.items()
    }
    found["failed"] = [error is not None for error in table[RUN_ERROR].to_pylist()]
    found["maps"] = run.attributions(table)
    return found


def explained_by_command(*options: str) -> Results:
    """The arrays that the command ``explain`` writes for a picture."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "picture.png")
        pixels = np.random.default_rng(70).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(picture)
        arguments = [
            "explain",
            str(picture),
            *("--model", f"{__name__}:network_of_colors"),
            *("--layer", "relu"),
            *("--size", "16"),
            *("--out", folder + "/out"),
            *(() if "--scaling" in options else ("--scaling", DENSITY)),
            *options,
        ]
        # The command line looks for the model in the current directory, too.
        path = sys.path[:]
        try:
            result = CliRunner().invoke(command_line, arguments)
        finally:
            sys.path[:] = path
        if result.exit_code != 0:
            raise RuntimeError(result.output) from result.exception
        with np.load(Path(folder, "out", "picture.npz")) as file:
            return {ours: file[name] for ours, name in ARRAYS.items() if name in file}


# --- Networks and images ---------------------------------------------------------------------


def numbers(shape: Any, seed: int, scale: int = 64) -> torch.Tensor:
    """Multiples of 1/64 in [-scale / 64, scale / 64]."""
    values = np.random.default_rng(seed).integers(-scale, scale + 1, shape)
    return torch.from_numpy(values.astype(np.float64) / 64)


def images(n: int = 2, seed: int = 0, size: tuple[int, ...] = (8, 8)) -> torch.Tensor:
    return numbers((n, 2, *size), 100 + seed, 96)


def in_kinds(shape: tuple[int, ...], n_kinds: int, seed: int) -> torch.Tensor:
    """Weights of channels, each kind nearly multiples of one pattern."""
    channels = torch.arange(shape[0])
    strength = (1 + channels % 3 / 4).view(-1, *[1] * (len(shape) - 1))
    patterns = numbers((n_kinds, *shape[1:]), seed)
    return patterns[channels % n_kinds] * strength + numbers(shape, seed + 1, 1) / 4


class Network(nn.Module):
    """Convolutions to channels of a few kinds, and a head to which groups matter."""

    def __init__(
        self,
        channels: int = 10,
        kinds: int = 5,
        in_channels: int = 2,
        dims: int = 2,
        stride: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dims - 1]
        self.trunk = convolution(in_channels, 4, 3, padding=1, stride=stride, bias=False)
        self.conv = convolution(4, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.pool = pool(2)
        self.hidden = nn.Linear(channels * 2**dims, 6, bias=False)
        self.out = nn.Linear(6, 3, bias=False)
        self.trunk.weight.data = numbers(self.trunk.weight.shape, seed + 10)
        self.conv.weight.data = in_kinds(self.conv.weight.shape, kinds, seed + 20)
        self.hidden.weight.data = numbers(self.hidden.weight.shape, seed + 30, 12)
        self.out.weight.data = numbers(self.out.weight.shape, seed + 40, 128)
        self.eval()

    def forward(self, x: torch.Tensor, shift: Any = 0) -> torch.Tensor:
        maps = self.relu(self.conv(self.trunk(x).relu()))
        return self.out((self.hidden(self.pool(maps).flatten(1)) + shift).tanh())


class Unbatchable(Network):
    """A decision by a tensor's value, which vmap refuses: it runs once for each ablation."""

    def forward(self, x: torch.Tensor, shift: Any = 0) -> torch.Tensor:
        logits = super().forward(x, shift)
        return logits if logits.sum().item() > -1e9 else -logits


class OfTokens(nn.Module):
    """Tokens (N, T, C), of which the first stands for the class."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 2, stride=2, bias=False)
        self.block = nn.Linear(6, 9, bias=False)
        self.out = nn.Linear(9, 3, bias=False)
        self.patches.weight.data = numbers(self.patches.weight.shape, 50)
        self.block.weight.data = in_kinds(self.block.weight.shape, 3, 51)
        self.out.weight.data = numbers(self.out.weight.shape, 53)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        return self.out(self.block(tokens).tanh().mean(1).sin())


class OfPairs(nn.Module):
    """A layer with two tensors of different sizes as output."""

    class Split(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x[:, :4], x[:, 4:, ::2, ::2]

    def __init__(self) -> None:
        super().__init__()
        self.split = self.Split()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.split(x)
        a, b = first.flatten(1).mean(1), second.flatten(1).mean(1)
        return a + 2 * b + a * b


def network_of_colors() -> nn.Module:
    """What the command line explains."""
    return Network(channels=9, kinds=3, in_channels=3, seed=3).float()


class ByPlace(BaseEstimator):
    """An estimator that groups maps by the half in which they are largest; one is noise."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        labels = (np.asarray(X).argmax(1) // 4 + self.random_state) % 3
        labels[0] = -1
        return labels


class Pictures(torch.utils.data.Dataset):
    """Images and labels, one of which cannot be read."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise OSError("image file is truncated")
        return images(1, index)[0], index % 3


def data(n: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, labels and masks; the last mask is empty."""
    masks = torch.zeros(n, 8, 8)
    for index in range(n - 1):
        masks[index, 1 : 5 + index, 2 - index % 3 : 6] = 1
    return images(n, 7), torch.arange(n) % 3, masks


def by_first_channel(labels: torch.Tensor) -> list[int]:
    """The groups in the order of their first channels, which no numbering changes."""
    return list(dict.fromkeys(labels.tolist()))


def renumbered(labels: torch.Tensor) -> list[int]:
    """Labels 0, 1... in that order."""
    order = by_first_channel(labels)
    return [order.index(label) for label in labels.tolist()]


# --- Cases -----------------------------------------------------------------------------------


def case(name: str) -> Callable[[Callable[..., Results]], Callable[..., Results]]:
    """The case of this name in the reference, which stays whatever the package calls things."""

    def register(function: Callable[..., Results]) -> Callable[..., Results]:
        CASES[name] = function
        return function

    return register


def _choices(scaling: str, importance: str, clusterings: int) -> Callable[[], Results]:
    def function() -> Results:
        net = Network()
        return explained(
            method(net, net.relu, scaling=scaling, importance=importance, clusterings=clusterings),
            images(),
        )

    return function


for _scaling in (DENSITY, DROP):
    for _importance in (ABLATION, SHAPLEY):
        for _clusterings in (1, 3):
            _name = (
                f"{'density' if _scaling == DENSITY else 'drop'}, "
                f"{'ablation' if _importance == ABLATION else 'shapley'}, "
                f"{_clusterings} clusterings"
            )
            CASES[_name] = _choices(_scaling, _importance, _clusterings)


@case("defaults")
def defaults() -> Results:
    net = Network(20, 10)
    cam = ClusteredLayerCAM(net, net.relu, scaling=DENSITY)
    attribution, clusters = cam.attribute(images(), 0, return_clusters=True)
    return {
        "attribution": attribution,
        "labels": clusters.labels,
        "importances": clusters.importances,
    }


@case("sampled shapley")
def sampled_shapley() -> Results:
    net = Network(14)
    labels = torch.arange(14) % 12
    few = explained(
        method(net, net.relu, groups=labels, importance=SHAPLEY, permutations=7, seed=3), images()
    )
    many = explained(
        method(net, net.relu, groups=labels, importance=SHAPLEY, scaling=DROP), images()
    )
    names = ("attribution", "importances")
    return {
        **{f"{name}, 7 permutations": few[name] for name in names},
        "delta, 7 permutations": few["delta"],
        **{f"{name}, default": many[name] for name in names},
    }


@case("fixed labels with empty groups")
def fixed_labels() -> Results:
    net = Network()
    labels = torch.tensor([0, 2, 2, 5, 0, 5, 5, 2, 0, 0])
    return explained(method(net, net.relu, groups=labels), images())


@case("fixed labels with empty groups, shapley")
def fixed_labels_shapley() -> Results:
    net = Network(14)
    # Too many groups for exact values, but for those that are empty.
    labels = torch.tensor([0, 2, 2, 13, 0, 13, 7, 2, 0, 0, 13, 7, 7, 2])
    return explained(method(net, net.relu, groups=labels, importance=SHAPLEY), images())


@case("fitted labels")
def fitted_labels() -> Results:
    # Fewer groups than kinds, so that restarts differ.
    net = Network(15, 5)
    cam = method(net, net.relu)
    cam.fit([images(3, 1), [images(2, 2), torch.zeros(2)]])
    at_input = method(net, net.relu).fit(images(3, 1), attribute_to_layer_input=True)
    result = explained(cam, images())
    # Restarts that come to the same groups under other numbers are equal up to rounding.
    order = by_first_channel(cam.labels_)
    return {
        "fitted": renumbered(cam.labels_),
        "fitted at input": renumbered(at_input.labels_),
        "attribution": result["attribution"],
        "delta": result["delta"],
        "importances": result["importances"][:, order],
        "sizes": result["sizes"][:, order],
        "attribution at input": explained(at_input, images(), at_input=True)["attribution"],
    }


@case("an estimator")
def estimator() -> Results:
    net = Network()
    one = explained(method(net, net.relu, groups=ByPlace()), images())
    three = explained(method(net, net.relu, groups=ByPlace(), clusterings=3, seed=2), images())
    return {**one, "three": three["attribution"], "three, labels": three["labels"]}


@case("a function as clusterer")
def function() -> Results:
    net = Network()

    def by_place(rows: torch.Tensor) -> torch.Tensor:
        return rows.argmax(1) // 6

    return explained(method(net, net.relu, groups=by_place, scaling=DROP), images())


@case("signed layer")
def signed_layer() -> Results:
    net = Network(12, 4)
    density = explained(method(net, net.conv, groups=4), images())
    drop = explained(method(net, net.conv, groups=4, scaling=DROP, importance=SHAPLEY), images())
    return {**density, "attribution, drop": drop["attribution"]}


@case("layer of two tensors")
def two_tensors() -> Results:
    net = OfPairs()
    labels = (torch.tensor([0, 1, 0, 1]), torch.tensor([2, 0, 1, 0]))
    x = numbers((2, 8, 4, 4), 60)
    found: Results = {}
    for importance in (ABLATION, SHAPLEY):
        result = explained(method(net, net.split, groups=labels, importance=importance), x, None)
        for name, values in result.items():
            # One entry for each tensor, of different shapes.
            parts = values if isinstance(values, tuple) else (values,)
            ours = "ablation" if importance == ABLATION else "shapley"
            found |= {f"{ours}, {name} {i}": part for i, part in enumerate(parts)}
    return found


@case("tokens")
def tokens() -> Results:
    net = OfTokens()
    cam = method(net, net.block, channel_dim=-1)
    result = explained(cam, images())
    return {**result, "map": tokens_to_map(result["attribution"], (4, 4), n_prefix=1)}


@case("tokens as a map")
def tokens_as_map() -> Results:
    values = numbers((2, 3, 8), 61)
    return {
        "square": tokens_to_map(values[..., :4], (2, 2)),
        "with prefix": tokens_to_map(values, (2, 3), n_prefix=2),
        "volume": tokens_to_map(values, (2, 2, 2)),
    }


@case("layer baselines")
def layer_baselines() -> Results:
    net = Network()
    fixed = method(net, net.relu, groups=torch.arange(10) % 3)
    found: Results = {}
    for name, baselines in {
        "number": 0.5,
        "tensor": numbers((10, 1, 1), 62),
        "tuple": (numbers((1, 10, 4, 4), 63),),
    }.items():
        result = explained(fixed, images(), baselines=baselines)
        found |= {f"{name}, {key}": result[key] for key in ("attribution", "baseline score")}
    return found


@case("two ablations at a time")
def two_at_a_time() -> Results:
    net = Network()
    return explained(method(net, net.relu, importance=SHAPLEY), images(), at_once=2)


@case("once for each ablation")
def once_for_each() -> Results:
    net = Unbatchable()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = explained(method(net, net.relu, clusterings=2), images())
    # That it took this path at all.
    return {**result, "warnings": len(caught)}


@case("channels not summed")
def not_summed() -> Results:
    net = Network()
    return explained(method(net, net.relu), images(1), summed=False)


@case("layer's input")
def layer_input() -> Results:
    net = Network(12, 4)
    return explained(method(net, net.relu, groups=4), images(), at_input=True)


@case("positive part")
def positive_part() -> Results:
    net = Network()
    return explained(method(net, net.relu, scaling=DROP), images(), 2, positive=True)


@case("targets and arguments")
def targets_and_arguments() -> Results:
    net = Network()
    cam = method(net, net.relu)
    alone = method(lambda x: net(x)[:, 2], net.relu)
    return {
        "list": explained(cam, images(), [2, 0])["attribution"],
        "tensor": explained(cam, images(), torch.tensor([1, 2]))["attribution"],
        "none": explained(alone, images(), None)["attribution"],
        "argument": explained(cam, images(), arguments=(0.5,))["attribution"],
        "argument for each": explained(cam, images(), arguments=(numbers((2, 1), 64),))[
            "attribution"
        ],
        "tuple of inputs": explained(cam, (images(), numbers((2, 1), 64)))["attribution"],
    }


@case("one and three dimensions")
def other_dimensions() -> Results:
    line, volume = Network(dims=1), Network(dims=3)
    return {
        "line": explained(method(line, line.relu), images(size=(20,)))["attribution"],
        "volume": explained(method(volume, volume.relu), images(1, size=(6, 6, 6)))["attribution"],
    }


@case("float32")
def single_precision() -> Results:
    net = Network().float()
    return explained(method(net, net.relu), images().float())


@case("scores")
def of_scores() -> Results:
    net = Network()
    wrappers = {
        "probability": scores.probability,
        "log-probability": scores.log_probability,
        "margin": scores.margin,
    }
    found: Results = {"logits": net(images(4)).detach()}
    for name, wrapper in wrappers.items():
        found[name] = wrapper(net)(images(4)).detach()
        cam = method(wrapper(net), net.relu, importance=SHAPLEY)
        found[f"attribution, {name}"] = explained(cam, images())["attribution"]
    return found


@case("attribution of the input")
def input_attribution() -> Results:
    net = Network()
    cam = method(net, net.relu)
    smooth = InputAttribution(cam)
    nearest = InputAttribution(LayerGradCam(net, net.relu), interpolate_mode="nearest")
    attribution, delta = smooth.attribute(images(1), target=1, return_convergence_delta=True)
    return {
        "bilinear": attribution,
        "delta": delta,
        "Grad-CAM, nearest": nearest.attribute(images(1), target=1)[:, 0],
        "tuple": smooth.attribute((images(1),), target=2)[0][:, 0],
    }


# Maps of half the images' size, positive and negative.
def _for_metrics() -> tuple[Any, torch.Tensor, torch.Tensor]:
    return scores.probability(Network()), images(3, 5), numbers((3, 1, 4, 4), 65)


@case("metrics of what is kept")
def kept() -> Results:
    net, x, maps = _for_metrics()
    baselines = {"zero": 0.0, "number": 0.5, "mean": "mean", "blur": "blur", "image": images(1, 6)}
    functions = {
        "drop": metrics.average_drop,
        "increase": metrics.increase_in_confidence,
        "gain": metrics.average_gain,
    }
    return {
        f"{name}, {filling_name}, {share}": metric(
            net, x, maps, target=[0, 1, 2], baseline=baseline, top_fraction=share
        )
        for name, metric in functions.items()
        for filling_name, baseline in baselines.items()
        for share in (None, 0.3)
    }


@case("metrics of what is kept, defaults")
def kept_by_default() -> Results:
    net, x, maps = _for_metrics()
    return {
        "drop": metrics.average_drop(net, x, maps, target=1),
        "increase": metrics.increase_in_confidence(net, x, maps, target=1),
        "gain": metrics.average_gain(net, x, maps, target=1),
    }


@case("insertion and deletion")
def curves() -> Results:
    net, x, maps = _for_metrics()
    functions = {
        "insertion": metrics.insertion,
        "insertion curve": metrics.insertion_curve,
        "deletion": metrics.deletion,
        "deletion curve": metrics.deletion_curve,
        "difference": metrics.insertion_minus_deletion,
    }
    found: Results = {}
    for name, metric in functions.items():
        found[name] = metric(net, x, maps, target=1)
        found[f"{name}, mean, 7 steps"] = metric(
            net, x, maps, target=2, baseline="mean", n_steps=7, max_examples_per_batch=5
        )
    return found


@case("metrics of the map")
def of_the_map() -> Results:
    net = Network()
    cam = method(net, net.relu, groups=5)
    probability, x = scores.probability(net), images(3, 5)
    maps = cam.attribute(x, target=1)
    return {
        "complexity": metrics.complexity(maps, x),
        "coherency": metrics.coherency(cam.attribute, x, maps, target=1),
        "ADCC": metrics.adcc(cam.attribute, probability, x, maps, target=1),
    }


@case("ROAD")
def of_road() -> Results:
    net, x, maps = _for_metrics()
    found: Results = {"default": metrics.road(net, x, maps, target=1)}
    for order in ("combined", "morf", "lerf"):
        found[order] = metrics.road(
            net,
            x,
            maps,
            target=[0, 1, 2],
            shares=(0.1, 0.5),
            noise=0.1,
            seed=3,
            order=order,
            max_examples_per_batch=4,
        )
    return found


@case("metrics of place")
def of_place() -> Results:
    maps = numbers((3, 2, 4, 4), 66)
    masks = data()[2][:3]
    shares, wide = (metrics.energy_shares(maps, masks, **ring) for ring in ({}, {"ring": 0.25}))
    return {
        "pointing": metrics.pointing_game(maps, masks),
        "energy": metrics.energy_pointing_game(maps, masks),
        "IoU": metrics.iou(maps, masks),
        "IoU, low": metrics.iou(maps, masks, threshold=0.2),
        "lesion": shares.lesion,
        "ring": shares.ring,
        "background": shares.background,
        "wide ring": wide.ring,
        "of a constant map": metrics.energy_pointing_game(torch.ones(3, 1, 8, 8), masks),
    }


@case("comparison")
def comparison() -> Results:
    # Maps of the images' size: interpolation would make pixels that are equal up to rounding,
    # on whose order the curves depend.
    net = Network(stride=1)
    known = METRICS | METRICS_OF_MASKS
    result = compared(net, net.relu, data(), list(METHODS.values()), list(known.values()))
    found = tabulated(result, METHODS | CONTROLS, known)
    for ours, name in CURVES.items():
        found[f"curve of {ours}"] = [result.curves[m][name] for m in METHODS.values()]
    found["failures"] = len(result.failures)
    return found


@case("comparison's summary")
def summary() -> Results:
    net = Network(stride=1)
    methods = {name: METHODS[name] for name in ("default", "drop", "Grad-CAM")}
    known = {name: METRICS[name] for name in ("insertion", "coherency")}
    names = [*methods.values(), CONTROLS["random"]]

    def of_images(n: int) -> Any:
        return compared(
            net,
            net.relu,
            data(n),
            list(methods.values()),
            list(known.values()),
            batch_size=7,
            seed=2,
        )

    def column(table: Any, name: str) -> list[float]:
        return [
            table.loc[(table["metric"] == metric) & (table["method"] == method), name].item()
            for metric in known.values()
            for method in names
        ]

    # Few images would make resamples with the very mean of the images, up to rounding, on
    # which the interval's ends depend. Above 13 the test goes through some signs only.
    twelve = of_images(12)
    table = twelve.summary()
    found: Results = {ours: column(table, name) for ours, name in SUMMARY_COLUMNS.items()}
    found["p, 14 images"] = column(of_images(14).summary(), SUMMARY_COLUMNS["p"])
    for by in ("class", "correct"):
        groups = twelve.summary(by=by)
        rows = groups[(groups["method"] == names[0]) & (groups["metric"] == known["insertion"])]
        found[f"{by}, groups"] = rows[by].astype("float64")
        found[f"{by}, means"] = rows["mean"]
    return found


@case("comparison with other settings")
def comparison_with_other_settings() -> Results:
    net = Network()
    x = images(3, 8)
    methods = {
        "four": "ClusteredLayerCAM(clusterer=4, n_clusterings=2, scaling='density')",
        "own": "own",
        "Grad-CAM": METHODS["Grad-CAM"],
    }
    asked = [
        methods["four"],
        {"own": lambda forward_func, layer: method(forward_func, layer, groups=2)},
        methods["Grad-CAM"],
    ]
    metrics = [
        METRICS["drop"],
        {"mean": lambda case: case.attributions.flatten(1).mean(1)},
        {"largest": Metric(lambda case: case.attributions.flatten(1).amax(1), "higher")},
    ]
    known = {"drop": METRICS["drop"], "mean": "mean", "largest": "largest"}
    found: Results = {}
    for score in ("margin", "probability", "log_probability"):
        result = compared(
            net, net.conv, (x, torch.tensor([0, 2, 1])), asked, metrics, score=score, target="label"
        )
        table = tabulated(result, methods, known)
        found |= {f"{score}, {name}": values for name, values in table.items()}
    result = compared(
        net, net.relu, x, asked, metrics, target=2, at_input=True, reference=None, seed=4
    )
    controls = {name: CONTROLS[name] for name in ("random", "mean")}
    table = tabulated(result, methods | controls, known)
    return found | {f"input, {name}": values for name, values in table.items()}


@case("comparison's default metrics")
def default_metrics() -> Results:
    net = Network()
    result = compared(net, net.relu, data(2), METHODS["default"], None, reference=None)
    found = tabulated(result, {"default": METHODS["default"]}, {})
    # Their order is that of the tables.
    names = [*METRICS, *METRICS_OF_MASKS]
    known = METRICS | METRICS_OF_MASKS
    found["metrics"] = [
        [known[name] for name in names].index(metric) for metric in result.directions
    ]
    found["better"] = [
        {"higher": 1, "lower": -1, None: 0}[direction] for direction in result.directions.values()
    ]
    return found


@case("comparison with grad-cam's LayerCAM")
def peer() -> Results:
    net = Network().float()
    x = images(2, 7).float()
    result = compared(net, net.relu, x, ["LayerCAM"], [METRICS["drop"]], reference=None)
    return tabulated(result, {"LayerCAM": "LayerCAM"}, {"drop": METRICS["drop"]})


@case("run over a data set")
def run_over_data() -> Results:
    net = Network()
    with tempfile.TemporaryDirectory() as folder:
        explain_dataset(method(net, net.relu), Pictures(), folder, batch_size=2, chunk_size=2)
        return columns_of(Run(folder))


@case("run over a data set with other settings")
def run_with_other_settings() -> Results:
    net = Network()
    cam = method(scores.probability(net), net.relu, clusterings=3, importance=SHAPLEY)
    with tempfile.TemporaryDirectory() as folder:
        explain_dataset(
            cam,
            Pictures(),
            folder,
            target=2,
            attribute_to_layer_input=True,
            resolution="input",
            batch_size=3,
        )
        return columns_of(Run(folder))


@case("run over a data set with fitted groups")
def run_with_fitted_groups() -> Results:
    net = Network(12, 4)
    with tempfile.TemporaryDirectory() as folder:
        run = explain_dataset(
            method(net, net.relu, groups=4),
            Pictures(),
            folder,
            target="label",
            fit="all",
            batch_size=2,
        )
        found = columns_of(run)
        summary = cluster_summary(run, n_examples=2)
        # As in the case "fitted labels".
        order = by_first_channel(run.cluster_labels)
        found["importances"] = [[row[group] for group in order] for row in found["importances"]]
        return {
            "groups": renumbered(run.cluster_labels),
            **found,
            "summary, means": [
                [order.index(m.cluster), m.channels, m.images, m.mean, m.std, m.positive]
                for m in summary.means
            ],
            "summary, examples": [
                [order.index(e.cluster), e.rank, e.index] for e in summary.examples
            ],
        }


@case("command line")
def command() -> Results:
    return explained_by_command("--n-clusters", "3")


@case("command line with other settings")
def command_with_other_settings() -> Results:
    return explained_by_command(
        *("--n-clusters", "2"),
        *("--scaling", DROP),
        *("--importance", SHAPLEY),
        *("--n-clusterings", "3"),
        *("--seed", "5"),
        *("--target", "1"),
        *("--score", "margin"),
        "--layer-input",
    )


# --- The reference ---------------------------------------------------------------------------


def results(name: str) -> dict[str, Any]:
    """The numbers of a case, as nested lists."""
    return {key: _plain(value) for key, value in CASES[name]().items()}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    # Numbers that are all rounding, and negative zeros, are zero.
    return 0 if abs(value) < 1e-12 else _short(float(f"{value:.{DIGITS}g}"))


def _short(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def write() -> None:
    """Writes the reference, a line for each list of numbers."""
    torch.set_num_threads(1)
    cases = []
    for name in CASES:
        lines = [
            f"  {json.dumps(key)}: {json.dumps(_rounded(value), separators=(',', ':'))}"
            for key, value in results(name).items()
        ]
        cases.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text("{\n" + ",\n".join(cases) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("python tests/helpers/unchanged_results.py --write")
    write()
