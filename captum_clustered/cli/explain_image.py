"""One picture from its pixels to files and tables."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from rich.text import Text
from torch import Tensor

from captum_clustered._errors import explained, printable
from captum_clustered.cli.console import out, show
from captum_clustered.cli.tables import class_table, cluster_table
from captum_clustered.explain import Explanation, ImageExplainer
from captum_clustered.visualization import draw_explanation
from captum_clustered.visualization.canvas import save_figure

__all__ = ["explain_image"]


def explain_image(
    explainer: ImageExplainer,
    image: Image.Image,
    title: str,
    stem: Path,
) -> tuple[Explanation, Tensor]:
    """
    Explains a picture, writes ``<stem>.png`` and ``<stem>.npz`` and prints its tables.

    Args:

        explainer (ImageExplainer): The model and settings.
        image (PIL.Image.Image): Mode RGB.
        title (str): The picture's name.
        stem (Path): Where the files go, without suffix.

    Returns:
        tuple[Explanation, Tensor]: The explanation, and the network's input (1, C, H, W).

    Raises:

        UserError: If the model fails or a file cannot be written.
    """
    with explained(f"{title} cannot be prepared for the network"):
        inputs = explainer.prepare(image)
    with explained(f"{explainer.model.name} cannot be explained"):
        explanation = explainer(inputs, title)
    # Not with_suffix: names may have dots.
    figure_path, array_path = (stem.with_name(stem.name + end) for end in (".png", ".npz"))
    with explained(f"{printable(figure_path)} cannot be written"):
        save_figure(draw_explanation(explanation), figure_path)
    with explained(f"{printable(array_path)} cannot be written"):
        explanation.save(array_path)
    out.rule(Text(title), style="dim")
    show(class_table(explanation))
    show(cluster_table(explanation))
    written = f"Wrote {printable(figure_path)} and {printable(array_path)}"
    out.print(Text(written), soft_wrap=True)
    return explanation, inputs
