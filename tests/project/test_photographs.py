"""The photographs of the notebooks."""

import pytest
import torch

pytest.importorskip("skimage", reason="needs the extra notebooks")
pytest.importorskip("typer", reason="needs the extra notebooks")

from photographs import LABELS, crops, normalized, photographs, square


def test_each_photograph_has_a_label_and_is_a_picture():
    found = photographs()
    assert list(found) == list(LABELS)
    for photo in found.values():
        assert photo.shape[0] == 3
        assert 0 <= photo.min() < photo.max() <= 1


def test_a_square_is_the_middle():
    photo = torch.zeros(3, 224, 448)
    photo[:, :, 112:336] = 1
    assert (square(photo) == 1).all()
    assert square(photo).shape == (3, 224, 224)


def test_crops_are_those_of_their_seed_and_leave_the_global_generator_alone():
    photo = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first = crops(photo, 4, seed=1)
    assert (torch.get_rng_state() == state).all()
    assert first.shape == (4, 3, 224, 224)
    assert (first == crops(photo, 4, seed=1)).all()
    assert not (first == crops(photo, 4, seed=2)).all()


def test_every_other_crop_is_mirrored():
    ramp = torch.linspace(0, 1, 60).expand(3, 40, 60)
    rising = [bool(crop[0, 0, -1] > crop[0, 0, 0]) for crop in crops(ramp, 4, seed=0)]
    assert rising == [True, False, True, False]


def test_normalized_as_the_network_was_trained():
    values = normalized(torch.tensor([0, 127 / 255, 1]))
    assert values.tolist() == pytest.approx([-127 / 128, 0, 1])
