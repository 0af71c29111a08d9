import numpy as np
import pytest
import torch
from PIL import Image

from captum_clustered.data import ImageBatches, ImageList, Preprocessing, make_preprocessing


@pytest.fixture
def folder(tmp_path):
    """Images of one gray each, 0, 51, 102 ..., and one file that is no image."""
    (tmp_path / "images").mkdir()
    for n, name in enumerate("abcde"):
        Image.new("L", (6, 4), 51 * n).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "images" / "b.png").write_text("no image")
    return tmp_path / "images"


def images(folder, **options):
    return ImageList(
        folder, transform=make_preprocessing(size=4, mean=(0.0,), std=(1.0,)), **options
    )


def test_what_cannot_be_read_is_left_out(folder):
    seen = []
    batches = ImageBatches(images(folder), 2, on_image=lambda: seen.append(1))
    for _ in range(2):
        found = list(batches)
        assert [len(inputs) for inputs, _ in found] == [2, 2]
        grays = torch.cat([inputs[:, 0, 0, 0] for inputs, _ in found]) * 5
        torch.testing.assert_close(grays, torch.tensor([0.0, 2, 3, 4]))
        assert [labels for _, labels in found] == [None, None]
        assert batches.names == ["a.png", "c.png", "d.png", "e.png"]
        ((name, why),) = batches.failures
        assert name == "b.png"
        assert why.endswith("b.png is not an image or has an unknown format.")
    assert len(seen) == 10


def test_labels_and_masks(folder):
    (folder.parent / "labels.csv").write_text("image,label\na.png,0\nc.png,2\nd.png,1\n")
    (folder.parent / "masks").mkdir()
    inside = np.zeros((4, 6), np.uint8)
    inside[:, 3:] = 1
    for name in "ace":
        Image.fromarray(inside).save(folder.parent / "masks" / f"{name}.png")
    listed = images(
        folder, n_classes=3, labels=folder.parent / "labels.csv", masks=folder.parent / "masks"
    )
    batches = ImageBatches(listed, 8)
    (batch,) = batches
    inputs, labels, masks = batch
    assert inputs.shape == (2, 3, 4, 4)
    assert labels.tolist() == [0, 2]
    assert masks.shape == (2, 1, 4, 4)
    assert torch.equal(masks.any(2).squeeze(1), torch.tensor([[False, False, True, True]] * 2))
    assert [name for name, _ in batches.failures] == ["b.png", "d.png", "e.png"]


def test_an_image_is_read_again_as_it_was(folder):
    """Of a, c, d, e: the second is c, and a crop leaves its middle third."""
    preset = Preprocessing(lambda image: torch.zeros(3, 4, 4), 4, (0.0,), (1.0,), (8,))
    batches = ImageBatches(ImageList(folder, transform=preset), 3)
    next(iter(batches))
    found = batches.original(1)
    assert found.picture.shape == (4, 6, 3)
    assert (found.picture == 102).all()
    assert found.seen == (0.25, pytest.approx(1 / 3), 0.75, pytest.approx(2 / 3))
    assert found.mask is None
    other = ImageBatches(ImageList(folder, transform=lambda image: torch.zeros(3, 4, 4)), 3)
    next(iter(other))
    assert other.original(1) is None


def test_images_count_once_their_batch_is_done(folder):
    """Of a, b (unreadable), c; d, e: what the caller has finished, not what was read."""
    counted = []
    seen = []
    for _ in ImageBatches(images(folder), 2, on_image=lambda: counted.append(1)):
        seen.append(len(counted))
    assert seen == [0, 3]
    assert len(counted) == 5


def test_no_readable_image_is_an_error_with_the_reasons(folder):
    for file in folder.iterdir():
        file.write_text("no image")
    with pytest.raises(ValueError, match=r"None of the images can be read: .*a.png is not an"):
        list(ImageBatches(images(folder), 2))


def test_the_original_of_an_image_in_the_batches(folder):
    batches = ImageBatches(images(folder), 2)
    list(batches)
    original = batches.original(1)
    # Of a, b (unreadable), c: 6 x 4 pixels of 102.
    assert original.picture.shape == (4, 6, 3)
    assert (original.picture == 102).all()
    assert original.mask is None
    (folder / "c.png").unlink()
    with pytest.raises(ValueError, match=r"c.png cannot be read again: There is no file"):
        batches.original(1)


def test_the_original_of_another_transform_is_not_known(folder):
    listed = ImageList(folder, transform=lambda image: torch.zeros(3, 4, 4))
    batches = ImageBatches(listed, 2)
    list(batches)
    assert batches.original(0) is None
