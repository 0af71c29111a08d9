"""
The study: methods by metrics, for two heads and two layers: docs/study.md.

    make study DATA=path/to/BUSBRA MODELS=path/to/models
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from captum_clustered import compare
from captum_clustered.comparison import Comparison
from captum_clustered.comparison.metrics import default_metrics
from captum_clustered.visualization.canvas import save_figure
from study import auc
from study.checkpoints import load_network
from study.data import SPLITS, StudyData
from study.fitted_clusters import fitted_clusters
from study.front import costs, draw_front
from study.images import batches, labels_of, patients_of, sample
from study.methods import resolve, study_methods
from study.networks import HEADS, LAYERS, on_device, target_layer
from study.options import add_data_options, errors_of, take_data
from study.stability import EMPTY, EMPTY_MAP, SENSITIVITY
from study.tables import paper_table, sensitivity_table, verdicts_table

# More than for a single image: clusters of many images are told apart better.
FIT_CLUSTERS = 50
SCORES = ("margin", "logit", "probability")


def study_metrics() -> list[str]:
    """Return compare's default metrics and max-sensitivity, which costs more."""
    return [*default_metrics(has_masks=True), SENSITIVITY]


@dataclass(frozen=True)
class Options:
    """
    Attributes:

        split (str): "val", one of its halves "val-select" and "val-report", or "test".
        limit (int or None): Number of images, None for all.
        fit_images (int or None): Number of training images to fit clusters on, None for all.
        score (str): The score to explain: "margin", "logit" or "probability".
        heads, layers (sequence of str): See :mod:`study.networks`.
        methods (sequence of str): Names that :func:`study.methods.resolve` takes.
        metrics (sequence of str): Names of :func:`captum_clustered.compare`.
        fit_clusters (int): Number of fitted clusters.
        batch_size (int): Images in a batch.
    """

    split: str = "val"
    limit: int | None = None
    fit_images: int | None = None
    score: str = "margin"
    heads: Sequence[str] = HEADS
    layers: Sequence[str] = LAYERS
    methods: Sequence[str] = ()
    metrics: Sequence[str] = ()
    batch_size: int = 16
    fit_clusters: int = FIT_CLUSTERS


def study(data: StudyData, models: Path, out: Path, options: Options) -> str:
    """
    Run the study; results in ``out`` are not computed again.

    Args:

        data (StudyData): The data.
        models (Path): Folder of both networks, see :mod:`study.checkpoints`.
        out (Path): Output folder: one folder of results for each head and layer, and
                    ``study.md`` with all tables.
        options (Options): All other options.

    Returns:
        str: The tables, in Markdown.

    Raises:

        FileNotFoundError: If data or networks are missing.
        ValueError: If ``out`` has the results of other options.
    """
    images = sample(data.part(options.split), options.limit)
    texts = [
        f"# {len(images)} images of {options.split}, score {options.score}",
        data.report(options.split),
    ]
    print("\n\n".join(texts), flush=True)
    for head in options.heads:
        network = on_device(load_network(models, head, data))
        texts.append(_quality(network, head, images, options))
        print(f"\n{texts[-1]}", flush=True)
        for layer in options.layers:
            folder = out / f"{head}-{layer}"
            comparison = compare_layer(network, layer, images, data, folder, options)
            texts.append(f"## {head} head, {layer} layer")
            texts.append(write(comparison, patients_of(images), folder))
            print("\n".join(["", *texts[-2:]]), flush=True)
    text = "\n\n".join(texts) + "\n"
    (out / "study.md").write_text(text, encoding="utf-8")
    return text


def compare_layer(
    network: nn.Module,
    layer: str,
    images: Dataset[Any],
    data: StudyData,
    folder: Path,
    options: Options,
) -> Comparison:
    """Compare the methods at one layer; the folder keeps finished batches and fitted clusters."""
    target = target_layer(network, layer)

    def fit() -> Tensor:
        reference = sample(data.part("train"), options.fit_images)
        path = folder / "clusters.pt"
        return fitted_clusters(
            network, target, reference, path, options.batch_size, options.fit_clusters
        )

    methods = resolve(options.methods or study_methods(), fit)
    metrics: list[Any] = list(options.metrics or study_metrics())
    if SENSITIVITY in metrics:
        metrics.append({EMPTY: EMPTY_MAP})
    comparison = compare(
        network,
        target.layer,
        batches(images, options.batch_size),
        methods,
        metrics,
        score=options.score,
        attribute_to_layer_input=target.at_input,
        save_to=folder / "state",
    )
    inputs = next(iter(batches(images, options.batch_size)))[0]
    inputs = inputs.to(next(network.parameters()).device)
    measured = costs(folder / "costs.json", methods, network, options.score, target, inputs)
    save_figure(draw_front(comparison, measured), folder / "front.png")
    return comparison


def write(comparison: Comparison, patients: Sequence[str], folder: Path) -> str:
    """Write values, tables and figures to the folder; return the tables as one text."""
    tables = {
        "paper.md": paper_table(comparison),
        "metrics.md": comparison.to_markdown(),
        "checks.md": "\n\n".join(
            filter(None, [verdicts_table(comparison, patients), sensitivity_table(comparison)])
        ),
    }
    for name, table in tables.items():
        (folder / name).write_text(f"{table.rstrip()}\n", encoding="utf-8")
    comparison.to_csv(folder / "results.csv")
    comparison.summary().to_csv(folder / "summary.csv", index=False)
    kinds = ["metrics", "gallery"]
    if any(comparison.curves.values()):
        kinds.append("curves")
    for kind in kinds:
        save_figure(comparison.plot(kind), folder / f"{kind}.png")
    return "\n\n".join(table.rstrip() for table in tables.values() if table)


def _quality(network: nn.Module, head: str, images: Dataset[Any], options: Options) -> str:
    """Return the AUC on the explained images: maps of a network that guesses explain nothing."""
    scores = auc.probabilities(network, batches(images, options.batch_size))
    known = labels_of(images), scores, patients_of(images)
    try:
        return (
            f"{head} head: AUC by image {auc.by_image(*known)}, by patient {auc.by_patient(*known)}"
        )
    except ValueError:
        return f"{head} head: no AUC, because all images have the same class"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="study.run", description="Methods by metrics, for two heads and two layers."
    )
    add_data_options(parser)
    parser.add_argument("--models", type=Path, default=Path("out/models"), help="The checkpoints.")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/study"),
        help="Output folder; use another one for other options.",
    )
    parser.add_argument("--split", choices=SPLITS, default="val")
    parser.add_argument(
        "--limit", type=int, help="Number of images, drawn at random (default: all)."
    )
    parser.add_argument(
        "--fit-images", type=int, help="Number of images to fit clusters on (default: all)."
    )
    parser.add_argument(
        "--fit-clusters", type=int, default=FIT_CLUSTERS, help="Number of fitted clusters."
    )
    parser.add_argument("--score", choices=SCORES, default="margin", help="The score to explain.")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=study_methods())
    parser.add_argument("--metrics", nargs="+", metavar="NAME", default=study_metrics())
    parser.add_argument("--batch-size", type=int, default=16)
    options = vars(parser.parse_args(arguments))
    models, out = options.pop("models"), options.pop("out")
    with errors_of("study"):
        study(take_data(options), models, out, Options(**options))


if __name__ == "__main__":
    main()
