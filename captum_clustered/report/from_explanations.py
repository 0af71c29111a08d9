"""A report of a folder that explain has written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from captum_clustered._maps import SCALINGS
from captum_clustered._storage.layout import read_left_out_pairs
from captum_clustered.report.clusters import shown_clusters, signed
from captum_clustered.report.content import (
    Cell,
    Clusters,
    Column,
    Failed,
    Map,
    Number,
    Report,
    Row,
    Shown,
    ShownImage,
    Summary,
)
from captum_clustered.report.packing import (
    CLUSTER_BYTES,
    MAP_BYTES,
    largest_side,
    limit_of,
    packed_map,
    packed_picture,
    rounded,
)

METHODS = ("Clustered-CAM", "LayerGradCam")
Arrays = Mapping[str, Any]
_NEEDED = ("attribution", "importances", "maps", "sizes", "score", "baseline_score", "input_image")
_SETTINGS = (
    "image",
    "model",
    "layer",
    "layer_input",
    "score",
    "scaling",
    "importance",
    "n_clusters",
    "n_clusterings",
    "seed",
    "class_name",
    "probability",
    "prediction",
    "predicted_class",
    "gradcam_missing",
)


def explain_report(paths: Sequence[Path], left_out: Path) -> Report:
    """
    Args:

        paths (list): The arrays (.npz), one file for each image.
        left_out (Path): The file of what is missing; it need not be there.

    Raises:

        ValueError: If a file is damaged or of something else.
    """
    n_maps = sum(_n_maps(_read(path)[0]) for path in paths)
    side = largest_side(n_maps, MAP_BYTES + CLUSTER_BYTES)
    shown, rows, all_settings, n_reduced = [], [], [], 0
    for path in paths:
        arrays, settings = _read(path)
        try:
            shown.append(_image(arrays, settings, side))
            rows.append(_row(arrays, settings))
        except (ValueError, TypeError, IndexError) as error:
            # Arrays of the right names, but of other shapes or kinds.
            raise ValueError(f"{path} is no result of explain, or is damaged: {error}") from error
        all_settings.append(settings)
        n_reduced += max(arrays["maps"].shape[1:]) > side
    scores = list(dict.fromkeys(settings["score"] for settings in all_settings))
    remarks = []
    if all(settings["n_clusterings"] == 1 for settings in all_settings):
        remarks.append("The map of a cluster is what it adds to that of Clustered-CAM.")
    if n_reduced:
        remarks.insert(0, f"Maps of more than {side} x {side} values were shrunk to that.")
    return Report(
        title=f"{'Explanations' if len(shown) != 1 else 'Explanation'} of {_counted(len(shown))}",
        facts=_facts(all_settings),
        summary=_summary(rows, scores),
        left_out=_left_out(left_out),
        remarks=remarks,
        methods=[Shown(name) for name in METHODS],
        numbers=[
            Number("probability of the explained class", None, False),
            Number("score of the explained class", None, False),
        ],
        classes={settings["prediction"]: settings["predicted_class"] for settings in all_settings},
        images=shown,
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and settings of an image, checked."""
    try:
        # Of a damaged file that it had opened itself, np.load leaves the handle open.
        with path.open("rb") as file, np.load(file) as stored:
            arrays = dict(stored)
    except (ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is damaged: it holds no arrays.") from error
    missing = [name for name in (*_NEEDED, "settings") if name not in arrays]
    settings = None if missing else _settings(arrays["settings"])
    if settings is None:
        raise ValueError(
            f"{path} is no result of explain, or is damaged: it has no "
            f"{' and no '.join(missing) or 'settings'}."
        )
    missing = [name for name in _SETTINGS if name not in settings]
    if missing:
        raise ValueError(
            f"{path} is of an older version of explain: it has no {', '.join(missing)}. Start "
            "explain again with the same options."
        )
    return arrays, settings


def _settings(text: Any) -> dict[str, Any] | None:
    try:
        settings = json.loads(str(text))
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


def _n_maps(arrays: Arrays) -> int:
    return len(METHODS) + arrays["sizes"].size


def _image(arrays: Arrays, settings: Mapping[str, Any], side: int) -> ShownImage:
    maps = {METHODS[0]: arrays["attribution"], METHODS[1]: arrays.get("gradcam")}
    present = [values for values in maps.values() if values is not None]
    unit = f"{settings['score']} per position"
    shared = limit_of(present) if SCALINGS[settings["scaling"]].is_additive else None
    packed: list[Map | Failed] = [
        Failed(settings["gradcam_missing"] or "left out")
        if values is None
        else packed_map(values, limit_of([values]) if shared is None else shared, side)
        for values in maps.values()
    ]
    picture, height, width = packed_picture(arrays["input_image"])
    scale = (
        "Each map is colored relative to its own largest absolute value, for their units differ."
        if shared is None
        else f"Colors of both maps: from {signed(-shared)} to {signed(shared)} ({unit})."
    )
    return ShownImage(
        name=settings["image"],
        facts=[
            f"explained: {settings['class_name']} ({settings['probability']:.1%})",
            f"predicted: {settings['predicted_class']}",
            f"{settings['score']} {_plain(float(arrays['score']))}, without the layer "
            f"{_plain(float(arrays['baseline_score']))}",
        ],
        label=None,
        prediction=settings["prediction"],
        height=height,
        width=width,
        picture=picture,
        mask=None,
        maps=packed,
        values=[[rounded(settings["probability"])], [rounded(float(arrays["score"]))]],
        scale=scale,
        clusters=_clusters(arrays, settings, side),
    )


def _clusters(arrays: Arrays, settings: Mapping[str, Any], side: int) -> list[Clusters]:
    maps = arrays["maps"]
    found = shown_clusters(
        arrays["importances"],
        arrays["sizes"],
        maps,
        np.stack([maps.min((1, 2)), maps.max((1, 2))], 1),
        side=side,
        importance=settings["importance"],
        unit=settings["score"],
        n_runs=settings["n_clusterings"],
    )
    return [found] if found.values else []


def _facts(all_settings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    names = {
        "Model": "model",
        "Layer": "layer",
        "Score": "score",
        "Scaling": "scaling",
        "Importance": "importance",
        "Clusters": "n_clusters",
        "Clusterings averaged": "n_clusterings",
        "Seed": "seed",
    }
    facts = []
    for title, name in names.items():
        # A folder may have the results of several runs.
        values = dict.fromkeys(
            f"input of {settings[name]}"
            if name == "layer" and settings["layer_input"]
            else str(settings[name])
            for settings in all_settings
        )
        facts.append((title, ", ".join(values)))
    return facts


def _row(arrays: Arrays, settings: Mapping[str, Any]) -> Row:
    importances = arrays["importances"][arrays["sizes"] > 0]
    score, without = float(arrays["score"]), float(arrays["baseline_score"])
    largest = float(importances.max()) if len(importances) else 0.0
    return Row(
        settings["image"],
        "",
        [
            Cell(settings["class_name"]),
            Cell(f"{settings['probability']:.1%}", order=float(settings["probability"])),
            Cell(_plain(score), order=score),
            Cell(_plain(without), order=without),
            Cell(str(len(importances)), order=float(len(importances))),
            Cell(signed(largest), order=largest),
        ],
    )


def _summary(rows: list[Row], scores: list[str]) -> Summary:
    names = (
        "explained class",
        "probability",
        "score",
        "score without the layer",
        "clusters",
        "largest importance",
    )
    return Summary(
        kind="Image",
        columns=[Column(name) for name in names],
        rows=rows,
        remarks=[
            f"The score is the {' or the '.join(scores)} of the explained class; a cluster's "
            "importance is measured in it."
        ],
    )


def _left_out(path: Path) -> list[tuple[str, str]]:
    if not path.exists():
        return []
    try:
        return read_left_out_pairs(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: it holds no names and reasons.") from error


def _plain(value: float) -> str:
    # A true minus sign, as everywhere on the page.
    return f"{value:.4g}".replace("-", "\u2212")


def _counted(n: int) -> str:
    return f"{n} image{'s' if n != 1 else ''}"
