"""The report of a folder of explanations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from captum_clustered._storage.layout import read_left_out_pairs
from captum_clustered.explain.explanation import Explanation
from captum_clustered.explain.settings import ExplainerSettings
from captum_clustered.report import content
from captum_clustered.report.packing import (
    CLUSTER_BYTES,
    MAP_BYTES,
    counted,
    largest_side,
    packed_clusters,
    packed_map,
    packed_picture,
    packed_seen,
    rounded,
    unsigned,
)
from captum_clustered.scores import SCORES
from captum_clustered.visualization.scale import signed_text

METHODS = ("Clustered-CAM", "LayerGradCam")


def explain_report(paths: Sequence[Path], left_out: Path) -> content.Report:
    """
    Return the report of files that :meth:`captum_clustered.explain.Explanation.save` wrote.

    ``left_out`` is the file that lists missing images; it need not exist. Raises ValueError if a
    file is damaged or holds something else.
    """
    n_maps = sum(len(METHODS) + Explanation.load(path).sizes.size for path in paths)
    side = largest_side(n_maps, MAP_BYTES + CLUSTER_BYTES)
    images, rows, facts, classes = [], [], [], {}
    is_reduced = is_average = has_views = has_layers = False
    scores: dict[str, None] = {}
    for path in paths:
        explanation = Explanation.load(path)
        if explanation.affine is not None:
            raise ValueError(f"{path} explains a volume; the report has images only.")
        try:
            images.append(_image(explanation, side))
            rows.append(_row(explanation))
            is_reduced |= max(explanation.attribution.shape) > side
        except (ValueError, TypeError, IndexError) as error:
            # Arrays have the right names, but other shapes or kinds.
            raise ValueError(f"{path} is no result of explain, or is damaged: {error}") from error
        facts.append(_facts(explanation))
        classes[explanation.prediction] = explanation.class_name(explanation.prediction)
        scores[_score(explanation)] = None
        is_average |= explanation.settings.n_clusterings > 1
        has_views |= bool(explanation.settings.views)
        has_layers |= bool(explanation.settings.fused)
    one, remarks = len(images) == 1, []
    if is_reduced:
        remarks.append(f"Maps of more than {side} x {side} values were shrunk to that.")
    if has_views:
        remarks.append(
            "Maps are means over views of the image; clusters are those of the image itself."
        )
    if has_layers:
        remarks.append("Maps are of several layers; clusters are those of the last one.")
    if not (is_average or has_views or has_layers):
        remarks.append("The map of a cluster is its share of the map of Clustered-CAM.")
    return content.Report(
        title=f"Explanation{'' if one else 's'} of {counted(len(images), 'image')}",
        facts=_joined(facts),
        summary=_summary(rows, list(scores)),
        left_out=_left_out(left_out),
        remarks=remarks,
        methods=[content.Shown(name) for name in METHODS],
        numbers=[
            content.Number("probability of the explained class"),
            content.Number("score of the explained class"),
        ],
        classes=classes,
        images=images,
    )


def _image(explanation: Explanation, side: int) -> content.ShownImage:
    settings, score = explanation.settings, _score(explanation)
    maps = (explanation.attribution, explanation.gradcam)
    shared = None
    if settings.is_additive:
        shared = max(float(np.abs(values).max()) for values in maps if values is not None)
    packed: list[content.Map | content.Failed] = [
        content.Failed(explanation.gradcam_missing or "left out")
        if values is None
        else packed_map(values, shared, side)
        for values in maps
    ]
    picture, height, width = packed_picture(explanation.picture)
    scale = (
        "Each map is colored relative to its own largest absolute value, for their units differ."
        if shared is None
        else f"Colors of both maps: from {signed_text(-shared)} to {signed_text(shared)} "
        f"({score} per position)."
    )
    return content.ShownImage(
        name=explanation.image,
        facts=[
            f"explained: {_explained_class(explanation)} ({explanation.probability:.1%})",
            f"predicted: {explanation.class_name(explanation.prediction)}",
            f"{score} {unsigned(explanation.score)}, without the layer "
            f"{unsigned(explanation.baseline_score)}",
        ],
        label=None,
        prediction=explanation.prediction,
        height=height,
        width=width,
        picture=picture,
        seen=packed_seen(explanation.seen),
        mask=None,
        maps=packed,
        values=[[rounded(explanation.probability)], [rounded(explanation.score)]],
        scale=scale,
        clusters=_clusters(explanation, side),
    )


def _clusters(explanation: Explanation, side: int) -> list[content.ClusterPanel]:
    maps, settings = explanation.maps, explanation.settings
    found = packed_clusters(
        explanation.importances,
        explanation.sizes,
        maps,
        np.stack([maps.min((1, 2)), maps.max((1, 2))], 1),
        side=side,
        importance=settings.importance,
        unit=_score(explanation),
        n_runs=settings.n_clusterings,
    )
    return [found] if found.values else []


def _facts(explanation: Explanation) -> dict[str, str]:
    """Return the model and all settings that are given, by their titles."""
    settings = explanation.settings
    where = "input of " if settings.layer_input else ""
    facts = {"Model": explanation.model, "Layer": f"{where}{settings.layer_names}"}
    facts["Preprocessing"] = explanation.preprocessing
    for each in fields(ExplainerSettings):
        # Fusion says something about several layers only.
        value = settings.fused if each.name == "fusion" else getattr(settings, each.name)
        if each.name not in ("layer", "layer_input") and value not in (None, (), ""):
            title = each.name.removeprefix("n_").replace("_", " ").capitalize()
            if each.name == "views":
                value = ", ".join(value)
            # Saved clusters are a number for each channel.
            is_saved = isinstance(value, tuple)
            facts[title] = f"given for {len(value)} channels" if is_saved else str(value)
    return facts


def _joined(facts: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return the facts of all images, for a folder may have the results of several runs."""
    titles = dict.fromkeys(title for found in facts for title in found)
    return [
        (title, ", ".join(dict.fromkeys(found[title] for found in facts if title in found)))
        for title in titles
    ]


def _row(explanation: Explanation) -> content.Row:
    importances = explanation.importances[explanation.sizes > 0]
    score, without = explanation.score, explanation.baseline_score
    largest = float(importances.max()) if len(importances) else 0.0
    return content.Row(
        explanation.image,
        "",
        [
            content.Cell(_explained_class(explanation)),
            content.Cell(f"{explanation.probability:.1%}", order=explanation.probability),
            content.Cell(unsigned(score), order=score),
            content.Cell(unsigned(without), order=without),
            content.Cell(str(len(importances)), order=float(len(importances))),
            content.Cell(signed_text(largest), order=largest),
        ],
    )


def _summary(rows: list[content.Row], scores: list[str]) -> content.Summary:
    columns = [
        content.Column("explained class"),
        content.Column("probability"),
        content.Column("score"),
        content.Column("score without the layer"),
        content.Column("clusters"),
        content.Column("largest importance"),
    ]
    return content.Summary(
        kind="Image",
        columns=columns,
        rows=rows,
        remarks=[
            f"The score is the {' or the '.join(scores)} of the explained class. Importances are "
            "in its units."
        ],
    )


def _left_out(path: Path) -> list[tuple[str, str]]:
    if not path.exists():
        return []
    try:
        return read_left_out_pairs(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: it holds no names and reasons.") from error


def _score(explanation: Explanation) -> str:
    return SCORES[explanation.settings.score].label


def _explained_class(explanation: Explanation) -> str:
    return explanation.class_name(explanation.target)
