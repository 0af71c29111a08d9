"""The data sets of the study, in made-up layouts."""

import re

import pytest
import torch
from made_up import data as bus_bra
from made_up_thyroids import ddti, table, tn5000_splits
from PIL import Image
from small_files import ddti_case, save_table
from study import images
from study.data import SPLITS, StudyData
from study.images import labels_of, patients_of
from study.options import errors_of


@pytest.fixture(autouse=True)
def small_inputs(monkeypatch):
    monkeypatch.setattr(images, "SIDE", 32)


def names(dataset):
    """Files of the images."""
    return [sample.image.name for sample in dataset.samples]


class TestDDTI:
    @pytest.fixture(scope="class")
    def root(self, tmp_path_factory):
        return ddti(tmp_path_factory.mktemp("ddti"))

    def test_unclear_categories_are_left_out(self, root):
        data = StudyData(root, "ddti")
        # Case n has category n % 6 of 2, 3, 4a, 4b, 4c, 5; the cases 4, 8, ... have two images.
        found = {}
        for split in ("train", "val"):
            part = data.part(split)
            found |= dict(zip(map(int, patients_of(part)), labels_of(part), strict=True))
        expected = {n: int(n % 6 > 3) for n in range(1, 25) if n % 6 in (0, 1, 4, 5)}
        assert found == expected

    def test_other_categories_can_be_chosen(self, root):
        data = StudyData(root, "ddti", benign=("2", "3"), malignant=("4B", "5"))
        part = data.part("train")
        for patient, label in zip(patients_of(part), labels_of(part), strict=True):
            assert {"0": 0, "1": 0, "3": 1, "5": 1}[str(int(patient) % 6)] == label

    def test_each_patient_is_in_one_of_five_folds(self, root):
        folds = [StudyData(root, "ddti", fold=fold) for fold in range(1, 6)]
        held = [set(patients_of(data.part("val"))) for data in folds]
        assert sum(map(len, held)) == len(set().union(*held)) == 16
        for data, patients in zip(folds, held, strict=True):
            train = set(patients_of(data.part("train")))
            assert not train & patients
            assert len(train | patients) == 16
            assert set(labels_of(data.part("val"))) == {0, 1}

    def test_the_first_fold_is_the_default(self, root):
        first = StudyData(root, "ddti", fold=1).part("val")
        assert names(StudyData(root, "ddti").part("val")) == names(first)

    def test_crops_keep_the_lesion_and_leave_most_else_out(self, root):
        whole, crop = (StudyData(root, "ddti", crop=crop).part("val")[0] for crop in (None, 0.1))
        assert whole[0].shape == crop[0].shape == (3, 32, 32)
        # The lesion's longer side fills 1 / 1.2 of the crop.
        rows, columns = (crop[2][0].any(1 - dim).sum() for dim in (0, 1))
        assert max(rows, columns) == pytest.approx(32 / 1.2, abs=2)
        assert crop[2].sum() > 2 * whole[2].sum()

    def test_the_report_says_what_there_is_and_what_was_left_out(self, root):
        report = StudyData(root, "ddti", crop=0.2, fold=2).report("train")
        assert "- ddti, train: " in report
        assert "benign: 2, 3; malignant: 4c, 5; left out: 4a (6 images), 4b (4 images)" in report
        assert "val is fold 2 of 5" in report
        assert "margin 0.2" in report

    def test_the_report_names_what_cannot_be_read(self, tmp_path):
        root = ddti(tmp_path, 30)
        (root / "3.xml").write_text("<case><tirads>4c</tirads><mark>")
        ddti_case(root, 31, "6", [])
        report = StudyData(root, "ddti").report("train")
        assert "- left out or not as expected: 3.xml: XML is cut off or broken" in report
        assert "31.xml: TI-RADS '6' is none of 2, 3, 4a, 4b, 4c, 5: its 1 images" in report


class TestTN5000:
    @pytest.fixture(scope="class")
    def root(self, tmp_path_factory):
        return tn5000_splits(tmp_path_factory.mktemp("tn5000"))

    def test_its_own_splits_are_used(self, root):
        data = StudyData(root, "tn5000")
        assert labels_of(data.part("train")) == [0, 1] * 8
        assert names(data.part("val")) == [f"{n:06}.jpg" for n in range(17, 25)]

    def test_each_image_counts_as_a_patient_and_the_report_says_so(self, root):
        data = StudyData(root, "tn5000")
        assert patients_of(data.part("val"))[:2] == ["000017", "000018"]
        assert len(data.part("val-select")) == len(data.part("val-report")) == 4
        assert "the data name no patients" in data.report("val")

    def test_an_annotation_that_is_no_xml_is_reported(self, root, tmp_path):
        root = tn5000_splits(tmp_path)
        (root / "Annotations" / "000002.xml").write_text("<annotation")
        assert "000002.xml: no readable XML" in StudyData(root, "tn5000").report("train")
        assert len(StudyData(root, "tn5000").part("train")) == 15


