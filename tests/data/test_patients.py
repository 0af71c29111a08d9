import pytest
from small_files import save_image, save_table
from torch.utils.data import TensorDataset

from captum_clustered.data import ImageTable, split_by_patient


@pytest.fixture
def make(tmp_path):
    """Makes a data set of these (patient, label)."""

    def read(pairs):
        save_image(tmp_path / "image.png")
        rows = [{"image": "image.png", "label": label, "who": who} for who, label in pairs]
        save_table(tmp_path / "labels.csv", rows)
        return ImageTable(tmp_path, patient_column="who")

    return read


PAIRS = [(f"p{n % 20}", int(n % 20 < 8)) for n in range(50)]


def patients(part):
    return {part.dataset.patients[index] for index in part.indices}


def test_no_patient_is_in_two_parts_and_no_image_is_lost(make):
    parts = split_by_patient(make(PAIRS), (0.5, 0.25, 0.25))
    assert [len(patients(part)) for part in parts] == [10, 5, 5]
    assert len(set.union(*map(patients, parts))) == 20
    assert sorted(index for part in parts for index in part.indices) == list(range(50))


def test_each_part_has_the_classes_of_the_whole(make):
    data = make(PAIRS)
    for part in split_by_patient(data, (0.5, 0.25, 0.25), seed=3):
        labels = {data.patients[i]: data.targets[i] for i in part.indices}
        assert sum(labels.values()) / len(labels) == pytest.approx(8 / 20)


def test_the_seed_decides_and_the_order_does_not(make):
    first = [patients(part) for part in split_by_patient(make(PAIRS), seed=0)]
    assert [patients(part) for part in split_by_patient(make(PAIRS[::-1]), seed=0)] == first
    assert [patients(part) for part in split_by_patient(make(PAIRS), seed=1)] != first


def test_the_parts_of_a_seed_stay_the_same(make):
    part, _ = split_by_patient(make([(f"p{n}", n % 2) for n in range(8)]), seed=0)
    assert sorted(patients(part)) == ["p1", "p4", "p5", "p6"]


def test_a_patient_of_both_classes_counts_as_malignant(make):
    pairs = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("d", 0)]
    for seed in range(5):
        for part in split_by_patient(make(pairs), seed=seed):
            assert len(patients(part) & {"a", "b"}) == 1


def test_a_part_is_split_again(make):
    first, _ = split_by_patient(make(PAIRS), (0.8, 0.2))
    train, val = split_by_patient(first, (0.75, 0.25))
    inner = [
        {first.dataset.patients[first.indices[i]] for i in part.indices} for part in (train, val)
    ]
    assert [len(names) for names in inner] == [12, 4]
    assert inner[0] | inner[1] == patients(first)


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (1.5, -0.5), ()])
def test_shares_that_are_none_are_an_error(make, shares):
    with pytest.raises(ValueError, match="must be two or more positive numbers with the sum 1"):
        split_by_patient(make(PAIRS), shares)


def test_too_few_patients_of_a_class_are_an_error(make):
    pairs = [("a", 0), ("b", 0), ("c", 1)]
    with pytest.raises(ValueError, match="cannot be drawn from 3 patients with each class in each"):
        split_by_patient(make(pairs))


def test_another_data_set_is_an_error():
    with pytest.raises(TypeError, match=r"one of captum_clustered.data .* got TensorDataset"):
        split_by_patient(TensorDataset())
