"""
The data of the study: a data set, its two classes, its splits, whole images or crops.

Of BUS-BRA and TN5000, the official splits are used. DDTI has none, and a table need not have
one: their patients are then divided into five folds.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from captum_clustered.data import DDTI, MaskedImages, Sample, split_by_patient
from captum_clustered.data.registry import DATASETS, has_splits
from study.crops import SquareCrop
from study.images import preparation
from study.networks import check_choice

CLASSES = ("benign", "malignant")
# Labels of each class. Of DDTI they are TI-RADS categories: 4a and 4b are unclear, and left out.
LABELS = (("benign", "0"), ("malignant", "1"))
TIRADS = (("2", "3"), ("4c", "5"))
# Halves of val: "val-select" to choose settings, "val-report" for reported results.
HALVES = ("val-select", "val-report")
SPLITS = ("val", *HALVES, "test")
FOLDS = 5


@dataclass(frozen=True)
class StudyData:
    """
    The images of a data set.

    Attributes:

        root (Path): The folder of the data; of a table, the folder with ``labels.csv`` or
                    another CSV file.
        name (str): The data set, one of ``captum_clustered.data.registry.DATASETS``.
        benign, malignant (tuple of str): The labels, of DDTI the TI-RADS categories, of each
                    class. Images with other labels are left out. Empty: benign or 0 against
                    malignant or 1, where any other label is an error; of DDTI, 2 and 3 against
                    4c and 5.
        crop (float or None): Margin of :class:`study.crops.SquareCrop`, None for whole images.
        fold (int or None): The fold that is ``val``, from 1 to 5, of data without splits.
                    None: 1.
    """

    root: Path
    name: str = "busbra"
    benign: tuple[str, ...] = ()
    malignant: tuple[str, ...] = ()
    crop: float | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        check_choice("dataset", self.name, tuple(DATASETS))
        if bool(self.benign) != bool(self.malignant):
            raise ValueError(
                f"benign={self.benign} and malignant={self.malignant} must be given together: the "
                "labels of both classes."
            )
        both = sorted(set(self.benign) & set(self.malignant))
        if both:
            raise ValueError(f"{', '.join(both)} is in benign and in malignant; it can be in one.")
        if self.crop is not None and not 0 <= self.crop < float("inf"):
            raise ValueError(f"crop={self.crop} must be a margin of 0 or more, such as 0.2.")
        if self.fold is not None and not 1 <= self.fold <= FOLDS:
            raise ValueError(f"fold={self.fold} must be from 1 to {FOLDS}.")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the root: a network is for data with the same settings."""
        labels = dict(zip(CLASSES, map(list, self._groups), strict=True))
        return {"dataset": self.name, **labels, "crop": self.crop, "fold": self.fold or 1}

    def part(self, split: str, transforms: Any = None) -> Dataset[Any]:
        """
        Return the images of a split; its items are (image, label, mask).

        Args:

            split (str): "train", "val", "test" or one half of the patients of val,
                        "val-select" or "val-report".
            transforms (Callable, optional): From a PIL image to the network's input.
                        Default: None (:func:`study.images.preparation`)

        Returns:
            Dataset: A data set of :mod:`captum_clustered.data`, or a subset of one.

        Raises:

            FileNotFoundError: If the folder or files of the split are missing.
            ValueError: If a file cannot be read, a label is not known, one of the classes has
                        no image, or there is no such split.
        """
        samples, whole = self._samples(split)
        steps = [transforms or preparation()]
        if self.crop is not None:
            steps.insert(0, SquareCrop(self.crop))
        images = MaskedImages(Path(whole.root), samples, CLASSES, transforms=v2.Compose(steps))
        if split not in HALVES:
            return images
        return split_by_patient(images, (0.5, 0.5), seed=0)[HALVES.index(split)]

    def report(self, split: str) -> str:
        """Return what is in a split and what was left out, in Markdown."""
        samples, whole = self._samples(split)
        counts = Counter(sample.label for sample in samples)
        n_patients = len({sample.patient for sample in samples})
        labels = [f"{name}: {', '.join(g)}" for name, g in zip(CLASSES, self._groups, strict=True)]
        kept = {label for group in self._groups for label in group}
        out = {label: n for label, n in Counter(_labels(whole)).items() if label not in kept}
        base = split.split("-")[0]
        lines = [
            f"- {self.name}, {base}: {len(samples)} images of {n_patients} patients, "
            f"{counts[0]} benign and {counts[1]} malignant",
            f"- labels: {'; '.join(labels)}" + (f"; left out: {_counted(out)}" if out else ""),
        ]
        if not has_splits(self.name, self.root):
            lines.append(f"- splits: val is fold {self.fold or 1} of {FOLDS}, by patient")
        if self.crop is not None:
            lines.append(f"- crops: squares around the lesion, margin {self.crop:g}")
        if None in whole.patients:
            lines.append(
                "- the data name no patients: each image counts as one, so intervals are too "
                "narrow, and a patient may be in two splits"
            )
        lines += [f"- left out or not as expected: {problem}" for problem in whole.problems]
        return "\n".join(lines)

    @property
    def _groups(self) -> tuple[Sequence[str], Sequence[str]]:
        if self.benign:
            groups = (self.benign, self.malignant)
            return tuple(tuple(label.casefold() for label in group) for group in groups)  # type: ignore[return-value]
        return TIRADS if self.name == "ddti" else LABELS

    def _samples(self, split: str) -> tuple[list[Sample], MaskedImages]:
        """Return the images of a split (of val for its halves), and all that were read."""
        check_choice("split", split, ("train", *SPLITS))
        split = split.split("-")[0]
        official = has_splits(self.name, self.root)
        if official and self.fold is not None:
            raise ValueError(
                f"fold={self.fold} is for data without splits; {self.root} has its own."
            )
        with warnings.catch_warnings():
            # The report has all problems, the warning the first ones.
            warnings.simplefilter("ignore", UserWarning)
            whole = DATASETS[self.name](self.root, split if official else None)
        number = self._number_of(whole, split if official else "the data")
        samples = [
            replace(
                sample,
                label=number[label],
                mask=partial(_mask, sample),
                # Of the official splits of TN5000.
                patient=sample.patient or sample.image.stem,
            )
            for sample, label in zip(whole.samples, _labels(whole), strict=True)
            if label in number
        ]
        if not official:
            samples = self._fold(samples, split)
        return samples, whole

    def _number_of(self, whole: MaskedImages, where: str) -> dict[str, int]:
        """Return the number of the class of each label that is used; where is a split or all."""
        labels = _labels(whole)
        there = _counted(Counter(labels))
        number = {label: index for index, group in enumerate(self._groups) for label in group}
        unknown = [label not in number for label in labels]
        if any(unknown) and not self.benign and self.name != "ddti":
            first = unknown.index(True)
            raise ValueError(
                f"{self.root}: {whole.samples[first].image.name} has the label "
                f"{labels[first]!r}; expected {' or '.join(number)}. There are {there}. Name the "
                "labels of both classes with --benign and --malignant; images with other labels "
                "are then left out."
            )
        for name, group in zip(CLASSES, self._groups, strict=True):
            absent = [label for label in group if label not in labels]
            if len(absent) == len(group) or (self.benign and absent):
                raise ValueError(
                    f"{self.root}: no image of {where} has the label {' or '.join(absent)}, "
                    f"expected for {name}; there are {there}. Choose labels with --benign and "
                    "--malignant."
                )
        return number

    def _fold(self, samples: list[Sample], split: str) -> list[Sample]:
        if split == "test":
            raise ValueError(
                f"{self.root} has no splits, so there is no test; val is one of {FOLDS} folds, "
                "chosen with --fold, and train the others."
            )
        # The folds depend on the patients and not on the order of a table.
        samples = sorted(samples, key=lambda sample: (sample.patient or "", str(sample.image)))
        for index, name in enumerate(CLASSES):
            patients = sorted({s.patient or "" for s in samples if s.label == index})
            if len(patients) < FOLDS:
                raise ValueError(
                    f"{self.root} has {len(patients)} patients with a {name} image "
                    f"({', '.join(patients)}); {FOLDS} folds need at least {FOLDS}."
                )
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(
            np.zeros(len(samples)),
            [sample.label for sample in samples],
            [sample.patient for sample in samples],
        )
        train, val = list(folds)[(self.fold or 1) - 1]
        return [samples[index] for index in (train if split == "train" else val)]


def _labels(images: MaskedImages) -> list[str]:
    """Return the label of each image as the data set has it, in lower case."""
    if isinstance(images, DDTI):
        return images.tirads
    return [images.classes[label].casefold() for label in images.targets]


def _mask(sample: Sample, size: tuple[int, int]) -> Tensor:
    """Return the mask of a sample, which must not be empty."""
    assert sample.mask is not None  # noqa: S101
    mask = sample.mask(size)
    if not mask.any():
        raise ValueError(
            f"{sample.image} has an empty mask; the study needs images with a lesion. Take it out "
            "of the table or list of images."
        )
    return mask


def _counted(counts: dict[str, int]) -> str:
    """Return names with their numbers of images."""
    found: Iterable[tuple[str, int]] = sorted(counts.items())
    return ", ".join(f"{name} ({n} image{'s' if n > 1 else ''})" for name, n in found) or "none"
