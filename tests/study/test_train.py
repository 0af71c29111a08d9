import json

import pytest
import torch
from made_up import data
from safetensors import safe_open
from study import train
from study.augmentation import augmentation
from study.checkpoints import file_name, load_network
from study.data import StudyData
from study.images import patients_of, sample

ARGUMENTS = ["--epochs", "1", "--batch-size", "4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return data(tmp_path_factory.mktemp("train"), n_train=16)


@pytest.fixture(scope="module")
def images(root):
    return StudyData(root)


@pytest.fixture(autouse=True)
def own_generator():
    with torch.random.fork_rng():
        yield


def test_one_epoch_of_each_head(root, tmp_path, capsys):
    where = ["--data", str(root), "--out", str(tmp_path)]
    train.main([*where, *ARGUMENTS, "--limit", "28"])
    printed = capsys.readouterr().out
    assert "by image" in printed
    assert "(n = 8)" in printed  # images of the val split
    assert "(n = 4)" in printed  # and its patients
    with safe_open(tmp_path / file_name("linear"), "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["settings"])["head"] == "linear"
    assert 0 <= float(metadata["held_out_auc_by_patient"]) <= 1
    before = load_network(tmp_path, "linear").state_dict()

    train.main([*where, *ARGUMENTS, "--head", "mlp", "--freeze-trunk"])
    network = load_network(tmp_path, "mlp")
    torch.testing.assert_close(network.trunk.state_dict(), before)
    assert network.head[3].weight.abs().max() > 0


def test_a_frozen_trunk_must_be_there(root, tmp_path):
    arguments = ["--data", str(root), "--out", str(tmp_path), "--head", "mlp", "--freeze-trunk"]
    with pytest.raises(SystemExit, match=r"study-train: .*efficientnet_lite0.* is missing"):
        train.main(arguments)


def test_held_out_patients_are_not_fitted(images):
    fitting, held_out = train._parts(images, train.Settings())
    fitted, held = set(patients_of(fitting)), set(patients_of(held_out))
    assert not fitted & held
    assert fitted | held == {str(patient) for patient in range(16)}


def test_images_to_fit_are_changed_and_others_are_not(images):
    fitting, held_out = train._parts(images, train.Settings())
    assert not torch.equal(fitting[0][0], fitting[0][0])
    assert torch.equal(held_out[0][0], held_out[0][0])


def test_augmented_images_are_inputs_of_the_network(images):
    plain = images.part("train")[0][0]
    image = images.part("train", augmentation())[0][0]
    assert image.shape == plain.shape == (3, 224, 224)
    assert image.dtype == torch.float32
    assert -1 <= image.min() < image.max() <= 1.01
    assert torch.equal(image[0], image[2])


def test_a_longer_sample_begins_with_the_shorter_one(images):
    whole = images.part("train")
    assert sample(whole, 20).indices[:8] == sample(whole, 8).indices
    assert sorted(sample(whole).indices) == list(range(32))


def test_the_halves_of_val_share_no_patient(images):
    halves = [set(patients_of(images.part(f"val-{half}"))) for half in ("select", "report")]
    assert not halves[0] & halves[1]
    assert len(halves[0] | halves[1]) == 4


def test_both_classes_weigh_the_same():
    assert train.class_weights([0, 0, 0, 1]).tolist() == pytest.approx([2 / 3, 2])


@pytest.mark.parametrize(
    "wrong", [{"head": "x"}, {"epochs": 0}, {"freeze_trunk": True, "head": "linear"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        train.Settings(**wrong)
