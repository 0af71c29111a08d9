"""From training to tables on each data set."""

import json

import pytest
import torch
from made_up_thyroids import ddti, table, tn5000_splits
from safetensors import safe_open
from study import run, train
from study.methods import FITTED

LAYOUTS = {
    "ddti": ddti,
    "tn5000": tn5000_splits,
    "table": lambda folder: table(folder, n_patients=40),
}


@pytest.fixture(autouse=True)
def own_generator(small_inputs):
    with torch.random.fork_rng():
        yield


def trained(folder, name, *options):
    """Train for an epoch on a made-up data set; the arguments of the study."""
    LAYOUTS[name](folder / "data")
    data = ["--dataset", name, "--data", str(folder / "data"), *options]
    models = str(folder / "models")
    train.main([*data, "--out", models, "--epochs", "1", "--batch-size", "8"])
    arguments = [*data, "--models", models, "--out", str(folder / "out"), "--heads", "linear"]
    arguments += ["--layers", "last", "--limit", "4", "--fit-images", "4", "--batch-size", "4"]
    methods = ["ClusteredLayerCAM", FITTED, "LayerGradCam"]
    metrics = ["average drop", "energy lesion", "max-sensitivity"]
    return [*arguments, "--methods", *methods, "--metrics", *metrics]


# After one epoch, the two logits are between 0 and 1 by chance.
@pytest.mark.filterwarnings("ignore:The network .* return probabilities")
@pytest.mark.parametrize(
    ("name", "options"),
    [("ddti", ["--crop", "0.2", "--fold", "2"]), ("tn5000", []), ("table", ["--crop", "0"])],
)
def test_from_training_to_tables(tmp_path, capsys, coarse_figures, name, options):
    arguments = trained(tmp_path, name, *options)
    assert f"- {name}, train: " in capsys.readouterr().out
    run.main(arguments)
    text = (tmp_path / "out" / "study.md").read_text()
    assert f"- {name}, val: " in text
    assert "linear head: AUC by image" in text or "no AUC" in text
    assert "| ClusteredLayerCAM, fitted" in text
    assert "Difference to LayerGradCam" in text
    assert (tmp_path / "out" / "linear-last" / "gallery.png").is_file()


def test_a_network_is_for_the_data_that_it_was_trained_on(tmp_path):
    arguments = trained(tmp_path, "ddti", "--crop", "0.2")
    with safe_open(tmp_path / "models" / "ddti_efficientnet_lite0.safetensors", "pt") as file:
        data = json.loads(file.metadata()["data"])
    labels = {"benign": ["2", "3"], "malignant": ["4c", "5"]}
    assert data == {"dataset": "ddti", **labels, "crop": 0.2, "fold": 1}
    other = ["--fold", "2", "--crop", "0.5", "--benign", "2", "3", "--malignant", "4b", "4c", "5"]
    said = (
        r"study: .*ddti_efficient.* was trained on other data \(malignant: \['4c', '5'\] in "
        r"training, \['4b', '4c', '5'\] now; crop: 0\.2 in training, 0\.5 now; fold: 1 in training"
    )
    with pytest.raises(SystemExit, match=said):
        run.main([*arguments, *other])


def test_a_data_set_without_a_network_says_which_file_is_missing(tmp_path):
    root = table(tmp_path / "data") and tmp_path / "data"
    arguments = ["--dataset", "table", "--data", str(root), "--models", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"study: .*table_efficientnet_lite0\S* is missing"):
        run.main(arguments)


def test_too_few_patients_to_train_are_an_error_that_says_what_for(tmp_path):
    table(tmp_path)
    arguments = ["--dataset", "table", "--data", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"train has too few patients to hold out 15% of them"):
        train.main(arguments)


@pytest.mark.parametrize("command", [run.main, train.main])
def test_a_missing_folder_is_an_error_of_one_line(tmp_path, command):
    arguments = ["--dataset", "tn5000", "--data", str(tmp_path / "none")]
    with pytest.raises(SystemExit, match=r"^study(-train)?: root='.*none' must be a folder[^\n]*$"):
        command([*arguments, "--out", str(tmp_path)])
