import os
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from captum_clustered.data import ImageList, _listing, make_preprocessing

NAMED = ["Benign", "malignant"]

# Where it matters, a test expects this warning.
pytestmark = pytest.mark.filterwarnings("ignore:The labels in")


def items(data, classes=None, n_classes=2, **options):
    transform = make_preprocessing(size=8)
    return ImageList(data, transform=transform, classes=classes, n_classes=n_classes, **options)


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


@pytest.fixture
def tree(tmp_path):
    for name in ("malignant/b.png", "benign/2/c.jpg", "benign/a.tif", ".hidden/x.png"):
        picture(tmp_path / "data" / name)
    (tmp_path / "data" / "benign" / "notes.txt").write_text("none")
    (tmp_path / "data" / "benign" / ".x.png").touch()
    return tmp_path / "data"


def test_a_folder_with_its_folders_in_the_order_of_names(tree):
    found = items(tree)
    assert list(found.names) == ["benign/a.tif", "benign/2/c.jpg", "malignant/b.png"]
    assert found.labels == [0, 0, 1]
    assert found.classes == ["benign", "malignant"]


def test_the_order_of_names_is_said_to_be_a_guess(tree):
    message = "numbered in the order of their names: 0 benign, 1 malignant. This is a guess"
    with pytest.warns(UserWarning, match=message):
        items(tree)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert items(tree, ["malignant", "benign"]).labels == [1, 1, 0]


def test_a_network_with_a_single_logit_has_two_classes(tmp_path):
    (tmp_path / "list.csv").write_text("file,label\na.png,1\nb.png,0\n")
    assert items(tmp_path / "list.csv", n_classes=1).labels == [1, 0]


def test_a_folder_beside_those_of_the_classes_has_no_labels_and_is_named(tree):
    picture(tree / "normal" / "d.png")
    with pytest.warns(UserWarning, match="folders that are no classes, normal; their images have"):
        found = items(tree, ["malignant", "Benign"])
    assert found.labels == [1, 1, 0, None]


def test_folders_that_are_no_classes_are_no_labels(tree):
    found = items(tree, n_classes=5)
    assert found.labels == [None] * 3
    assert found.classes == []


def test_a_table(tmp_path):
    picture(tmp_path / "pictures" / "a.png")
    (tmp_path / "list.csv").write_text(
        "\ufefffile, label, note\na.png, malignant, x\n,,\nb.png, benign\nc.png,\n"
    )
    found = items(tmp_path / "list.csv", root=tmp_path / "pictures")
    assert list(found.names) == ["a.png", "b.png", "c.png"]
    assert found.labels == [1, 0, None]
    inputs, label = found[0]
    assert inputs.shape == (3, 8, 8)
    assert label == 1
    with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.png"):
        found[1]