class TestTable:
    @pytest.fixture
    def rows(self, tmp_path):
        return table(tmp_path)

    def test_a_table_without_splits_has_folds(self, tmp_path, rows):
        data = StudyData(tmp_path, "table")
        held = [
            set(patients_of(StudyData(tmp_path, "table", fold=n).part("val"))) for n in range(1, 6)
        ]
        assert sum(map(len, held)) == len(set().union(*held)) == 12
        assert "fold 1 of 5" in data.report("val")

    def test_the_order_of_the_rows_does_not_matter(self, tmp_path, rows):
        first = names(StudyData(tmp_path, "table").part("val"))
        save_table(tmp_path / "labels.csv", rows[::-1])
        assert names(StudyData(tmp_path, "table").part("val")) == first

    def test_splits_of_the_table_are_used(self, tmp_path, rows):
        for row in rows:
            row["split"] = "val" if row["patient"] < "p04" else "train"
        save_table(tmp_path / "own.csv", rows)
        data = StudyData(tmp_path / "own.csv", "table")
        assert set(patients_of(data.part("val"))) == {"p00", "p01", "p02", "p03"}
        with pytest.raises(ValueError, match="fold=2 is for data without splits"):
            StudyData(tmp_path / "own.csv", "table", fold=2).part("val")

    def test_numbers_are_labels(self, tmp_path, rows):
        before = labels_of(StudyData(tmp_path, "table").part("val"))
        for row in rows:
            row["label"] = int(row["label"] == "malignant")
        save_table(tmp_path / "labels.csv", rows)
        assert labels_of(StudyData(tmp_path, "table").part("val")) == before

    def test_labels_of_both_classes_can_be_chosen(self, tmp_path, rows):
        for number, row in enumerate(rows):
            row["label"] = ("Adenoma", "PTC", "FTC")[number // 2 % 3]
        save_table(tmp_path / "labels.csv", rows)
        data = StudyData(tmp_path, "table", benign=("adenoma",), malignant=("ptc", "ftc"))
        with pytest.raises(ValueError, match=r"4 patients with a benign image \(p00, p03"):
            data.part("train")
        data = StudyData(tmp_path, "table", benign=("ptc", "adenoma"), malignant=("ftc",))
        with pytest.raises(ValueError, match=r"4 patients with a malignant image"):
            data.part("train")


def test_the_splits_of_bus_bra_are_its_own(tmp_path):
    data = StudyData(bus_bra(tmp_path))
    assert len(data.part("train")) == 12
    assert len(data.part("val")) == 8


ERRORS = {
    "missing folder": (
        "ddti",
        lambda root: None,
        {"root": "nowhere"},
        r"nowhere' must be a folder, and does not exist\. DDTI is linked",
    ),
    "no annotation file": (
        "ddti",
        lambda root: [file.unlink() for file in root.glob("*.xml")],
        {},
        r"has no \*\.xml, nor has a folder in it; it has 10_1.jpg, 11_1.jpg, 12_1.jpg and 27 more",
    ),
    "no images": (
        "ddti",
        lambda root: [file.unlink() for file in root.glob("*.jpg")],
        {},
        "has XML files and no images",
    ),
    "a category that no image has": (
        "ddti",
        lambda root: None,
        {"benign": ("2",), "malignant": ("6",)},
        r"no image of the data has the label 6, expected for malignant; there are 2 \(\d images\)",
    ),
    "too few patients of a class": (
        "ddti",
        lambda root: [(root / f"{case}.xml").unlink() for case in (4, 10, 5, 11)],
        {},
        r"has 4 patients with a malignant image \(16, 17, 22, 23\); 5 folds need at least 5",
    ),
    "no test": ("ddti", lambda root: None, {"split": "test"}, "has no splits, so there is no test"),
    "other folder": (
        "tn5000",
        lambda root: (root / "JPEGImages").rename(root / "images"),
        {},
        r"has no JPEGImages, .* it has Annotations, ImageSets, images\. TN5000 is on figshare",
    ),
    "no list": (
        "tn5000",
        lambda root: None,
        {"split": "test"},
        r"1 of 1 lists of images are missing: .*test\.txt",
    ),
    "missing annotation": (
        "tn5000",
        lambda root: (root / "Annotations" / "000003.xml").unlink(),
        {},
        r"1 of 16 annotations are missing: .*000003\.xml",
    ),
    "no column of masks": (
        "table",
        {"mask": None},
        {},
        "labels.csv has no column 'mask' .* it has",
    ),
    "no column of patients": ("table", {"patient": None}, {}, "has no column 'patient'"),
    "an image without a mask": (
        "table",
        {"mask": {1: ""}},
        {},
        r"labels\.csv has nothing in column 'mask', line 3",
    ),
    "a missing mask": (
        "table",
        {"mask": {1: "masks/x.png"}},
        {},
        r"1 of 24 masks in .*labels\.csv are missing: .*masks/x\.png",
    ),
    "unknown label": (
        "table",
        {"label": {2: "malignnant"}},
        {},
        r"01-0\.png has the label 'malignnant'; expected benign or 0 or malignant or 1\. There are "
        r"benign \(12 images\), malignant \(11 images\), malignnant \(1 image\)\. Name the labels",
    ),
    "one class": (
        "table",
        {"label": "benign"},
        {},
        "no image of the data has the label malignant or 1",
    ),
    "one class in a split": (
        "table",
        {"split": {**dict.fromkeys(range(24), "train"), 0: "val", 1: "val"}},
        {},
        r"no image of val has the label malignant or 1, .*; there are benign \(2 images\)",
    ),
    "a patient in two splits": (
        "table",
        {"split": {**dict.fromkeys(range(24), "train"), 0: "val", 2: "val", 3: "val"}},
        {},
        r"labels\.csv: patients in more than one split \(1\): p00 \(train, val\)\. All images",
    ),
    "another split": (
        "table",
        {"split": "Train"},
        {},
        r"labels\.csv, column 'split': split='val' must be one of 'Train'",
    ),
}


@pytest.mark.parametrize(("name", "change", "given", "said"), ERRORS.values(), ids=ERRORS)
def test_what_is_wrong_with_the_data_is_said(tmp_path, name, change, given, said):
    if name == "table":
        rows = table(tmp_path)
        for column, values in change.items():
            for number, row in enumerate(rows):
                if values is None:
                    del row[column]
                else:
                    new = (
                        values.get(number, row.get(column)) if isinstance(values, dict) else values
                    )
                    row[column] = new
        save_table(tmp_path / "labels.csv", rows)
    else:
        change({"ddti": ddti, "tn5000": tn5000_splits}[name](tmp_path))
    given = dict(given)
    root, split = tmp_path / given.pop("root", ""), given.pop("split", "val")
    if name == "tn5000" and split == "val":
        split = "train"
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        StudyData(root, name, **given).part(split)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("file", "spoil", "said"),
    [
        ("masks", lambda path: Image.new("1", (240, 200)).save(path), "has an empty mask"),
        ("masks", lambda path: Image.new("1", (9, 200)).save(path), "9 x 200, which does not lie"),
        ("images", lambda path: path.write_bytes(b"no image"), "is not an image"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, capsys, file, spoil, said, workers):
    table(tmp_path)
    part = StudyData(tmp_path, "table", crop=0.1).part("val")
    path = tmp_path / file / part.samples[0].image.name
    spoil(path)
    with (
        pytest.raises(SystemExit, match=rf"^study: [^\n]*{path.name}[^\n]*{said}[^\n]*$"),
        errors_of("study"),
    ):
        next(iter(images.batches(part, 2, num_workers=workers)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "thyroid"}, "dataset='thyroid' must be one of 'busbra', 'ddti', 'tn5000', 'tab"),
        ({"benign": ("2",)}, r"benign=\('2',\) and malignant=\(\) must be given together"),
        ({"benign": ("2",), "malignant": ("2", "5")}, "2 is in benign and in malignant"),
        ({"crop": -1}, "crop=-1 must be a margin of 0 or more"),
        ({"fold": 6}, "fold=6 must be from 1 to 5"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        StudyData(tmp_path, **given)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match=re.escape("split='all' must be one of 'train', 'val'")):
        StudyData(tmp_path).part("all")
    assert "test" in SPLITS


def test_inputs_are_normalized(tmp_path):
    table(tmp_path)
    image, label, mask = StudyData(tmp_path, "table").part("val")[0]
    assert image.shape == (3, 32, 32)
    assert -1 <= image.min() < image.max() <= 1
    assert torch.equal(image[0], image[1])
    assert (label, mask.shape) == (0, (1, 32, 32))
