"""BUS-BRA: breast ultrasound."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from typing_extensions import Unpack

from captum_clustered.data._tables import Row, check_files, check_split, find_folder, read_table
from captum_clustered.data.base import MaskedImages, Sample, Transforms
from captum_clustered.data.masks import read_mask
from captum_clustered.data.patients import check_patients_apart

N_IMAGES = 1875
CLASSES = ("benign", "malignant")
SPLIT_OF_FOLD = {"1": "test", "2": "val", "3": "train", "4": "train", "5": "train"}
SOURCE = (
    "BUS-BRA is at https://zenodo.org/records/8231412 (BUSBRA.zip; CC BY 4.0, and its LICENSE "
    "asks papers that use it to cite Gómez-Flores et al., Medical Physics 51(4):3110-3123, 2024, "
    "doi 10.1002/mp.16812). It is downloaded and unpacked by hand."
)


class BUSBRA(MaskedImages):
    r"""
    BUS-BRA: breast ultrasound with biopsy-proven labels and outlines of the lesions.

    1,875 images of 1,064 patients from four scanners at the National Institute of Cancer, Rio
    de Janeiro: Gómez-Flores, Gregorio-Calas and de Albuquerque Pereira, "BUS-BRA: A breast
    ultrasound dataset for assessing computer-aided diagnosis systems", Medical Physics
    51(4):3110-3123, 2024, doi 10.1002/mp.16812. Download BUSBRA.zip from
    https://zenodo.org/records/8231412 and unpack it. The record is under CC BY 4.0; papers that
    use the data must cite the article.

    Two layouts are read: the release (``bus_data.csv``, ``5-fold-cv.csv``, ``Images``,
    ``Masks``), and a single table with its own splits (``labels.csv`` with the columns file,
    mask, label, split, patient and kfold5, ``images``, ``masks``). In the release, ``"test"``
    is the official fold 1, ``"val"`` fold 2 and ``"train"`` folds 3 to 5. No patient is in two
    folds, which is checked.

    An item is (image, label, mask) as :class:`MaskedImages` describes it; the labels are 0
    (benign) and 1 (malignant). Calipers and text are burned into many images, and contrast
    differs among scanners. A network can learn from either.

    Args:

        root (str or Path): The folder that BUSBRA.zip was unpacked to, or the folder BUSBRA.
        split (str, optional): "train", "val", "test" or "all".
                    Default: "train"
        **transforms: See :class:`MaskedImages`.

    Attributes:

        folds (list of str): Official fold of each image, "1" to "5".

    Raises:

        FileNotFoundError: If root does not hold the data, or images or masks of the split
                    are missing.
        ValueError: If split is not accepted, or a table has other columns or values than
                    expected or a patient in two folds.

    Examples::

        >>> from torchvision.transforms import v2
        >>> both = v2.Compose([v2.Resize((224, 224)), v2.ToImage(),
        ...                    v2.ToDtype(torch.float32, scale=True)])
        >>> data = BUSBRA("BUSBRA", split="val", transforms=both)
        >>> image, label, mask = data[0]
        >>> image.shape, mask.shape
        (torch.Size([3, 224, 224]), torch.Size([1, 224, 224]))
    """

    def __init__(
        self, root: str | Path, split: str = "train", **transforms: Unpack[Transforms]
    ) -> None:
        check_split(split, ("train", "val", "test", "all"))
        folder = find_folder(root, ("bus_data.csv", "labels.csv"), SOURCE)
        official = (folder / "bus_data.csv").is_file()
        rows = _official_rows(folder) if official else _repacked_rows(folder)
        check_patients_apart(((row["patient"], row["fold"]) for row in rows), str(folder))
        problems = []
        if official and len(rows) != N_IMAGES:
            problems.append(f"bus_data.csv has {len(rows)} rows, the release has {N_IMAGES}.")
        chosen = [row for row in rows if split in (row["split"], "all")]
        if not chosen:
            known = sorted({row["split"] for row in rows})
            raise ValueError(
                f"split={split!r} is not in {folder}, which has {', '.join(map(repr, known))}."
            )
        names = ("Images", "Masks") if official else ("images", "masks")
        images = [folder / names[0] / row["image"] for row in chosen]
        masks = [folder / names[1] / row["mask"] for row in chosen]
        check_files(images, "images", SOURCE)
        check_files(masks, "masks", SOURCE)
        samples = [
            Sample(image, _label(row, folder), partial(read_mask, mask), row["patient"])
            for row, image, mask in zip(chosen, images, masks, strict=True)
        ]
        self.folds = [row["fold"] for row in chosen]
        super().__init__(folder, samples, CLASSES, problems, **transforms)


def _official_rows(folder: Path) -> list[Row]:
    folds_file = folder / "5-fold-cv.csv"
    check_files([folds_file], "tables", SOURCE)
    folds = {row["ID"]: row["kFold"] for row in read_table(folds_file, ("ID", "kFold"))}
    rows = read_table(folder / "bus_data.csv", ("ID", "Case", "Pathology"))
    for row in rows:
        name, fold = row["ID"], folds.get(row["ID"], "")
        if fold not in SPLIT_OF_FOLD:
            raise ValueError(f"{folds_file} has fold {fold!r} for {name}; expected 1 to 5.")
        row.update(image=f"{name}.png", mask=f"mask_{name.removeprefix('bus_')}.png")
        row.update(label=row["Pathology"], patient=row["Case"])
        row.update(fold=fold, split=SPLIT_OF_FOLD[fold])
    return rows


def _repacked_rows(folder: Path) -> list[Row]:
    columns = ("image", "mask", "label", "split", "patient", "kfold5")
    rows = read_table(folder / "labels.csv", columns)
    for row in rows:
        row["fold"] = row["kfold5"]
    return rows


def _label(row: Row, folder: Path) -> int:
    name = row["label"].lower()
    if name not in CLASSES:
        raise ValueError(
            f"{folder} has {row['label']!r} for {row['image']}; expected {' or '.join(CLASSES)}."
        )
    return CLASSES.index(name)