@pytest.mark.parametrize(
    ("classes", "labels", "expected", "names"),
    [
        (None, "1 0 1", [1, 0, 1], []),
        (NAMED, "malignant benign BENIGN", [1, 0, 0], NAMED),
        (NAMED, "1 0 0", [1, 0, 0], NAMED),
        (None, "m b b", [1, 0, 0], ["b", "m"]),
    ],
)
def test_labels_are_numbers_or_names(tmp_path, classes, labels, expected, names):
    rows = [f"{index}.png,{label}" for index, label in enumerate(labels.split())]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]))
    found = items(tmp_path / "list.csv", classes)
    assert found.labels == expected
    assert found.classes == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan,label\na.png,1", "has no column 'image' in its first line; it has 'scan', 'label'"),
        ("file\n", "has no rows"),
        ("file,label\n,1\n", "has no image files"),
        ("file\na.png\nb.png\na.png", r"has a\.png in two lines"),
        ("file\na.png\n./a.png", r"has \./a\.png in two lines"),
        ("file,label\na.png,2", "label 2 is out of range"),
        ("file,label\na.png,x\nb.png,y\nc.png,z", "labels of 3 kinds and the model has 2 classes"),
    ],
)
def test_mistakes_in_a_table(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        items(tmp_path / "list.csv")


def test_mistakes_in_paths(tmp_path, tree):
    with pytest.raises(FileNotFoundError, match=r"There is no folder or table .*absent"):
        items(tmp_path / "absent")
    with pytest.raises(ValueError, match="root is for a table"):
        items(tree, root=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no image files"):
        items(tmp_path / "empty")


def test_headers_are_read_at_the_same_time(tree, monkeypatch):
    # Each waits for another one.
    barrier = threading.Barrier(2)

    def frames(path, name):
        barrier.wait(timeout=20)
        return [f"{name}#1", f"{name}#2"]

    monkeypatch.setattr(_listing, "frame_names", frames)
    (tree / "benign" / "2" / "c.jpg").unlink()
    names = [f"{name}#{frame}" for name in ("benign/a.tif", "malignant/b.png") for frame in (1, 2)]
    assert ImageList(tree).names == names
    (tree / "list.csv").write_text("image,label\nbenign/a.tif,0\nmalignant/b.png,1\n")
    assert ImageList(tree / "list.csv").names == names


def test_a_file_and_a_frame_of_it_are_not_both_items(tmp_path):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from dicom_files import save_dicom

    save_dicom(tmp_path / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    (tmp_path / "list.csv").write_text("file\nclip.dcm\nclip.dcm#2")
    with pytest.raises(ValueError, match=r"has clip\.dcm#2 in two lines"):
        items(tmp_path / "list.csv")


def test_frames_are_items_with_the_label_of_their_file(tmp_path):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from dicom_files import save_dicom

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    save_dicom(tmp_path / "a" / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    save_dicom(tmp_path / "b" / "1.2.3", [[7, 7]])
    found = items(tmp_path)
    assert list(found.names) == ["a/clip.dcm#1", "a/clip.dcm#2", "b/1.2.3"]
    assert found.labels == [0, 0, 1]
    assert np.asarray(found.image(1))[0, :, 0].tolist() == [2, 3]


def test_items_travel_to_other_processes(tree):
    found = items(tree)
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert torch.equal(copy[2][0], found[2][0])


def test_names_that_are_no_text_keep_files_apart(tmp_path):
    for name, value in ((b"\xfe.png", 0), (b"\xff.png", 255)):
        path = os.fsencode(tmp_path) + b"/" + name
        try:
            Image.new("L", (4, 4), value).save(path, "png")
        except OSError:
            pytest.skip("the file system takes names of text alone")
    found = items(tmp_path)
    assert list(found.names) == [r"\xfe.png", r"\xff.png"]
    assert found.names[:1] == [r"\xfe.png"]
    assert [found.image(index).getpixel((0, 0))[0] for index in (0, 1)] == [0, 255]


def test_folders_that_are_links_are_followed_but_not_in_circles(tree, tmp_path):
    picture(tmp_path / "elsewhere" / "d.png")
    (tree / "malignant" / "linked").symlink_to(tmp_path / "elsewhere")
    (tree / "malignant" / "back").symlink_to(tree)
    assert list(items(tree).names)[2:] == ["malignant/b.png", "malignant/linked/d.png"]


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tree, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("malignant"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match="malignant cannot be listed: Permission denied"):
        items(tree)


class TestLabels:
    """Of a table, for the images of a folder."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name in "abc":
            picture(tmp_path / "images" / f"{name}.png")
        return tmp_path / "images"

    def read(self, folder, text, **options):
        (folder.parent / "labels.csv").write_text(text)
        return ImageList(folder, labels=folder.parent / "labels.csv", **options)

    @pytest.mark.parametrize("column", ["file", "image"])
    def test_are_found_by_the_name_of_the_file(self, folder, column):
        text = f"\ufeff{column}, label\na.png,1\nelsewhere/b.png, 0\n,\nz.png,1\n"
        images = self.read(folder, text, n_classes=2)
        assert images.labels == [1, 0, None]
        assert images[0][1] == 1
        with pytest.raises(ValueError, match=r"labels\.csv has no line for c\.png"):
            images[2]

    def test_names_of_classes(self, folder):
        classes = ["cat", "Dog", "crane", "crane"]
        text = "file,label\na.png,dog\nb.png,cat\n"
        assert self.read(folder, text, classes=classes).labels == [1, 0, None]
        assert self.read(folder, text).labels == [1, 0, None]
        with pytest.raises(ValueError, match=r"line 2: .* no class 'dogs'. Did you mean 'dog'"):
            self.read(folder, "file,label\na.png,dogs\n", classes=classes)
        with pytest.raises(ValueError, match="name of classes 2 and 3"):
            self.read(folder, "file,label\na.png,crane\n", classes=classes)
        with pytest.raises(ValueError, match="1 kinds and the model has 3 classes without names"):
            self.read(folder, "file,label\na.png,dog\n", n_classes=3)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,label\na.png,1\n", "has no column 'image'"),
            ("", "has no column 'image', 'label' in its first line; it has none"),
            ("file,label\na.png,3\n", "line 2: label 3 is out of range; the classes are 0 to 2"),
            ("file,label\na.png,-1\n", "label -1 is out of range"),
            ("file,label\na.png\n", "there is no class ''"),
            ("file,label\na.png,1\na.png,2\n", "line 3: a.png has another label further up"),
        ],
    )
    def test_mistakes(self, folder, text, message):
        with pytest.raises(ValueError, match=message):
            self.read(folder, text, n_classes=3)

    def test_an_underscore_makes_no_number(self, folder):
        text = "file,label\na.png,1_0\nb.png,0_1\n"
        assert self.read(folder, text, classes=["0_1", "1_0", *"23456789a"]).labels == [1, 0, None]

    def test_frames_have_that_of_their_file_or_their_own(self, tmp_path):
        pytest.importorskip("pydicom", reason="needs the extra dicom")
        from dicom_files import save_dicom

        (tmp_path / "scans").mkdir()
        save_dicom(tmp_path / "scans" / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
        text = "file,label\nclip.dcm,1\nclip.dcm#2,0\n"
        assert self.read(tmp_path / "scans", text, n_classes=2).labels == [1, 0]

    def test_a_table_has_its_own(self, folder):
        (folder / "list.csv").write_text("file,label\na.png,1\n")
        with pytest.raises(ValueError, match="labels is for a folder"):
            self.read(folder, "file,label\na.png,1\n").__class__(
                folder / "list.csv", labels=folder.parent / "labels.csv"
            )


class TestMasks:
    @pytest.fixture
    def folder(self, tmp_path):
        values = np.zeros((8, 16), np.uint8)
        values[2:6, 4:12] = 9
        for name in "ab":
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "masks").mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / "images" / f"{name}.png")
            Image.fromarray(values).save(tmp_path / "masks" / f"{name}.tif")
        return tmp_path / "images"

    def test_have_the_names_of_their_images(self, folder):
        image, label, mask = ImageList(folder, masks=folder.parent / "masks")[1]
        assert (image.size, label, mask.shape) == ((16, 8), None, (1, 8, 16))
        np.testing.assert_array_equal(mask[0], np.asarray(image)[..., 0] == 9)

    def test_are_resized_as_their_images(self, folder):
        _, _, mask = items(folder, masks=folder.parent / "masks")[0]
        expected = torch.zeros(1, 8, 8, dtype=torch.bool)
        expected[0, 2:6, 2:6] = True
        assert torch.equal(mask, expected)

    def test_missing_and_ambiguous(self, folder):
        masks = folder.parent / "masks"
        (masks / "a.tif").rename(masks / "c.tif")
        picture(masks / "b.png")
        images = ImageList(folder, masks=masks)
        with pytest.raises(ValueError, match="must have one mask with the name a; it has none"):
            images[0]
        with pytest.raises(ValueError, match=r"with the name b; it has b\.png, b\.tif"):
            images[1]

    @pytest.mark.parametrize("beside", [True, False])
    def test_several_masks_of_an_image_are_united(self, tmp_path, beside):
        # BUSI: "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png".
        where = tmp_path / ("data" if beside else "masks")
        for name in ("benign", "normal"):
            picture(tmp_path / "data" / name / f"{name} (1).png", 50)
            for number, column in (("", 0), ("_1", 3)):
                values = np.zeros((4, 4), np.uint8)
                values[:, column] = 255 * (name == "benign")
                path = where / name / f"{name} (1)_mask{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(path)
        images = ImageList(tmp_path / "data", masks=where, classes=["benign", "normal"])
        assert images.names == ["benign/benign (1).png", "normal/normal (1).png"]
        assert [label for _, label, _ in images] == [0, 1]
        assert images[0][2].sum(1).tolist() == [[4, 0, 0, 4]]
        assert not images[1][2].any()

    def test_an_image_is_not_its_own_mask(self, tmp_path):
        picture(tmp_path / "a.png", 50)
        with pytest.raises(ValueError, match="must have one mask with the name a; it has none"):
            ImageList(tmp_path, masks=tmp_path)[0]

    def test_of_a_table_are_a_column(self, folder):
        table = folder.parent / "list.csv"
        table.write_text("image,outline\nimages/a.png,masks/a.tif\nimages/b.png,\n")
        images = ImageList(table, masks="outline")
        assert images[0][2].sum() == 32
        with pytest.raises(ValueError, match=r"list\.csv names no mask for images/b\.png"):
            images[1]

    def test_of_frames_and_of_dotted_identifiers(self, tmp_path):
        pytest.importorskip("pydicom", reason="needs the extra dicom")
        from dicom_files import save_dicom

        (tmp_path / "a").mkdir()
        save_dicom(tmp_path / "a" / "clip.dcm", [np.ones((4, 4))] * 2, frames=2)
        save_dicom(tmp_path / "a" / "1.2.3", np.ones((4, 4)))
        for value, name in enumerate(("1.2.3.png", "clip-frame1.png", "clip-frame2.png")):
            picture(tmp_path / "masks" / name, value)
        images = ImageList(tmp_path / "a", masks=tmp_path / "masks")
        assert [int(images[i][2].any()) for i in range(3)] == [0, 1, 1]

    def test_mistakes(self, folder, tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no folder nowhere"):
            ImageList(folder, masks="nowhere")
        with pytest.raises(ValueError, match=r"a\.png is not a folder"):
            ImageList(folder, masks=folder / "a.png")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="empty has no image files"):
            ImageList(folder, masks=tmp_path / "empty")
        with pytest.raises(ValueError, match="masks need transform=make_preprocessing"):
            ImageList(folder, masks=folder, transform=lambda image: image)


def test_a_range_of_values(tmp_path):
    Image.fromarray(np.full((4, 4), 819, np.uint16)).save(tmp_path / "a.png")
    transform = make_preprocessing(size=4, mean=(0.0,), std=(1.0,), value_range=(0, 4095))
    inputs, _ = ImageList(tmp_path, transform=transform)[0]
    torch.testing.assert_close(inputs, torch.full((3, 4, 4), 0.2))
    assert transform.description.startswith("gray values 0 to 4095 shown, resized to 4 x 4")


def test_a_folder_alone(tree):
    picture(tree / "top.png")
    assert list(ImageList(tree, recursive=False).names) == ["top.png"]


def test_without_a_transform_items_are_images(tree):
    image, label = ImageList(tree)[2]
    assert (image.mode, image.size, label) == ("RGB", (4, 4), 1)


def test_a_transform_that_fails_is_a_sentence(tree):
    def fail(image):
        raise KeyError("size")

    with pytest.raises(ValueError, match=r"a.tif cannot be prepared .*: KeyError: 'size'"):
        ImageList(tree, transform=fail)[0]
