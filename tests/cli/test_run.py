import csv
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from captum_clustered import visualization
from captum_clustered.cli import run as cli_run
from captum_clustered.data import ImageList
from captum_clustered.dataset_run import Run
from captum_clustered.dataset_run import run as run_module
from captum_clustered.dataset_run.store import RunStore
from captum_clustered.visualization import SheetCell

N = 7


@pytest.fixture
def pictures(workplace):
    """Pictures in folders of two classes, one of which cannot be read."""
    rng = np.random.default_rng(0)
    for index in range(N):
        path = workplace / "data" / ("even", "odd", "third")[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    return workplace / "data"


@pytest.fixture
def start(run, pictures, usual):
    def invoke(*options):
        small = ("--batch-size", "2", "--chunk-size", "4", "--num-workers", "0")
        return run("run", "--data", pictures, *usual(options), *small, *options)

    return invoke


def test_a_folder_is_explained_as_explain_does(start, run, workplace):
    result = start()
    assert result.exit_code == 0, result.output
    assert f"Explained {N - 1} of {N} images" in result.stdout
    assert "even/6.png" in result.output
    found = Run("out")
    table = found.table()
    assert table["item"].to_pylist()[:2] == ["even/0.png", "even/3.png"]
    image = "data/odd/1.png"
    usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "one")
    assert run("explain", image, *usual).exit_code == 0
    position = table["item"].to_pylist().index("odd/1.png")
    with np.load("one/1.npz") as arrays:
        stored = found.attributions(table)[position]
        limit = np.abs(arrays["attribution"]).max() / 1000
        np.testing.assert_allclose(stored, arrays["attribution"], atol=limit)
        row = table.to_pylist()[position]
        np.testing.assert_allclose(row["importances"], arrays["importances"], atol=1e-5)
        assert row["target"] == arrays["target"]
    [(item, reason)] = found.errors()
    assert item == "even/6.png"
    assert "cannot be read as an image" in reason


def test_options_of_the_method_are_stored_and_continue(start, run, workplace):
    torch.save(torch.arange(12) % 3, "labels.pt")
    options = ("--clusters", "labels.pt", "--layer-baseline", "0.25", "--n-samples", "3")
    more = ("--perturbations-per-eval", "2", "--layer", "")
    result = start(*options, *more)
    assert result.exit_code == 0
    assert "Using --layer 1, the usual choice" in result.stdout
    settings = json.loads((workplace / "out" / "command.json").read_text())["settings"]
    assert settings["layer"] == "1"
    assert settings["clusters"] == "labels.pt"
    assert Run("out").manifest.settings["layer_baselines"] == 0.25
    assert Run("out").manifest.settings["n_samples"] == 3
    image = ("explain", "data/odd/1.png", "--model", "factories:net", "--size", "32")
    assert run(*image, "--out", "one", *options).exit_code == 0
    table = Run("out").table()
    row = table.to_pylist()[table["item"].to_pylist().index("odd/1.png")]
    with np.load("one/1.npz") as arrays:
        np.testing.assert_allclose(row["importances"], arrays["importances"], atol=1e-5)
    assert start(*options, *more).exit_code == 0
    # Clusters that were saved before are those of all images, too.
    assert run("clusters", "out").exit_code == 0
    result = start(*options)
    assert result.exit_code == 1
    assert "perturbations_per_eval was 2 and is None" in result.stderr


def test_views(start, run, workplace):
    views = ("--views", "identity,hflip", "--fit", "4")
    assert start(*views).exit_code == 0
    assert Run("out").manifest.settings["views"] == ["identity", "hflip"]
    settings = json.loads((workplace / "out" / "command.json").read_text())["settings"]
    assert settings["views"] == ["identity", "hflip"]
    image = ("explain", "data/odd/1.png", "--model", "factories:net", "--size", "32")
    options = ("--layer", "1", "--views", "identity,hflip", "--clusters", "out", "--out", "one")
    assert run(*image, *options).exit_code == 0
    found = Run("out")
    position = found.table()["item"].to_pylist().index("odd/1.png")
    stored = found.attributions(found.table())[position]
    with np.load("one/1.npz") as arrays:
        limit = np.abs(arrays["attribution"]).max() / 1000
        np.testing.assert_allclose(stored, arrays["attribution"], atol=limit)
    assert start(*views).exit_code == 0
    assert run("clusters", "out").exit_code == 0
    result = start("--fit", "4")
    assert result.exit_code == 1
    assert "views was ['identity', 'hflip'] and is []" in result.stderr


