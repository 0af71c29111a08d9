"""Tiny data sets in the layout of each release."""

import csv
import json

import numpy as np
from PIL import Image

SIZE = (12, 10)  # width and height


def save_image(path, size=SIZE, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def save_mask(path, size=SIZE):
    """The object is in rows 2 to 4 and columns 3 to 7."""
    values = np.zeros(size[::-1], dtype=np.uint8)
    values[2:5, 3:8] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def bus_bra_release(folder):
    """Ten images of five patients, one patient in each fold."""
    table, folds = [], []
    for patient in range(1, 6):
        pathology = "malignant" if patient % 2 else "benign"
        for side in "lr":
            name = f"bus_{patient:04}-{side}"
            save_image(folder / "Images" / f"{name}.png")
            save_mask(folder / "Masks" / f"{name.replace('bus', 'mask')}.png")
            row = {"ID": name, "Case": patient, "Pathology": pathology}
            table.append({**row, "Histology": "x", "BIRADS": 4, "Device": "GE", "Side": side})
            folds.append({**row, "kFold": patient})
    save_table(folder / "bus_data.csv", table)
    save_table(folder / "5-fold-cv.csv", folds)


def bus_bra_table(folder):
    """The same without fold 1 in one table."""
    rows = []
    for patient in range(2, 6):
        name = f"bus_{patient:04}-l"
        save_image(folder / "images" / f"{name}.jpg")
        save_mask(folder / "masks" / f"{name}.png")
        rows.append(
            {
                "file": f"{name}.jpg",
                "mask": f"{name}.png",
                "label": "malignant" if patient % 2 else "benign",
                "split": "val" if patient == 2 else "train",
                "patient": patient,
                "kfold5": patient,
            }
        )
    save_table(folder / "labels.csv", rows)


def svg(*outlines):
    """Outlines as DDTI has them."""
    return json.dumps(
        [
            {
                "points": [{"x": x, "y": y} for x, y in outline],
                "annotation": {"type": ""},
                "regionType": "freehand",
            }
            for outline in outlines
        ]
    )


def ddti_case(folder, name, tirads, marks, images=1):
    """An XML file with marks (image number, svg) and its images."""
    elements = "".join(
        f"<mark><image>{number}</image><svg>{text}</svg></mark>" for number, text in marks
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.xml").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?><case><number>{name}</number><age>40</age>'
        f"<sex>F</sex><composition>solid</composition><tirads>{tirads}</tirads>{elements}</case>"
    )
    for number in range(1, images + 1):
        save_image(folder / f"{name}_{number}.jpg")


def voc_annotation(*objects):
    """XML of objects (name, xmin, ymin, xmax, ymax)."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    elements = ""
    for name, *box in objects:
        corners = "".join(f"<{side}>{at}</{side}>" for side, at in zip(sides, box, strict=True))
        elements += f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation><filename>x.jpg</filename>{elements}</annotation>"


def tn5000(folder, annotations, split="train"):
    """Images 000001, 000002, ... with these annotations, all in one split."""
    names = [f"{index:06}" for index in range(1, len(annotations) + 1)]
    for name, annotation in zip(names, annotations, strict=True):
        save_image(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(annotation)
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
