import pytest
import torch
from small_files import bus_bra_table

from captum_clustered.data import make_preprocessing
from captum_clustered.data.registry import DATASETS, read_for_network


@pytest.fixture
def item(tmp_path):
    """Reads the first item of a data set as the input of a network with these classes."""
    bus_bra_table(tmp_path)

    def read(classes, n_classes=2):
        data = read_for_network(
            "busbra", tmp_path, "val", make_preprocessing(size=20), classes, n_classes
        )
        return data[0]

    return read


def test_masks_move_with_their_images(item):
    image, _, mask = item(("benign", "malignant"))
    assert (image.shape, mask.shape, mask.dtype) == ((3, 20, 20), (1, 20, 20), torch.bool)
    # 3 of 10 rows and 5 of 12 columns, on 20 x 20 pixels.
    assert mask[0].any(1).sum() == 6
    assert mask[0].any(0).sum() == pytest.approx(20 * 5 / 12, abs=1)


def test_without_names_of_the_networks_classes_labels_are_a_guess(item):
    with pytest.warns(UserWarning, match=r"in busbra .*: 0 benign, 1 malignant. This is a guess"):
        assert item(None)[1] == 0


@pytest.mark.parametrize(
    ("classes", "label"), [(("Benign", "Malignant"), 0), (("malignant", "benign"), 1)]
)
def test_labels_are_the_numbers_of_the_networks_classes(item, classes, label):
    assert item(classes)[1] == label


def test_a_network_without_such_a_class_is_an_error(item):
    with pytest.raises(ValueError, match=r"busbra: there is no class 'benign'"):
        item(("cat", "dog"))


def test_every_data_set_takes_a_folder_and_a_split(tmp_path):
    for read in DATASETS.values():
        with pytest.raises((FileNotFoundError, ValueError), match=r"root=|DDTI has no|no table"):
            read(tmp_path, "val")