def test_several_layers_are_refused(start, workplace):
    result = start("--layer", "0", "--layer", "1")
    assert result.exit_code == 1
    assert "--layer 0,1: run takes one layer; explain and compare take several" in result.stderr
    assert not (workplace / "out").exists()


def test_views_of_tokens_are_a_sentence(start):
    options = ("--model", "factories:tokens", "--layer", "block", "--channel-dim", "-1")
    result = start(*options, "--views", "identity,hflip")
    assert result.exit_code == 1
    assert "views: 'hflip' moves positions, and layer 'block' of shape" in result.stderr


def test_the_same_command_goes_on(start, workplace):
    assert start().exit_code == 0
    path = workplace / "out" / "chunks" / "chunk-0000001.parquet"
    whole = path.read_bytes()
    path.unlink()
    result = start()
    assert result.exit_code == 0
    assert "; 3 in this call, in" in result.stdout
    assert path.read_bytes() == whole


def test_images_that_failed_are_tried_again_if_asked(start, workplace):
    start()
    Image.new("RGB", (32, 32)).save(workplace / "data" / "even" / "6.png")
    start()
    assert len(Run("out").errors()) == 1
    assert start("--retry-errors").exit_code == 0
    assert Run("out").errors() == []


def test_other_settings_are_refused_by_name(start):
    assert start().exit_code == 0
    for options, message in (
        (("--size", "16"), "preprocessing was"),
        (("--seed", "3"), "seed was 0 and is 3"),
        (("--target", "label"), "target was prediction and is label"),
    ):
        result = start(*options)
        assert result.exit_code == 1
        assert message in result.stderr


def test_labels_are_those_of_the_folders(start):
    assert start("--target", "label", "--score", "margin").exit_code == 0
    rows = Run("out").table(["item", "target", "label"]).to_pylist()
    for row in rows[1:]:
        folder = row["item"].partition("/")[0]
        if row["target"] is not None:
            assert row["target"] == row["label"] == ["even", "odd", "third"].index(folder)


def test_a_full_disk_is_a_sentence(start, monkeypatch, workplace):
    usage = run_module.shutil.disk_usage(workplace)._replace(free=10)
    monkeypatch.setattr(run_module.shutil, "disk_usage", lambda _: usage)
    result = start()
    assert result.exit_code == 1
    assert "cannot be written to --out out: 7 images need about" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "best"), "--target best must be prediction, label or"),
        (("--target", "9"), "target=9 is out of range"),
        (("--fit", "some"), "--fit some must be all or a number of images"),
        (("--chunk-size", "3"), "chunk_size=3 must be a multiple of batch_size=2"),
        (("--layer", "9"), "has no layer '9'"),
    ],
)
def test_mistakes_are_sentences(start, options, message):
    result = start(*options)
    assert result.exit_code == 1
    assert message in result.stderr


def test_ray_that_is_not_installed_is_a_sentence(start, monkeypatch):
    from captum_clustered.dataset_run import ray as on_ray

    monkeypatch.setattr(on_ray, "find_spec", lambda _: None)
    result = start("--engine", "ray")
    assert result.exit_code == 1
    assert "pip install captum_clustered[ray]" in result.stderr


def test_options_of_ray_are_refused_without_it(start):
    result = start("--workers", "3", "--gpus-per-worker", "1")
    assert result.exit_code == 1
    message = "--workers, --gpus-per-worker would have no effect without --engine ray."
    assert message in result.stderr


def test_warnings_are_said_once_and_at_once(start, monkeypatch):
    said = []
    monkeypatch.setattr(cli_run, "note", said.append)
    image = ImageList.image

    def warned(self, index):
        assert said == (["odd pixels"] if index else said)
        warnings.warn("odd pixels", stacklevel=1)
        return image(self, index)

    monkeypatch.setattr(ImageList, "image", warned)
    assert start().exit_code == 0
    assert said.count("odd pixels") == 1


def test_clusters_over_all_images(start, run, workplace, whole_figures):
    assert start("--fit", "all", "--n-clusters", "3").exit_code == 0
    result = run("clusters", "out", "--examples", "2")
    assert result.exit_code == 0, result.output
    assert "Mean drop of the logit over 6 images" in result.stdout
    with (workplace / "out" / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["cluster"] for row in rows} == {"0", "1", "2"}
    with Image.open("out/clusters.png") as sheet:
        assert sheet.width > 600
        # Pictures and text, not an empty page.
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 100


