"""Labels in files: the number or the name of a class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from captum_clustered._errors import close_matches, printable
from captum_clustered.data._tables import read_table

MAX_NAMES = 12
GIVE_NAMES = "Give them in the order of the model's outputs: classes=[...] or --class-names."
NO_NAMES = f"The classes have no names. {GIVE_NAMES}"


def class_index(text: str, classes: Sequence[str] | None, n_classes: int | None, where: str) -> int:
    """
    Return the index of a class from its number or its name, in upper or lower case.

    The messages of errors begin with where.
    """
    # A single logit decides between two classes.
    n_classes = None if n_classes is None else max(n_classes, 2)
    # Not all that int() takes is meant as a number: "1_0" is a name.
    if not text.removeprefix("-").isdecimal():
        names = [name.casefold() for name in classes or ()]
        found = [index for index, name in enumerate(names) if name == text.casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = " and ".join(map(str, found))
            raise ValueError(f"{where}: {text!r} is the name of classes {numbers}; give a number.")
        hint = close_matches(text.casefold(), names) if names else f" {NO_NAMES}"
        raise ValueError(f"{where}: there is no class {text!r}.{hint}")
    label = int(text)
    if label < 0 or (n_classes is not None and label >= n_classes):
        known = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
        raise ValueError(f"{where}: label {label} is out of range; the classes are {known}.")
    return label


def class_indices(
    words: Sequence[str], classes: Sequence[str] | None, n_classes: int | None, where: str
) -> dict[str, int]:
    """
    Return the index of each label in words, which are sorted.

    Without known names of classes, the words are numbered in their order, as torchvision's
    ImageFolder does, with a warning. There must then be one for each class.
    """
    if classes is not None or all(word.isdecimal() for word in words):
        return {word: class_index(word, classes, n_classes, where) for word in words}
    if n_classes is not None and len(words) != max(n_classes, 2):
        raise ValueError(
            f"{where} has labels of {len(words)} kinds and the model has {n_classes} classes "
            f"without names; give the numbers of classes as labels. {NO_NAMES}"
        )
    numbers = {word: index for index, word in enumerate(words)}
    warnings.warn(
        f"The labels in {where} are numbered in the order of their names: "
        f"{class_list(words)}. This is a guess; the model's classes have no names. {GIVE_NAMES}",
        stacklevel=4,
    )
    return numbers


def class_list(names: Sequence[str]) -> str:
    """Return "0 benign, 1 malignant", at most the first few."""
    shown = [f"{index} {name}" for index, name in enumerate(names)][:MAX_NAMES]
    return ", ".join(shown + ["..."] * (len(names) > MAX_NAMES))


def read_labels(
    path: Path, classes: Sequence[str] | None, n_classes: int | None
) -> tuple[dict[str, int], list[str]]:
    """
    Read a table of labels.

    Returns the index of the class by the name of the image's file, and the names of the classes
    if only the table has them.
    """
    rows = read_table(path, ("image", "label"))
    numbers: dict[str, int] = {}
    words = sorted({row["label"] for row in rows} - {""})
    if classes is None and words and not any(word.removeprefix("-").isdecimal() for word in words):
        numbers = class_indices(words, None, n_classes, printable(path))
    labels: dict[str, int] = {}
    for row in rows:
        where = f"{printable(path)}, line {row.line}"
        text, key = row["label"], Path(row["image"]).name
        label = numbers[text] if text in numbers else class_index(text, classes, n_classes, where)
        if labels.setdefault(key, label) != label:
            raise ValueError(f"{where}: {key} has another label further up.")
    return labels, list(numbers)
