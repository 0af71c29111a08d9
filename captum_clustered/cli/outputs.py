"""Where results are written, and the arrays among them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from captum_clustered import __version__
from captum_clustered._errors import UserError, one_line, printable
from captum_clustered._storage.layout import LEFT_OUT
from captum_clustered.data.dicom import split_frame
from captum_clustered.data.preprocessing import Preprocessing
from captum_clustered.explain import Explanation, Settings
from captum_clustered.models.load import Model

__all__ = ["output_names", "prepare_folder", "save_arrays", "save_left_out"]


def prepare_folder(folder: Path) -> None:
    """
    Makes the folder, so that a long computation cannot be in vain.

    Raises:

        UserError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder --out {printable(folder)} cannot be made: "
            f"{error.strerror or one_line(error)}."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"The folder --out {printable(folder)} cannot be written to.")


def output_names(images: Iterable[Path]) -> list[str]:
    """
    A name for each image's files: its stem, with the number of the frame if it is one, and
    numbered where that is taken.
    """
    taken: set[str] = set()
    names = []
    for image in images:
        file, frame = split_frame(image)
        stem = file.stem if frame is None else f"{file.stem}-frame{frame}"
        name, n = stem, 1
        # Some file systems do not tell cases apart.
        while name.casefold() in taken:
            n += 1
            name = f"{stem}-{n}"
        taken.add(name.casefold())
        names.append(name)
    return names


def save_arrays(
    path: Path,
    explanation: Explanation,
    settings: Settings,
    model: Model,
    preprocessing: Preprocessing,
    source: str,
) -> None:
    """
    Writes an explanation as arrays (.npz) that np.load opens without pickle.

    Maps are of the layer's size. ``gradcam`` is missing where it was left out;
    ``settings`` is a JSON string.

    Args:

        path (Path): The file.
        explanation (Explanation): What is written.
        settings (Settings): How it was made.
        model (Model): The network.
        preprocessing (Preprocessing): How the picture became its input.
        source (str): The picture's file.

    Raises:

        OSError: If it cannot be written.
    """
    prediction = int(explanation.probabilities.argmax())
    description = {
        "image": source,
        "model": model.name,
        "weights": model.weights,
        "class_name": model.class_name(explanation.target),
        "probability": float(explanation.probabilities[explanation.target]),
        "prediction": prediction,
        "predicted_class": model.class_name(prediction),
        "gradcam_missing": explanation.gradcam_missing,
        "size": preprocessing.size,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "captum_clustered": __version__,
        **asdict(settings),
    }
    arrays: dict[str, Any] = {
        "attribution": explanation.attribution,
        "labels": explanation.labels,
        "importances": explanation.importances,
        "maps": explanation.maps,
        "sizes": explanation.sizes,
        "score": explanation.score,
        "baseline_score": explanation.baseline_score,
        "target": explanation.target,
        "input_image": explanation.input_image,
        "settings": json.dumps(description),
    }
    if explanation.gradcam is not None:
        arrays["gradcam"] = explanation.gradcam
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def save_left_out(folder: Path, failures: Sequence[tuple[str, str]]) -> None:
    """
    Writes which images are missing, and why.

    Raises:

        OSError: If it cannot be written.
    """
    path = folder / LEFT_OUT
    if failures:
        path.write_text(json.dumps(failures), encoding="utf-8")
    else:
        # Of an earlier run.
        path.unlink(missing_ok=True)