def test_numbers_of_the_preprocessing_are_those_of_the_run(start, run):
    options = ("--mean", "0.5", "--std", "0.2,0.3,0.4", "--range", "0,200")
    assert start("--fit", "all", "--n-clusters", "2", *options).exit_code == 0
    result = run("clusters", "out")
    assert result.exit_code == 0, result.output


def test_clusters_of_a_transformer_are_drawn_as_maps(start, run, monkeypatch):
    options = ("--model", "factories:registers", "--layer", "block", "--channel-dim", "-1")
    assert start(*options, "--fit", "all", "--n-clusters", "2").exit_code == 0
    drawn = []
    monkeypatch.setattr(
        visualization, "SheetCell", lambda *parts: drawn.append(parts) or SheetCell(*parts)
    )
    assert run("clusters", "out").exit_code == 0
    assert {cell[1].shape for cell in drawn} == {(4, 4)}


def test_the_sheet_shows_original_images_with_their_classes(start, run, workplace, monkeypatch):
    given = []
    monkeypatch.setattr(
        visualization,
        "draw_contact_sheet",
        lambda rows, *texts, **look: given.append((rows, texts, look)) or Figure(),
    )
    assert start("--fit", "all", "--n-clusters", "2").exit_code == 0
    masks = workplace / "masks"
    masks.mkdir()
    for path in (workplace / "data").rglob("*.png"):
        Image.new("L", (32, 32), 255).save(masks / path.name)
    result = run("clusters", "out", "--examples", "2", "--masks", "masks", "--outline")
    assert result.exit_code == 0, result.output
    ((rows, _, look),) = given
    assert look == {"outline": True, "keep_colors": False}
    with (workplace / "out" / "cluster_examples.csv").open() as file:
        summary = list(csv.DictReader(file))
    cells = [cell for row in rows for cell in row.cells]
    for cell, example in zip(cells, summary, strict=True):
        with Image.open(workplace / "data" / example["item"]) as file:
            assert (cell.image == np.asarray(file)).all()
        assert cell.mask.all()
        assert cell.mask.shape == (32, 32)
        assert cell.seen == (0, 0, 1, 1)
        lines = cell.caption.split("\n")
        assert lines[0].endswith(Path(example["item"]).name)
        assert lines[-1].startswith("predicted: ")
        assert lines[-1].endswith("%")


def test_clusters_of_each_image_cannot_be_summed_up(start, run):
    assert start().exit_code == 0
    result = run("clusters", "out")
    assert result.exit_code == 1
    assert "a separate clustering for each image" in result.stderr
    assert run("clusters", "absent").exit_code == 1


def test_a_run_of_the_python_function_has_no_model_to_load(start, run, workplace):
    assert start("--fit", "3").exit_code == 0
    command = workplace / "out" / "command.json"
    assert json.loads(command.read_text())["network"]["model"] == "factories:net"
    command.unlink()
    result = run("clusters", "out")
    assert result.exit_code == 1
    assert "was not made by captum-clustered run" in result.stderr


def test_what_a_run_was_made_with_is_looked_for_where_it_was_called(pictures, run, monkeypatch):
    usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--num-workers", "0")
    assert run("run", "--data", pictures.name, *usual, "--fit", "3", "--out", "out").exit_code == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    Path("factories.py").write_text((Path("..") / "factories.py").read_text())
    result = run("clusters", "../out")
    assert result.exit_code == 1
    assert (
        "--data: There is no folder or table data. Its paths are relative to the folder"
        in result.stderr
    )


def test_pictures_of_other_data_than_the_runs_are_refused(start, run, workplace):
    assert start("--fit", "3").exit_code == 0
    # The first by name: every number of an item then means another.
    Image.new("RGB", (32, 32)).save(workplace / "data" / "even" / "-1.png")
    result = run("clusters", "out")
    assert result.exit_code == 1
    assert "out was made with other labels, data than there are now" in result.stderr
    assert not (workplace / "out" / "clusters.png").exists()


def test_pictures_of_another_network_than_the_runs_are_refused(start, run, workplace):
    assert start("--fit", "3").exit_code == 0
    factories = workplace / "factories.py"
    # Of another length: Python would take its bytecode, which is not older than a second.
    factories.write_text(factories.read_text().replace("manual_seed(0)", "manual_seed(10)"))
    sys.modules.pop("factories")
    result = run("clusters", "out")
    assert result.exit_code == 1
    assert "out was made with other weights than" in result.stderr


