import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn

from captum_clustered._errors import UserError
from captum_clustered.data.image_list import Names, list_items
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.models import Model

MODEL = Model("net", nn.Identity(), None, None, None)
NAMED = Model("net", nn.Identity(), None, ["Benign", "malignant"], None)


def items(data, model=MODEL, n_classes=2, root=None):
    return list_items(data, root, model, n_classes, make_preprocessing(None, size=8))


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
    assert found.labels.to_pylist() == [0, 0, 1]
    assert found.classes == ["benign", "malignant"]


def test_folders_that_are_no_classes_are_no_labels(tree):
    found = items(tree, n_classes=5)
    assert found.labels.to_pylist() == [None] * 3
    assert found.classes == []


def test_a_table(tmp_path):
    picture(tmp_path / "pictures" / "a.png")
    (tmp_path / "list.csv").write_text(
        "\ufefffile, label, note\na.png, malignant, x\n,,\nb.png, benign\nc.png,\n"
    )
    found = items(tmp_path / "list.csv", root=tmp_path / "pictures")
    assert list(found.names) == ["a.png", "b.png", "c.png"]
    assert found.labels.to_pylist() == [1, 0, None]
    inputs, label = found[0]
    assert inputs.shape == (3, 8, 8)
    assert label == 1
    with pytest.raises(ValueError, match=r"There is no file .*b\.png"):
        found[1]


@pytest.mark.parametrize(
    ("model", "labels", "expected", "names"),
    [
        (MODEL, "1 0 1", [1, 0, 1], []),
        (NAMED, "malignant benign BENIGN", [1, 0, 0], []),
        (NAMED, "1 0 0", [1, 0, 0], []),
        (MODEL, "m b b", [1, 0, 0], ["b", "m"]),
    ],
)
def test_labels_are_numbers_or_names(tmp_path, model, labels, expected, names):
    rows = [f"{index}.png,{label}" for index, label in enumerate(labels.split())]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]))
    found = items(tmp_path / "list.csv", model)
    assert found.labels.to_pylist() == expected
    assert found.classes == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\na.png,1", "must have a column file"),
        ("file\n", "has no image files"),
        ("file\na.png\nb.png\na.png", r"has a\.png in two lines"),
        ("file\na.png\n./a.png", r"has \./a\.png in two lines"),
        ("file,label\na.png,2", "label 2 is out of range"),
        ("file,label\na.png,x\nb.png,y\nc.png,z", "labels of 3 kinds and net has 2 classes"),
    ],
)
def test_mistakes_in_a_table(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        items(tmp_path / "list.csv")


def test_mistakes_in_paths(tmp_path, tree):
    with pytest.raises(UserError, match="There is no --data"):
        items(tmp_path / "absent")
    with pytest.raises(UserError, match="--root is for a table"):
        items(tree, root=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no image files"):
        items(tmp_path / "empty")


def test_a_file_and_a_frame_of_it_are_not_both_items(tmp_path):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from test_cli_dicom import write

    write(tmp_path / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    (tmp_path / "list.csv").write_text("file\nclip.dcm\nclip.dcm#2")
    with pytest.raises(UserError, match=r"has clip\.dcm#2 in two lines"):
        items(tmp_path / "list.csv")


def test_frames_are_items_with_the_label_of_their_file(tmp_path):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from test_cli_dicom import write

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write(tmp_path / "a" / "clip.dcm", [[[0, 1]], [[2, 3]]], frames=2)
    write(tmp_path / "b" / "1.2.3", [[7, 7]])
    found = items(tmp_path)
    assert list(found.names) == ["a/clip.dcm#1", "a/clip.dcm#2", "b/1.2.3"]
    assert found.labels.to_pylist() == [0, 0, 1]
    assert np.asarray(found.image(1))[0, :, 0].tolist() == [2, 3]


def test_items_travel_to_other_processes(tree):
    found = items(tree)
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert torch.equal(copy[2][0], found[2][0])


def test_names_are_a_sequence():
    names = Names(["a", "b", "c"])
    assert len(names) == 3
    assert names[-1] == "c"
    assert names[:2] == ["a", "b"]
    assert list(names) == ["a", "b", "c"]
    assert isinstance(names._names, pa.Array)


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
    with pytest.raises(UserError, match="malignant in --data cannot be listed: Permission denied"):
        items(tree)
