"""The command clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from matplotlib.figure import Figure
from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import UserError, explained, printable
from captum_clustered._scalings import SCALINGS
from captum_clustered._storage.layout import (
    CLUSTER_EXAMPLES,
    CLUSTER_MEANS,
    CLUSTER_SHEET,
    CLUSTERS,
)
from captum_clustered.cli.console import out, sentences, show, titled
from captum_clustered.cli.options import ClassNames, DrawingOptions, expanded
from captum_clustered.cli.originals import Original
from captum_clustered.cli.prepared import Prepared
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run import ClusterMean, ClusterSummary, Example, Run, cluster_summary
from captum_clustered.scores import SCORES
from captum_clustered.visualization import SheetCell, SheetRow, draw_contact_sheet
from captum_clustered.visualization.canvas import save_figure, shortened
from captum_clustered.visualization.scale import signed_text

__all__ = ["clusters"]

# Number of rows of the sheet.
MAX_CLUSTERS = 12
# Number of classes beside the mean of all images; clusters.csv has all.
MAX_CLASSES = 4


@expanded
def clusters(
    folder: Annotated[Path, Argument(help="Folder of a run with --fit or --clusters.")],
    examples: Annotated[int, Option(min=1, help="Number of images per cluster.")] = 6,
    class_names: ClassNames = None,
    masks: Annotated[
        Path | None,
        Option(
            help="Folder of masks with the names of the images, or the column of masks in the "
            "table; their outlines are drawn."
        ),
    ] = None,
    *,
    drawing: DrawingOptions,
) -> None:
    """
    Show the importance of each cluster over a whole data set.

    Prints the mean importance of each cluster for each explained class and writes clusters.csv,
    cluster_examples.csv and a contact sheet of the images where each cluster matters most,
    clusters.png, to the run's folder. The model and the images must be where they were.
    """
    with sentences():
        run = Run(folder)
        summary = cluster_summary(run, examples)
        prepared = Prepared.load_again(folder, class_names, masks)
        prepared.check_same(run)
        with explained(f"Nothing can be written to {printable(folder)}"):
            summary.save(folder)
        show(_table(summary, prepared))
        figure = _sheet(summary, prepared, run, drawing.options())
        with explained(f"{printable(folder / CLUSTER_SHEET)} cannot be written"):
            save_figure(figure, folder / CLUSTER_SHEET)
        names = (CLUSTER_MEANS, CLUSTER_EXAMPLES, CLUSTER_SHEET)
        written = ", ".join(printable(folder / name) for name in names)
        out.print(Text(f"Wrote {written}"), soft_wrap=True)


def _table(summary: ClusterSummary, prepared: Prepared) -> Group:
    settings = prepared.explainer.settings
    unit = IMPORTANCES[settings.importance].label
    targets = _frequent(summary)
    n_targets = len({mean.target for mean in summary.means}) - 1
    total = next(mean.images for mean in summary.means)
    some = "" if len(targets) == n_targets else f" (the {len(targets)} most frequent)"
    columns = ["Cluster", "Channels", "All images"]
    columns += [prepared.class_name(target) for target in targets]
    group, table = titled(
        f"Mean {unit} of the {SCORES[settings.score].label} over {total} images, by explained "
        f"class{some}",
        *columns,
        right=columns,
    )
    by = {(mean.cluster, mean.target): mean for mean in summary.means}
    for cluster in summary.clusters:
        row = [by[cluster, target] for target in (None, *targets)]
        values = [f"{mean.mean:+.4g}" for mean in row]
        table.add_row(str(cluster), str(row[0].channels), *values)
    return group


def _sheet(summary: ClusterSummary, prepared: Prepared, run: Run, look: dict[str, Any]) -> Figure:
    """Draw the most important clusters with their images."""
    cam, settings = _with_labels(prepared, run), prepared.explainer.settings
    targets = _frequent(summary)

    def facts(cluster: int) -> str:
        means = [mean for mean in summary.means if mean.cluster == cluster]
        lines = [f"{means[0].channels} channels", f"mean {_signed(means[0])}"]
        # Of one class, it is the mean of all.
        lines += [
            f"{shortened(prepared.class_name(mean.target), 16)} {_signed(mean)}"
            for mean in means
            if mean.target in targets and len(means) > 2
        ]
        return "\n".join(lines)

    shown = summary.clusters[:MAX_CLUSTERS]
    rows = [
        SheetRow(
            f"Cluster {cluster}",
            facts(cluster),
            [_cell(e, prepared, cam) for e in summary.examples if e.cluster == cluster],
        )
        for cluster in shown
    ]
    total = next(mean.images for mean in summary.means)
    some = "" if len(shown) == len(summary.clusters) else f"; the first {len(shown)} are shown"
    at_input = "input of " if settings.layer_input else ""
    scaling = SCALINGS[settings.scaling]
    return draw_contact_sheet(
        rows,
        "Clusters of channels and the images where they matter most",
        f"{total} images, {prepared.model.name}, {at_input}layer {settings.layer_names}; "
        f"{IMPORTANCES[settings.importance].label} of the {SCORES[settings.score].label}{some}. "
        "Yellow supports the class, blue counts against it. Each row has one color scale."
        + (" Dotted: the outline of the mask." if prepared.items.has_masks else ""),
        f"{scaling.unit}\nper position" if scaling.is_additive else scaling.unit,
        **look,
    )


def _cell(example: Example, prepared: Prepared, cam: ClusteredLayerCAM) -> SheetCell:
    with explained(f"{example.item} cannot be read again"):
        inputs = prepared.items[example.index][0][None].to(prepared.model.device)
        original = Original.read(prepared.items, example.index, prepared.preprocessing)
        # As explain does it; the model may write into its input.
        predicted, probabilities = prepared.explainer.outputs(inputs)
        _, found = cam.attribute(
            inputs.clone(),
            example.target,
            attribute_to_layer_input=prepared.explainer.settings.layer_input,
            layer_baselines=prepared.explainer.settings.layer_baselines,
            return_clusters=True,
        )
    names = {
        "explained": example.target,
        "true": example.label,
        "predicted": predicted,
    }
    if predicted == example.target:
        del names["explained"]
    classes = [
        f"{what}: {shortened(prepared.class_name(index), 18)}"
        for what, index in names.items()
        if index is not None
    ]
    lines = [
        f"{signed_text(example.importance)}  {shortened(Path(example.item).name, 22)}",
        *classes[:-1],
        f"{classes[-1]} {probabilities[predicted]:.0%}",
    ]
    return SheetCell(
        original.picture,
        prepared.explainer.as_maps(found.maps)[example.cluster],
        "\n".join(lines),
        original.mask,
        original.seen,
    )


def _with_labels(prepared: Prepared, run: Run) -> ClusteredLayerCAM:
    cam, labels = prepared.explainer.cam, run.cluster_labels
    if prepared.explainer.settings.clusters is not None:
        return cam
    if labels is None:
        raise UserError(
            f"{printable(run.folder / CLUSTERS)} is missing or damaged; start the run's command "
            "again to fit the clusters anew."
        )
    cam.clusterer, cam.n_clusterings = labels, 1
    return cam


def _frequent(summary: ClusterSummary) -> list[int]:
    """Return the classes that were explained most often, in their order."""
    images = {mean.target: mean.images for mean in summary.means if mean.target is not None}
    return sorted(sorted(images, key=lambda target: -images[target])[:MAX_CLASSES])


def _signed(mean: ClusterMean) -> str:
    return f"{mean.mean:+.3g} (n = {mean.images})"