def test_pictures_of_clusters_that_are_lost_are_refused(start, run, workplace):
    assert start("--fit", "3").exit_code == 0
    (workplace / "out" / "clusters.json").unlink()
    result = run("clusters", "out")
    assert result.exit_code == 1
    assert "clusters.json is missing or damaged" in result.stderr


def test_a_run_that_was_interrupted_has_clusters_too(start, run, monkeypatch):
    write = RunStore.write

    def interrupt(store, chunk, *rest):
        if chunk == 1:
            raise KeyboardInterrupt
        write(store, chunk, *rest)

    monkeypatch.setattr(RunStore, "write", interrupt)
    result = start("--fit", "3")
    assert result.exit_code == 130
    assert (
        "Interrupted. The stored results are complete; the same command continues" in result.output
    )
    result = run("clusters", "out")
    assert result.exit_code == 0, result.output
    assert "over 4 images" not in result.stdout
    assert "over 3 images" in result.stdout


def test_results_among_the_data_are_refused(start, workplace):
    result = start("--out", "data/out")
    assert result.exit_code == 1
    assert "--out data/out lies in --data" in result.stderr
    assert not (workplace / "data" / "out").exists()
    assert start("--data", "data/even", "--out", "data/out").exit_code == 0


def test_one_failed_image_is_one(start):
    assert "Note: 1 image could not be explained: out/errors.csv" in start().output


def test_a_single_logit_decides_by_its_sign(run, workplace):
    for index, (name, level) in enumerate((("benign", 20), ("malignant", 230)) * 2):
        path = workplace / "scans" / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(path)
    usual = ("--model", "factories:bright", "--layer", "1", "--size", "32", "--num-workers", "0")
    options = ("--fit", "all", "--n-clusters", "2")
    for target in ("prediction", "label"):
        result = run(
            "run", "--data", "scans", *usual, *options, "--target", target, "--out", target
        )
        assert result.exit_code == 0, result.output
        rows = Run(target).table().to_pylist()
        assert [row["label"] for row in rows] == [0, 0, 1, 1]
        assert [row["prediction"] for row in rows] == [0, 0, 1, 1]
        assert [row["target"] for row in rows] == [0, 0, 1, 1]
        assert all(row["score"] > 0 for row in rows)
    words = " ".join(run("clusters", "prediction").stdout.split())
    assert "All images benign malignant" in words


def test_names_of_classes_are_given_or_a_guess(run, workplace):
    for index, name in enumerate(("benign", "malignant") * 2):
        path = workplace / "scans" / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 60 * index, np.uint8)).save(path)
    usual = ("--data", "scans", "--layer", "1", "--size", "32", "--num-workers", "0")
    usual += ("--fit", "all", "--n-clusters", "2", "--target", "label")
    result = run("run", "--model", "factories:named", *usual, "--out", "carried")
    assert "Classes: 0 malignant, 1 benign." in result.stdout
    assert "guess; the model's" not in result.stdout
    assert Run("carried").table(["label"])["label"].to_pylist() == [1, 1, 0, 0]
    stored = json.loads(Path("carried/command.json").read_text())
    assert (stored["classes"], stored["classes_are_a_guess"]) == (["malignant", "benign"], False)
    assert "All images malignant benign" in " ".join(run("clusters", "carried").stdout.split())
    result = run("run", "--model", "factories:bright", *usual, "--out", "guessed")
    assert "0 benign, 1 malignant. This is a guess" in result.stdout
    assert json.loads(Path("guessed/command.json").read_text())["classes_are_a_guess"]
    assert Run("guessed").table(["label"])["label"].to_pylist() == [0, 0, 1, 1]
    result = run("clusters", "guessed", "--class-names", "benign,Malignant")
    assert "All images benign Malignant" in " ".join(result.stdout.split())
    result = run("clusters", "guessed", "--class-names", "malignant,benign")
    assert "was made with other labels than there are now" in result.stderr


def test_data_are_looked_for_before_the_model_is_loaded(run):
    usual = ("--model", "factories:broken", "--data", "nowhere", "--out", "new")
    result = run("run", *usual)
    assert result.stderr == "Error: --data: There is no folder or table nowhere.\n"
    assert not Path("new").exists()


def test_more_clusters_than_channels_are_noted(start):
    assert "is more than the 12 channels" in start("--n-clusters", "13").stdout


def test_probabilities_in_the_place_of_logits_are_noted(start):
    result = start("--model", "factories:sigmoids", "--score", "sigmoid")
    assert result.stdout.count("may return probabilities") == 1
