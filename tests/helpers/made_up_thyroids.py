"""Made-up images in the layouts of the thyroid data sets, and in a table."""

import functools

import numpy as np
from PIL import Image
from small_files import ddti_case, save_table, svg, tn5000, voc_annotation
from study.phantoms import phantom

TIRADS = ("2", "3", "4a", "4b", "4c", "5")


def ddti(folder, n_cases=24, tirads=TIRADS):
    """Cases of these categories in turn, with an image each, and two in every fourth."""
    for case in range(1, n_cases + 1):
        category = tirads[case % len(tirads)]
        n_images = 2 if case % 4 == 0 else 1
        drawn = [_drawn(category in ("4c", "5"), (case, n)) for n in range(n_images)]
        marks = [(n, svg(_outline(mask))) for n, (_, mask) in enumerate(drawn, 1)]
        ddti_case(folder, case, category, marks, n_images)
        for number, (image, _) in enumerate(drawn, 1):
            Image.fromarray(image).save(folder / f"{case}_{number}.jpg")
    return folder


def tn5000_splits(folder, n_train=16, n_val=8):
    """Benign and malignant in turn, with one box each, in the splits train and val."""
    drawn = [_drawn(n % 2 == 1, (n,)) for n in range(n_train + n_val)]
    boxes = [voc_annotation((n % 2, *_box(mask))) for n, (_, mask) in enumerate(drawn)]
    tn5000(folder, boxes)
    names = [f"{n:06}" for n in range(1, n_train + n_val + 1)]
    for name, (image, _) in zip(names, drawn, strict=True):
        Image.fromarray(image).save(folder / "JPEGImages" / f"{name}.jpg")
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").write_text("\n".join(names[:n_train]))
    (lists / "val.txt").write_text("\n".join(names[n_train:]))
    return folder


def table(folder, n_patients=12, **changed):
    """Two images of each patient, patients benign and malignant in turn, and no splits."""
    rows = []
    for patient in range(n_patients):
        for view in range(2):
            image, mask = _drawn(patient % 2 == 1, (patient, view))
            name = f"{patient:02}-{view}.png"
            for kind, pixels in (("images", image), ("masks", mask)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / kind / name)
            label = "malignant" if patient % 2 else "benign"
            row = {"image": f"images/{name}", "mask": f"masks/{name}", "label": label}
            rows.append({**row, "patient": f"p{patient:02}", **changed})
    save_table(folder / "labels.csv", rows)
    return rows


@functools.cache
def _drawn(malignant, seed):
    return phantom(malignant, np.random.default_rng(seed))


def _outline(mask):
    """The left ends of the rows of a mask downwards, and the right ends upwards."""
    rows = [(int(y), np.flatnonzero(mask[y])) for y in np.flatnonzero(mask.any(1))]
    left, right = ([(int(x[end]), y) for y, x in rows] for end in (0, -1))
    return left + right[::-1]


def _box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()
