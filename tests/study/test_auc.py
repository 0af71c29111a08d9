import math

import pytest
from study import auc

# Two images of a, one each of b, c, d.
PATIENTS = ["a", "a", "b", "c", "d"]
LABELS = [0, 0, 0, 1, 1]
SCORES = [0.1, 0.6, 0.2, 0.4, 0.9]


def test_by_image_by_hand():
    # Of 3 x 2 pairs only (0.6, 0.4) is the wrong way round.
    found = auc.by_image(LABELS, SCORES, PATIENTS)
    assert found.value == pytest.approx(5 / 6)
    assert found.n == 5


def test_by_patient_takes_the_mean_of_a_patients_images():
    # a has 0.35, below c's 0.4: nothing is the wrong way round.
    found = auc.by_patient(LABELS, SCORES, PATIENTS)
    assert (found.value, found.n) == (1, 4)


def test_patients_are_drawn_with_all_their_images():
    # Benign draws: a alone 1/2 x 1/2 ..., and malignant draws of c alone, d alone or both. With
    # a and c alone half of the pairs are right, which is the worst that can be drawn.
    found = auc.by_image(LABELS, SCORES, PATIENTS)
    assert found.low == pytest.approx(0.5)
    assert found.high == 1


def test_a_patient_with_a_malignant_image_is_malignant():
    found = auc.by_patient([0, 1, 0, 0], [0.2, 0.8, 0.1, 0.1], ["a", "a", "b", "c"])
    assert found.value == 1
    # One malignant patient cannot be drawn in different ways.
    assert math.isnan(found.low)


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="needs images of both classes"):
        auc.by_image([1, 1], [0.1, 0.2], ["a", "b"])


def test_it_is_written_as_one_reads_it():
    assert str(auc.AUC(0.91234, 0.85, 0.95, 40)) == "0.912 [0.850, 0.950] (n = 40)"
