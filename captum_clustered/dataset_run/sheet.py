"""The clusters of a run with the images where they matter most, as a figure."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import explained, printable
from captum_clustered._scalings import SCALINGS
from captum_clustered._storage.layout import CLUSTERS
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.data._originals import Original
from captum_clustered.dataset_run.reading import Run
from captum_clustered.dataset_run.summary import ClusterMean, ClusterSummary, Example
from captum_clustered.scores import SCORES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from captum_clustered.data import ImageList
    from captum_clustered.explain import ImageExplainer
    from captum_clustered.visualization import SheetCell

# Number of rows of the sheet, and of classes beside the mean of all images.
MAX_CLUSTERS = 12
MAX_CLASSES = 4


def draw_clusters(
    run: Run, summary: ClusterSummary, explainer: ImageExplainer, images: ImageList, **look: Any
) -> Figure:
    """
    Draw the most important clusters of a run, each with the images where it matters most.

    The images are read and explained again.

    Args:

        run (Run): A run with one clustering for all images.
        summary (ClusterSummary): Its summary, see :func:`cluster_summary`.
        explainer (ImageExplainer): The network, its layer and the method of the run.
        images (ImageList): The data of the run, with the explainer's preprocessing.
        **look: ``opacity``, ``outline`` and ``keep_colors``, as in
                    :func:`captum_clustered.visualization.overlay`.

    Returns:
        matplotlib.figure.Figure: The figure; pyplot does not hold it.

    Raises:

        ValueError: If an image cannot be read again, or the run's clusters are missing.

    Examples::

        >>> run = explain_dataset(explainer.cam, images, "out", names=images.names, fit="all")
        >>> draw_clusters(run, cluster_summary(run), explainer, images).savefig("clusters.png")
    """
    from captum_clustered.visualization import SheetRow, draw_contact_sheet
    from captum_clustered.visualization.canvas import shortened

    cam, settings = _with_labels(explainer, run), explainer.settings
    targets = summary.frequent_targets(MAX_CLASSES)

    def facts(cluster: int) -> str:
        means = [mean for mean in summary.means if mean.cluster == cluster]
        lines = [f"{means[0].channels} channels", f"mean {_signed(means[0])}"]
        # Of one class, it is the mean of all.
        lines += [
            f"{shortened(images.class_name(mean.target), 16)} {_signed(mean)}"
            for mean in means
            if mean.target in targets and len(means) > 2
        ]
        return "\n".join(lines)

    shown = summary.clusters[:MAX_CLUSTERS]
    rows = [
        SheetRow(
            f"Cluster {cluster}",
            facts(cluster),
            [_cell(e, cam, explainer, images) for e in summary.examples if e.cluster == cluster],
        )
        for cluster in shown
    ]
    some = "" if len(shown) == len(summary.clusters) else f"; the first {len(shown)} are shown"
    at_input = "input of " if settings.layer_input else ""
    scaling = SCALINGS[settings.scaling]
    return draw_contact_sheet(
        rows,
        "Clusters of channels and the images where they matter most",
        f"{summary.n_images} images, {explainer.model.name}, {at_input}layer "
        f"{settings.layer_names}; {IMPORTANCES[settings.importance].label} of the "
        f"{SCORES[settings.score].label}{some}. "
        "Yellow supports the class, blue counts against it. Each row has one color scale."
        + (" Dotted: the outline of the mask." if images.has_masks else ""),
        f"{scaling.unit}\nper position" if scaling.is_additive else scaling.unit,
        **look,
    )


def _cell(
    example: Example, cam: ClusteredLayerCAM, explainer: ImageExplainer, images: ImageList
) -> SheetCell:
    from captum_clustered.visualization import SheetCell
    from captum_clustered.visualization.canvas import shortened
    from captum_clustered.visualization.scale import signed_text

    with explained(f"{example.item} cannot be read again", ValueError):
        inputs = images[example.index][0][None].to(explainer.model.device)
        original = Original.read(images, example.index, explainer.preprocessing)
        # As explain does it; the model may write into its input.
        predicted, probabilities = explainer.outputs(inputs)
        _, found = cam.attribute(
            inputs.clone(), example.target, return_clusters=True, **explainer.settings.arguments
        )
    names = {"explained": example.target, "true": example.label, "predicted": predicted}
    if predicted == example.target:
        del names["explained"]
    classes = [
        f"{what}: {shortened(images.class_name(index), 18)}"
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
        explainer.as_maps(found.maps)[example.cluster],
        "\n".join(lines),
        original.mask,
        original.seen,
    )


def _with_labels(explainer: ImageExplainer, run: Run) -> ClusteredLayerCAM:
    cam = explainer.cam
    if explainer.settings.clusters is not None:
        return cam
    if run.cluster_labels is None:
        raise ValueError(
            f"{printable(run.folder / CLUSTERS)} is missing or damaged; start the run's command "
            "again to fit the clusters anew."
        )
    cam = copy(cam)
    cam.clusterer, cam.n_clusterings = run.cluster_labels, 1
    return cam


def _signed(mean: ClusterMean) -> str:
    return f"{mean.mean:+.3g} (n = {mean.images})"
