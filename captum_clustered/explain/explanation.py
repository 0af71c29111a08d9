"""The explanation of one image, which can be saved and loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from captum_clustered._version import __version__
from captum_clustered.clusters import order_clusters
from captum_clustered.data.volumes import resampled
from captum_clustered.explain.settings import ExplainerSettings
from captum_clustered.scores import SCORES

Array = npt.NDArray[Any]
# A JSON string in the file: the settings, what is explained and the fields in FACTS.
SETTINGS = "settings"
FACTS = ("image", "model", "weights", "gradcam_missing", "preprocessing")
# Number of the most probable classes whose names are kept.
TOP = 5
# The probability of a finding of a multi-label network.
FINDING = 0.5


@dataclass(frozen=True, repr=False)
class Explanation:
    r"""
    The explanation of one image. Maps have the layer's size (h, w).

    Those of a volume have (d, h, w). Its pictures are its gray values, (X, Y, Z), all of them, in
    the order of the file, and ``affine`` and ``map_affine`` say where they are.

    Attributes:

        attribution (array): Clustered-CAM, (h, w).
        gradcam (array or None): LayerGradCam of the same layers and score, (h, w).
        labels (array): Cluster of each channel, (C,).
        importances (array): Importance of each cluster, (k,).
        maps (array): Each cluster's share of the attribution, (k, h, w). Of several layers,
                    the clusters are those of the last one, and their maps have its size.
        sizes (array): Number of channels in each cluster, (k,).
        score (float): Score of the target.
        baseline_score (float): Score of the target with the whole layer ablated.
        target (int): The class that is explained.
        probabilities (array): Probability of each class, (n_classes,).
        input_image (array): What the network sees, (H, W, 3), uint8.
        original_image (array or None): The image before preprocessing, (H, W, 3), uint8, at
                    most 1024 long.
        seen (tuple[float, float, float, float]): The part of it that the network sees: top,
                    left, bottom and right in shares of its height and width.
        settings (ExplainerSettings): How it was made.
        class_names (Mapping[int, str]): Names of the target and the most probable classes.
        image (str): Name of the image.
        model (str): Name of the network.
        weights (str or None): Name or file of its weights.
        affine (array or None): Of a volume, from indices of the voxels of ``original_image`` to
                    millimeters, (4, 4), as nibabel has it.
        map_affine (array or None): The same for the maps.
        preprocessing (str): What was done to the image, in one line; guesses are called so.
        gradcam_missing (str): Why there is no LayerGradCam.
        notes (tuple[str, ...]): Remarks for the user.
    """

    attribution: Array
    gradcam: Array | None
    labels: Array
    importances: Array
    maps: Array
    sizes: Array
    score: float
    baseline_score: float
    target: int
    probabilities: Array
    input_image: npt.NDArray[np.uint8]
    original_image: npt.NDArray[np.uint8] | None = None
    seen: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)
    affine: Array | None = None
    map_affine: Array | None = None
    settings: ExplainerSettings = field(default_factory=ExplainerSettings)
    class_names: Mapping[int, str] = field(default_factory=dict)
    image: str = ""
    model: str = ""
    weights: str | None = None
    preprocessing: str = ""
    gradcam_missing: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say in one line what is explained and with which result."""
        sides = " x ".join(map(str, self.attribution.shape))
        return (
            f"Explanation({self.image!r}: {self.class_name(self.target)}, probability "
            f"{self.probability:.1%}, {SCORES[self.settings.score].label} {self.score:.4g}; "
            f"map {sides}, {len(self.by_importance())} clusters, layer "
            f"{self.settings.layer_names!r})"
        )

    @property
    def picture(self) -> npt.NDArray[np.uint8]:
        """The image that ``seen`` belongs to: the original, or the input if that is not known."""
        return self.input_image if self.original_image is None else self.original_image

    def on_volume(self, values: Array) -> npt.NDArray[np.float32]:
        """
        Interpolate a map (d, h, w) to the voxels of the volume.

        Args:

            values (array): ``attribution``, ``gradcam`` or one of ``maps``.

        Returns:
            array: (X, Y, Z), NaN where the network did not see the volume.

        Raises:

            ValueError: If the explanation is that of an image.
        """
        if self.original_image is None or self.affine is None or self.map_affine is None:
            raise ValueError(f"{self.image} is an image, not a volume.")
        return resampled(values, self.map_affine, self.original_image.shape, self.affine)

    def save_nifti(self, path: str | os.PathLike[str], values: Array | None = None) -> None:
        """
        Write a map of a volume as NIfTI, which viewers draw over the volume.

        It has the voxels and the affine of the volume, and is zero where the network did not see
        it.

        Args:

            path (str or PathLike): The file, such as "scan-attribution.nii.gz".
            values (array, optional): The map, as in :meth:`on_volume`.
                        Default: None (``attribution``)

        Raises:

            ValueError: If the explanation is that of an image.
            OSError: If the file cannot be written.
        """
        found = self.on_volume(self.attribution if values is None else values)
        from nibabel import Nifti1Image

        volume = Nifti1Image(np.nan_to_num(found), self.affine)
        volume.header.set_xyzt_units("mm")
        volume.to_filename(path)

    @property
    def prediction(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """The probability of the target."""
        return float(self.probabilities[self.target])

    @property
    def findings(self) -> list[int]:
        """The findings of a multi-label network, the most probable first."""
        is_multi_label = self.settings.multi_label
        return findings_of(self.probabilities) if is_multi_label else []

    def class_name(self, index: int) -> str:
        """Return the name of a class, or "class 3" if it is not among ``class_names``."""
        return self.class_names.get(index, f"class {index}")

    def top_classes(self) -> list[int]:
        """Return the five most probable classes, and the target and findings besides."""
        found = [int(i) for i in np.argsort(-self.probabilities, kind="stable")[:TOP]]
        return list(dict.fromkeys([*found, *self.findings, self.target]))

    def by_importance(self) -> list[int]:
        """Return the clusters that have channels, the most important first."""
        return order_clusters(self.importances, self.sizes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the explanation to a file (.npz) that ``numpy.load`` opens without pickle.

        Args:

            path (str or PathLike): The file.

        Raises:

            OSError: If it cannot be written.
        """
        description = {
            **{name: getattr(self, name) for name in FACTS},
            "class_name": self.class_name(self.target),
            "probability": self.probability,
            "prediction": self.prediction,
            "predicted_class": self.class_name(self.prediction),
            "class_names": self.class_names,
            "notes": self.notes,
            "captum_clustered": __version__,
            **self.settings.to_json(),
        }
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        # A target may be a number of NumPy or torch.
        arrays[SETTINGS] = json.dumps(description, default=lambda number: number.item())
        arrays |= {
            name: getattr(self, name) for name in OPTIONAL if getattr(self, name) is not None
        }
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """
        Read what :meth:`save` has written.

        Args:

            path (str or PathLike): The file.

        Returns:
            Explanation: Equal to the one that was saved.

        Raises:

            OSError: If it cannot be read.
            ValueError: If it is damaged, no explanation, or of an older version.

        Examples::

            >>> explanation = Explanation.load("out/cat.npz")
            >>> explanation.class_name(explanation.target)
            'tabby'
        """
        arrays, description = _read(Path(path))
        # Numbers are arrays without dimensions there.
        values = {
            name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in ARRAYS
        }
        values |= {name: arrays.get(name) for name in OPTIONAL}
        values["seen"] = tuple(np.ravel(values["seen"]).tolist())
        try:
            for name in FACTS:
                values[name] = description[name]
            return cls(
                **values,
                settings=ExplainerSettings.from_json(description),
                class_names={int(key): name for key, name in description["class_names"].items()},
                notes=tuple(description["notes"]),
            )
        except KeyError as error:
            raise ValueError(
                f"{path} is of an older version of explain: it has no {error.args[0]}. Start "
                "explain again with the same options."
            ) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no result of explain, or is damaged: {error}") from error


def findings_of(probabilities: Array) -> list[int]:
    """Return the classes of at least 50 %, the most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return [int(i) for i in order if probabilities[i] >= FINDING]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        # Of a damaged file that it had opened itself, np.load leaves the handle open.
        with path.open("rb") as file, np.load(file) as stored:
            arrays = dict(stored)
    except (ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is damaged: it holds no arrays.") from error
    missing = [name for name in (*ARRAYS, SETTINGS) if name not in arrays]
    try:
        description = None if missing else json.loads(str(arrays[SETTINGS]))
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise ValueError(
            f"{path} is no result of explain, or is damaged: it has no "
            f"{' and no '.join(missing) or SETTINGS}."
        )
    return arrays, description


# What a file may have as an array, and what every file has.
OPTIONAL = ("gradcam", "original_image", "affine", "map_affine")
ARRAYS = [
    name
    for name in Explanation.__dataclass_fields__
    if name not in (*FACTS, *OPTIONAL, SETTINGS, "class_names", "notes")
]
