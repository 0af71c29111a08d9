import numpy as np
import pandas as pd
import pytest
import torch
from made_up import data, networks
from study import fitted_clusters as clusters
from study import run
from study.data import StudyData
from study.fitted_clusters import fitted_clusters, fitted_method
from study.images import sample
from study.methods import FITTED
from study.networks import target_layer
from study.phantoms import phantom
from study.source import find_source

METHODS = ["ClusteredLayerCAM", FITTED, "LayerGradCam"]
METRICS = ["average drop", "increase in confidence", "energy lesion", "max-sensitivity"]


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    networks(folder / "models")
    return folder, data(folder, n_train=2, n_val=4)


@pytest.mark.usefixtures("small_inputs")
def test_from_end_to_end_and_again(where, tmp_path, capsys, monkeypatch):
    folder, root = where
    arguments = ["--data", str(root), "--models", str(folder / "models"), "--out", str(tmp_path)]
    arguments += ["--limit", "4", "--heads", "mlp", "--layers", "last", "--batch-size", "4"]
    arguments += ["--methods", *METHODS, "--metrics", *METRICS]
    run.main(arguments)
    printed = capsys.readouterr().out
    results = tmp_path / "mlp-last"
    names = ["paper.md", "metrics.md", "checks.md", "results.csv", "summary.csv", "clusters.pt"]
    for name in [*names, "metrics.png", "gallery.png", "front.png"]:
        assert (results / name).stat().st_size > 0, name
    for name in names[:3]:
        assert (results / name).read_text() in printed + "\n"
    assert "AUC" in printed
    table = pd.read_csv(results / "results.csv")
    assert set(METHODS) < set(table["method"])
    assert table["image"].nunique() == 4

    # Again: nothing is run or fitted anew.
    monkeypatch.setattr(clusters.ClusteredLayerCAM, "attribute", None)
    monkeypatch.setattr(clusters.ClusteredLayerCAM, "fit", None)
    run.main(arguments)
    assert capsys.readouterr().out == printed

    with pytest.raises(SystemExit, match=r"study: .* has results of another comparison"):
        run.main([*arguments, "--score", "logit"])


def test_missing_models_are_an_error_of_one_line(where, tmp_path):
    _, root = where
    with pytest.raises(SystemExit, match=r"study: .* is missing"):
        run.main(["--data", str(root), "--models", str(tmp_path), "--out", str(tmp_path)])


@pytest.mark.usefixtures("small_inputs")
def test_clusters_are_fitted_anew_for_other_images(where, tmp_path):
    folder, root = where
    network = run.load_network(folder / "models", "mlp")
    target = target_layer(network, "middle")
    path, train = tmp_path / "clusters.pt", StudyData(root).part("train")
    labels = fitted_clusters(network, target, sample(train, 2), path, 2)
    assert labels.shape == (112,)
    first = path.stat().st_mtime_ns
    assert torch.equal(fitted_clusters(network, target, sample(train, 2), path, 2), labels)
    assert path.stat().st_mtime_ns == first
    fitted_clusters(network, target, sample(train, 3), path, 2)
    second = path.stat().st_mtime_ns
    assert second != first
    cropped = StudyData(root, crop=0.5).part("train")
    fitted_clusters(network, target, sample(cropped, 3), path, 2)
    assert path.stat().st_mtime_ns != second


def test_a_method_of_other_clusters_has_another_name():
    one, other = (fitted_method(torch.tensor(labels)) for labels in ([0, 1], [0, 0]))
    assert one.__qualname__ != other.__qualname__


def test_a_made_up_lesion_is_dark_and_outlined():
    generator = np.random.default_rng(0)
    for malignant in (False, True) * 5:
        image, mask = phantom(malignant, generator)
        assert image[mask].mean() < image[~mask].mean() - 20
        rows, columns = (np.ptp(where) for where in np.nonzero(mask))
        assert (rows > columns) == malignant


class TestSource:
    def test_without_data_images_are_made_up(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CAPTUM_CLUSTERED_DATA", str(tmp_path / "nowhere"))
        monkeypatch.setattr("study.source.N_TRAIN", 1)
        monkeypatch.setattr("study.source.N_VAL", 2)
        source = find_source(tmp_path / "scratch")
        assert (source.is_real, source.models) == (False, None)
        assert len(StudyData(source.root).part("val")) == 4

    def test_data_and_models_are_found_beside_each_other(self, where, tmp_path, monkeypatch):
        folder, root = where
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "busbra").symlink_to(root)
        monkeypatch.setenv("CAPTUM_CLUSTERED_DATA", str(tmp_path / "data"))
        assert find_source(tmp_path).models is None
        (tmp_path / "models").symlink_to(folder / "models")
        source = find_source(tmp_path)
        assert (source.is_real, source.models) == (True, tmp_path / "models")
