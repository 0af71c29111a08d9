"""Split a data set by patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch.utils.data import Dataset, Subset

from captum_clustered._argument_checks import check_type
from captum_clustered._errors import first_few
from captum_clustered.data.base import MaskedImages


def split_by_patient(
    dataset: Dataset[Any], shares: Sequence[float] = (0.5, 0.5), seed: int = 0
) -> list[Subset[Any]]:
    """
    Divide a data set at random into parts, with all images of a patient in one part.

    Patients are drawn within each class, so that every part has about the same proportion of
    classes as the whole. A patient with images of several classes counts for the last of them,
    in ultrasound data the malignant one. The parts depend only on the names of the patients,
    their labels, shares and seed, not on the order of the images.

    Args:

        dataset (Dataset): One of :mod:`captum_clustered.data`, or a
                    ``torch.utils.data.Subset`` of one. Its patients must be known.
        shares (sequence of float, optional): Share of the patients in each part; their sum
                    is 1.
                    Default: (0.5, 0.5)
        seed (int, optional): The seed of the random draw.
                    Default: 0

    Returns:
        list of Subset: One for each share, its images in the order of the data set.

    Raises:

        TypeError: If dataset is not one of this package.
        ValueError: If patients are not known, shares are not positive with the sum 1, or a
                    class has too few patients.

    Examples::

        >>> val = BUSBRA("BUSBRA", split="val")
        >>> select, report = split_by_patient(val, (0.5, 0.5), seed=0)
    """
    if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares={shares!r} must be two or more positive numbers with the sum 1.")
    samples = _samples(dataset)
    label_of: dict[str, int] = {}
    for patient, label in samples:
        if patient is None:
            raise ValueError("dataset does not know the patient of each image.")
        label_of[patient] = max(label, label_of.get(patient, label))
    part_of = dict(_draw(label_of, shares, seed))
    return [
        Subset(dataset, [i for i, (patient, _) in enumerate(samples) if part_of[patient] == part])
        for part in range(len(shares))
    ]


def check_patients_apart(pairs: Iterable[tuple[str, str]], what: str) -> None:
    """Check the (patient, split) of all images; a patient in two splits is a ValueError."""
    splits_of: dict[str, set[str]] = {}
    for patient, split in pairs:
        splits_of.setdefault(patient, set()).add(split)
    both = [
        f"{patient} ({', '.join(sorted(splits))})"
        for patient, splits in sorted(splits_of.items())
        if len(splits) > 1
    ]
    if both:
        raise ValueError(
            f"{what}: patients in more than one split ({len(both)}): {first_few(both)}. All images "
            "of a patient must be in one split."
        )


def _samples(dataset: Any) -> list[tuple[Any, int]]:
    """Return the patient and the label of each item."""
    if isinstance(dataset, Subset):
        return list(map(_samples(dataset.dataset).__getitem__, dataset.indices))
    what = "one of captum_clustered.data or a Subset of one"
    check_type("dataset", dataset, MaskedImages, what)
    return [(sample.patient, sample.label) for sample in dataset.samples]


def _draw(
    label_of: dict[str, int], shares: Sequence[float], seed: int
) -> Iterable[tuple[str, int]]:
    """Return the patients and their parts."""
    from sklearn.model_selection import train_test_split

    rest, n_patients = sorted(label_of), len(label_of)
    for part, share in enumerate(shares[:-1]):
        try:
            chosen, rest = train_test_split(
                rest,
                train_size=round(share * n_patients),
                stratify=[label_of[patient] for patient in rest],
                random_state=seed,
            )
        except ValueError as error:
            raise ValueError(
                f"shares={shares!r} cannot be drawn from {n_patients} patients with each class in "
                f"each part: {error}"
            ) from error
        yield from ((patient, part) for patient in chosen)
    yield from ((patient, len(shares) - 1) for patient in rest)
