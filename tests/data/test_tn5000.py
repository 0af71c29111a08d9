import pytest
from small_files import tn5000, voc_annotation

from captum_clustered.data import TN5000, split_by_patient
from captum_clustered.data import tn5000 as module

BENIGN, MALIGNANT = ("0", 2, 3, 5, 4), ("1", 8, 1, 9, 8)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a release of these annotations and reads it."""

    def read(*annotations, n=None, split="train", **arguments):
        tn5000(tmp_path / "TN5000", annotations, split)
        monkeypatch.setitem(module.N_IMAGES, split, len(annotations) if n is None else n)
        return TN5000(tmp_path, split, **arguments)

    return read


def test_an_item(make):
    data = make(voc_annotation(BENIGN), voc_annotation(MALIGNANT))
    image, label, mask = data[0]
    assert (image.mode, image.size) == ("RGB", (12, 10))
    assert (data.classes[label], data.targets) == ("benign", [0, 1])
    assert mask.shape == (1, 10, 12)
    assert mask.sum() == 4 * 2
    assert mask[0, 3:5, 2:6].all()


def test_several_boxes_are_one_mask_and_malignant_if_one_of_them_is(make):
    data = make(voc_annotation(BENIGN, MALIGNANT))
    _, label, mask = data[0]
    assert label == 1
    assert mask.sum() == 4 * 2 + 2 * 8


def test_a_box_beyond_the_edge_ends_there(make):
    _, _, mask = make(voc_annotation(("0", 10, 8, 40, 40)))[0]
    assert mask.sum() == 2 * 2


@pytest.mark.parametrize("split", ["val", "test", "trainval"])
def test_splits_are_the_official_lists(make, split):
    assert len(make(voc_annotation(BENIGN), split=split)) == 1


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ("<annotation><object>", "no readable XML"),
        (voc_annotation(), "has no object"),
        (voc_annotation(("2", 1, 1, 2, 2)), r"names objects \['2'\]; expected '0' or '1'"),
        (voc_annotation(("0", 1, 1, "", 2)), "not of four numbers"),
        (voc_annotation(("0", 5, 1, 2, 2)), "which is empty"),
    ],
)
def test_an_image_with_a_bad_annotation_is_left_out_and_reported(make, annotation, said):
    with pytest.warns(UserWarning, match=f"problems has 1: 000001.xml: .*{said}"):
        data = make(annotation, voc_annotation(BENIGN))
    assert [sample.image.name for sample in data.samples] == ["000002.jpg"]


def test_another_number_of_images_is_reported(make):
    with pytest.warns(UserWarning, match=r"train.txt names 1 images, the release 3500"):
        make(voc_annotation(BENIGN), n=3500)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("JPEGImages/000001.jpg", "1 of 1 images"),
        ("Annotations/000001.xml", "1 of 1 annotations"),
        ("ImageSets/Main/train.txt", "1 of 1 lists of images"),
    ],
)
def test_missing_files_are_counted_and_named(make, tmp_path, path, what):
    make(voc_annotation(BENIGN))
    (tmp_path / "TN5000" / path).unlink()
    with pytest.raises(FileNotFoundError, match=f"{what} are missing: .*{path}.*figshare"):
        TN5000(tmp_path)


def test_an_unknown_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="split='all' must be one of 'train', 'val', 'test', 'tr"):
        TN5000(tmp_path, split="all")


def test_an_empty_folder_says_where_to_get_the_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"figshare.*Zhang et al\..*under the terms"):
        TN5000(tmp_path)


def test_it_cannot_be_split_by_patient(make):
    with pytest.raises(ValueError, match="does not know the patient"):
        split_by_patient(make(voc_annotation(BENIGN)))
