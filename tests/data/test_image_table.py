import numpy as np
import pytest
from PIL import Image
from small_files import save_image, save_mask, save_table

from captum_clustered.data import ImageTable

ALL = {"mask_column": "mask", "patient_column": "patient", "split_column": "fold"}


@pytest.fixture
def rows():
    return [
        {
            "image": f"images/{n}.png",
            "mask": f"masks/{n}.png",
            "label": "benign" if n < 2 else "malignant",
            "patient": f"p{n // 2}",
            "fold": "one" if n < 2 else "two",
        }
        for n in range(4)
    ]


@pytest.fixture
def root(tmp_path, rows):
    for row in rows:
        save_image(tmp_path / row["image"])
        save_mask(tmp_path / row["mask"])
    save_table(tmp_path / "labels.csv", rows)
    return tmp_path


def test_an_item(root):
    data = ImageTable(root, **ALL)
    image, label, mask = data[3]
    assert (image.mode, image.size) == ("RGB", (12, 10))
    assert (label, data.classes, data.class_to_idx["malignant"]) == (1, ["benign", "malignant"], 1)
    assert mask.sum() == 15
    assert data.patients == ["p0", "p0", "p1", "p1"]


def test_without_masks_an_item_is_a_pair(root):
    data = ImageTable(root)
    assert len(data[0]) == 2
    assert data.patients == [None] * 4


def test_a_split_is_the_rows_that_have_it(root):
    data = ImageTable(root, split="two", **ALL)
    assert [sample.image.name for sample in data.samples] == ["2.png", "3.png"]
    # As in the other split, where label 0 is.
    assert data.targets == [1, 1]


def test_splits_are_used_where_patients_are_not_known(root):
    assert len(ImageTable(root, split="one", split_column="fold")) == 2


def test_columns_and_table_have_the_names_given(root, rows):
    renamed = [{"file": row["image"], "diagnosis": row["label"]} for row in rows]
    save_table(root / "tables" / "study.csv", renamed)
    names = {"image_column": "file", "label_column": "diagnosis"}
    assert len(ImageTable(root, "tables/study.csv", **names)) == 4


def test_numbers_are_in_the_order_of_numbers(root, rows):
    save_table(root / "labels.csv", [{**row, "label": n * 5} for n, row in enumerate(rows)])
    assert ImageTable(root).classes == ["0", "5", "10", "15"]


def test_classes_are_in_the_order_given(root):
    data = ImageTable(root, classes=("normal", "malignant", "benign"))
    assert data.targets == [2, 2, 1, 1]


def test_a_label_that_is_not_in_classes_is_an_error(root):
    with pytest.raises(ValueError, match=r"labels \['malignant'\].* not in classes=\['benign'\]"):
        ImageTable(root, classes=["benign"])


def test_a_patient_in_two_splits_is_an_error(root, rows):
    rows[1]["fold"] = "two"
    save_table(root / "labels.csv", rows)
    with pytest.raises(ValueError, match=r"split \(1\): p0 \(one, two\)\. All"):
        ImageTable(root, split="one", **ALL)


def test_an_unknown_split_is_an_error(root):
    with pytest.raises(
        ValueError, match=r"labels.csv, column 'fold': split='three' must .* 'one', 'two'"
    ):
        ImageTable(root, split="three", **ALL)


def test_a_split_without_its_column_is_an_error(root):
    with pytest.raises(ValueError, match="split='one' needs split_column"):
        ImageTable(root, split="one")


def test_a_missing_column_is_an_error_that_names_those_there(root):
    with pytest.raises(ValueError, match=r"no column 'outline' in .*; it has 'image', 'mask'"):
        ImageTable(root, mask_column="outline")


def test_an_empty_value_is_an_error_that_names_the_row(root, rows):
    rows[2]["mask"] = ""
    save_table(root / "labels.csv", rows)
    with pytest.raises(ValueError, match="nothing in column 'mask', line 4"):
        ImageTable(root, **ALL)


@pytest.mark.parametrize(("folder", "what"), [("images", "images"), ("masks", "masks")])
def test_missing_files_are_counted_and_named(root, folder, what):
    for name in "0123":
        (root / folder / f"{name}.png").unlink()
    said = rf"4 of 4 {what} in .*: .*0.png, .*1.png, .*2.png and 1 more\."
    with pytest.raises(FileNotFoundError, match=said):
        ImageTable(root, **ALL)


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no table .*labels.csv"):
        ImageTable(tmp_path)


@pytest.mark.parametrize(("text", "said"), [("", "it has none"), ("image,label\n", "has no rows")])
def test_a_table_of_nothing_is_an_error(tmp_path, text, said):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        ImageTable(tmp_path)


class TestFilesAreReadAsEverywhere:
    """Through read_image and read_mask, whose tests have every kind of file."""

    def one(self, folder, image, mask=None):
        row = {"file": image, "label": "a"} | ({} if mask is None else {"mask": mask})
        save_table(folder / "labels.csv", [row])
        return ImageTable(folder, mask_column=None if mask is None else "mask")[0]

    def test_sixteen_bits_keep_their_grays(self, tmp_path):
        Image.fromarray(np.array([[0, 21845, 43690, 65535]], np.uint16)).save(tmp_path / "a.png")
        image, _ = self.one(tmp_path, "a.png")
        assert np.asarray(image)[0].tolist() == [[v] * 3 for v in (0, 85, 170, 255)]

    def test_image_and_mask_are_turned_alike(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        values = np.zeros((16, 32), np.uint8)
        values[8:, 16:] = 255
        Image.fromarray(values).save(tmp_path / "a.jpg", exif=exif, quality=100)
        Image.fromarray(values).save(tmp_path / "m.png", exif=exif)
        image, _, mask = self.one(tmp_path, "a.jpg", "m.png")
        assert image.size == (16, 32)
        np.testing.assert_array_equal(np.asarray(image)[..., 0] > 127, mask[0])
        # A mask that was drawn on the upright image has no orientation to apply.
        Image.fromarray(np.rot90(values, 3)).save(tmp_path / "m.png")
        np.testing.assert_array_equal(self.one(tmp_path, "a.jpg", "m.png")[2], mask)

    def test_masks_count_by_color(self, tmp_path):
        Image.new("L", (30, 40)).save(tmp_path / "a.png")
        indices = np.ones((40, 30), np.uint8)
        indices[10:30, 5:25] = 0
        indices[10:12, 5:25] = 2
        mask = Image.fromarray(indices, mode="P")
        # White, black, and a red that would be lost in gray of few values.
        mask.putpalette([255, 255, 255, 0, 0, 0, 40, 0, 0])
        mask.save(tmp_path / "m.png")
        assert self.one(tmp_path, "a.png", "m.png")[2].sum() == 400
        mask.convert("RGB").save(tmp_path / "m.png")
        assert self.one(tmp_path, "a.png", "m.png")[2].sum() == 400

    def test_a_frame_of_a_dicom_file(self, tmp_path):
        pytest.importorskip("pydicom", reason="needs the extra dicom")
        from dicom_files import save_dicom

        save_dicom(tmp_path / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
        image, _ = self.one(tmp_path, "clip.dcm#2")
        assert np.asarray(image)[0, :, 0].tolist() == [2, 3]
        with pytest.raises(FileNotFoundError, match=r"1 of 1 images .* missing: .*gone\.dcm#1"):
            self.one(tmp_path, "gone.dcm#1")
