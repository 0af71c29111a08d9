"""The command clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._errors import explained, printable
from captum_clustered._storage.layout import CLUSTER_EXAMPLES, CLUSTER_MEANS, CLUSTER_SHEET
from captum_clustered.cli.console import out, sentences, show, titled
from captum_clustered.cli.options import ClassNames, DrawingOptions, expanded
from captum_clustered.cli.prepared import Prepared
from captum_clustered.dataset_run import ClusterSummary, Run, cluster_summary, draw_clusters
from captum_clustered.dataset_run.sheet import MAX_CLASSES
from captum_clustered.scores import SCORES
from captum_clustered.visualization.canvas import save_figure


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
        figure = draw_clusters(
            run, summary, prepared.explainer, prepared.items, **drawing.options()
        )
        with explained(f"{printable(folder / CLUSTER_SHEET)} cannot be written"):
            save_figure(figure, folder / CLUSTER_SHEET)
        names = (CLUSTER_MEANS, CLUSTER_EXAMPLES, CLUSTER_SHEET)
        written = ", ".join(printable(folder / name) for name in names)
        out.print(Text(f"Wrote {written}"), soft_wrap=True)


def _table(summary: ClusterSummary, prepared: Prepared) -> Group:
    settings = prepared.explainer.settings
    unit = IMPORTANCES[settings.importance].label
    # clusters.csv has all classes.
    targets = summary.frequent_targets(MAX_CLASSES)
    n_targets = len({mean.target for mean in summary.means}) - 1
    some = "" if len(targets) == n_targets else f" (the {len(targets)} most frequent)"
    columns = ["Cluster", "Channels", "All images"]
    columns += [prepared.items.class_name(target) for target in targets]
    group, table = titled(
        f"Mean {unit} of the {SCORES[settings.score].label} over {summary.n_images} images, by "
        f"explained class{some}",
        *columns,
        right=columns,
    )
    by = {(mean.cluster, mean.target): mean for mean in summary.means}
    for cluster in summary.clusters:
        row = [by[cluster, target] for target in (None, *targets)]
        values = [f"{mean.mean:+.4g}" for mean in row]
        table.add_row(str(cluster), str(row[0].channels), *values)
    return group
