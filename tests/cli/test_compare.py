"""The command compare, on a folder of tiny images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_files import bus_bra_release, ddti_case, svg

from captum_clustered import ClusteredLayerCAM
from captum_clustered.cli import compare as command
from captum_clustered.comparison import compare
from captum_clustered.data import ImageBatches, ImageList, make_preprocessing
from captum_clustered.models import load_model
from captum_clustered.visualization import visualize_methods

FAST = ("--metrics", "average drop,complexity")


@pytest.fixture
def images(workplace):
    """Three pictures of 40 x 30 colors."""
    folder = workplace / "images"
    folder.mkdir()
    for i in range(3):
        values = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{'abc'[i]}.png")
    return folder


@pytest.fixture
def masks(workplace, images):
    """For each of them, its left half."""
    folder = workplace / "masks"
    folder.mkdir()
    values = np.zeros((30, 40), np.uint8)
    values[:, :20] = 1
    for path in images.iterdir():
        Image.fromarray(values).save(folder / path.name)
    return folder


@pytest.fixture
def run_compare(run, images, usual):
    """Runs compare with a tiny network and Grad-CAM; options are added."""

    def invoke(*options):
        given = (*usual(options), "--images", images, "--methods", "LayerGradCam")
        return run("compare", *given, *options)

    return invoke


def results():
    return pd.read_csv("out/results.csv")


class TestDataSet:
    """With --dataset."""

    @pytest.fixture
    def compare_set(self, run, workplace):
        def invoke(folder, *options, model="named"):
            usual = ("--model", f"factories:{model}", "--layer", "1", "--size", "32")
            usual += ("--images", folder, "--methods", "LayerGradCam", "--out", "out")
            return run("compare", *usual, "--metrics", "average drop,energy lesion", *options)

        return invoke

    def test_has_its_own_labels_and_masks(self, compare_set, workplace):
        bus_bra_release(workplace / "data")
        result = compare_set(workplace / "data", "--dataset", "busbra", "--split", "val")
        assert result.exit_code == 0, result.stderr
        # Fold 2 has one patient, who has two benign images; "benign" is the network's class 1.
        found = results()
        assert set(found["label"]) == {1}
        assert list(found["file"].unique()) == ["Images/bus_0002-l.png", "Images/bus_0002-r.png"]
        # The lesion is rows 2 to 4 of 10 and columns 3 to 7 of 12: the mask's map has all of it.
        energy = found[found["metric"].eq("energy lesion") & found["method"].eq("mask")]
        assert energy["value"].tolist() == pytest.approx([1, 1])

    def test_what_was_left_out_of_it_is_said(self, compare_set, workplace):
        square = svg([(2, 2), (5, 2), (5, 5), (2, 5)])
        for case, tirads in ((1, "2"), (2, "5"), (3, "")):
            ddti_case(workplace / "data", case, tirads, [(1, square)])
        result = compare_set(workplace / "data", "--dataset", "ddti")
        assert result.exit_code == 0, result.stderr
        assert "3.xml: no TI-RADS category" in result.stdout
        assert set(results()["label"]) == {0, 1}

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--dataset", "ddti"), "--dataset ddti: root="),
            (("--dataset", "ddti", "--masks", "m"), "omit --labels and --masks"),
            (("--dataset", "tn5000", "--split", "x"), "'x' must be one of 'train', 'val', 'test'"),
            (("--dataset", "ddti", "--split", "val"), "DDTI has no splits"),
            (("--dataset", "table"), "There is no table"),
            (("--split", "val"), "--split val needs --dataset"),
        ],
    )
    def test_what_is_wrong_is_said(self, compare_set, workplace, options, said):
        (workplace / "data").mkdir()
        result = compare_set(workplace / "data", *options)
        assert result.exit_code == 1
        assert said in result.stderr

    def test_a_network_of_other_classes_is_an_error(self, compare_set, workplace):
        bus_bra_release(workplace / "data")
        result = compare_set(workplace / "data", "--dataset", "busbra", model="net")
        assert result.exit_code == 1
        assert "busbra has labels of 2 kinds and the model has 3 classes" in result.stderr


class TestResults:
    def test_are_those_of_compare(self, run_compare, images):
        assert run_compare(*FAST, "--batch-size", "2").exit_code == 0
        model = load_model("factories:net", None, "cpu").module
        data = ImageBatches(ImageList(images, transform=make_preprocessing(size=32)), 2)
        expected = compare(
            model, model[1], data, ["LayerGradCam"], ["average drop", "complexity"]
        ).frame
        found = results()
        np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-6)
        assert list(found["method"]) == list(expected["method"])
        assert list(found["file"].unique()) == ["a.png", "b.png", "c.png"]

    def test_files_and_table(self, run_compare, workplace, whole_figures):
        result = run_compare("--metrics", "insertion")
        assert result.exit_code == 0
        for name in ("metrics.png", "curves.png", "gallery.png"):
            with Image.open(workplace / "out" / name) as figure:
                assert figure.size[0] > 100
        text = (workplace / "out" / "summary.md").read_text(encoding="utf-8")
        assert "insertion ↑" in text
        assert "factories:net" in text
        for method in ("LayerGradCam", "Fake-CAM", "center Gaussian"):
            assert method in result.stdout
            assert method in text

    def test_the_gallery_shows_original_images_and_names_of_classes(
        self, run_compare, monkeypatch, images
    ):
        given = []
        monkeypatch.setattr(
            "captum_clustered.comparison.plots.visualize_methods",
            lambda maps, pictures, **options: (
                given.append((pictures, options)) or visualize_methods(maps, pictures, **options)
            ),
        )
        result = run_compare(*FAST, "--class-names", "cat,dog,bird", "--opacity", "0.2")
        assert result.exit_code == 0, result.output
        ((pictures, options),) = given
        for picture, name in zip(pictures, ["a.png", "b.png", "c.png"], strict=True):
            with Image.open(images / name) as file:
                assert (picture == np.asarray(file.convert("RGB"))).all()
        assert options["seen"] == [(0, 0, 1, 1)] * 3
        assert options["opacity"] == 0.2
        assert all(any(c in name for c in ("cat", "dog", "bird")) for name in options["names"])

    def test_curves_are_left_out_without_their_metrics(self, run_compare, workplace):
        result = run_compare(*FAST)
        assert result.exit_code == 0
        assert "curves.png is left out" in result.stdout
        assert not (workplace / "out" / "curves.png").exists()

    def test_options_reach_the_comparison(self, run_compare):
        options = ("--layer", "2", "--layer-input", "--score", "margin", "--target", "2")
        assert run_compare(*FAST, *options, "--seed", "3").exit_code == 0
        with open("out/state/settings.json") as file:
            settings = json.load(file)
        assert settings["layer"].startswith("'2'")
        assert settings["attribute_to_layer_input"] is True
        assert settings["score"] == "margin"
        assert settings["target"] == 2
        assert run_compare(*FAST, "--score", "log_probability", "--out", "logs").exit_code == 0
        assert settings["seed"] == 3
        assert set(results()["target"]) == {2}

    def test_several_layers(self, run_compare, workplace):
        options = ("--layer", "0", "--layer", "1", "--fusion", "max")
        assert run_compare(*FAST, *options).exit_code == 0
        settings = json.loads((workplace / "out" / "state" / "settings.json").read_text())
        assert settings["layer"] == "'0' (Conv2d), '1' (ReLU)"
        assert settings["fusion"] == "max"
        summary = (workplace / "out" / "summary.md").read_text()
        assert "layer 0, 1;" in summary
        assert "Fusion: maximum." in summary

    def test_one_image(self, run_compare, images):
        for name in ("b.png", "c.png"):
            (images / name).unlink()
        result = run_compare(*FAST)
        assert result.exit_code == 0
        assert "One image is too few" in result.stdout

    def test_methods_with_arguments(self, run_compare):
        ours = "ClusteredLayerCAM(n_clusterings=2, scaling='drop')"
        assert run_compare(*FAST, "--methods", f"LayerGradCam,{ours}").exit_code == 0
        assert {"LayerGradCam", ours} < set(results()["method"])
        result = run_compare(*FAST, "--methods", "ClusteredLayerCAM(k=3)", "--out", "other")
        assert result.exit_code == 1
        assert "ClusteredLayerCAM has no 'k'" in result.stderr

    def test_the_usual_layer_and_saved_clusters(self, run, images):
        torch.save(torch.arange(12) % 3, "labels.pt")
        usual = ("--model", "factories:net", "--size", "32", "--out", "out", "--images", images)
        options = ("--methods", "LayerGradCam", "--clusters", "labels.pt")
        result = run("compare", *usual, *options, *FAST)
        assert result.exit_code == 0
        assert "Using --layer 1, the usual choice" in result.stdout
        model = load_model("factories:net").module
        cam = ClusteredLayerCAM(model, model[1], clusterer=torch.arange(12) % 3)
        data = ImageBatches(ImageList(images, transform=make_preprocessing(size=32)), 8)
        expected = compare(model, model[1], data, [{"cam": cam}], ["average drop", "complexity"])
        frame, found = expected.frame, results()
        values = found[found["method"] == "ClusteredLayerCAM (saved clusters)"]["value"]
        np.testing.assert_allclose(values, frame[frame["method"] == "cam"]["value"], rtol=1e-6)

    def test_clusters_of_another_layer(self, run_compare):
        torch.save(torch.arange(5), "labels.pt")
        result = run_compare(*FAST, "--clusters", "labels.pt")
        assert result.exit_code == 1
        assert "labels.pt is for 5 channels; the layer has 12" in result.stderr


class TestResume:
    def test_goes_on_after_an_interruption(self, run_compare, monkeypatch):
        assert run_compare(*FAST, "--batch-size", "1").exit_code == 0
        first = results()
        state = Path("out/state")
        (state / "batch-000002.json").unlink()
        kept = (state / "batch-000000.json").stat().st_mtime_ns
        assert run_compare(*FAST, "--batch-size", "1").exit_code == 0
        costs = ["seconds", "forward_examples", "peak_memory"]
        pd.testing.assert_frame_equal(
            results().drop(columns=costs), first.drop(columns=costs), check_exact=True
        )
        assert (state / "batch-000000.json").stat().st_mtime_ns == kept
        assert (state / "batch-000002.json").exists()

    def test_another_batch_size_is_named(self, run_compare):
        assert run_compare(*FAST, "--batch-size", "2").exit_code == 0
        result = run_compare(*FAST, "--batch-size", "3")
        assert result.exit_code == 1
        assert "batch 0 had 2 images and has 3. Take the same batch size" in result.stderr

    def test_other_settings_are_refused(self, run_compare):
        assert run_compare(*FAST).exit_code == 0
        result = run_compare(*FAST, "--seed", "1")
        assert result.exit_code == 1
        assert "out/state has results of another comparison: seed was 0 and is 1" in result.stderr


class TestMasks:
    def test_metrics_of_place(self, run_compare, masks):
        assert run_compare("--masks", masks, "--metrics", "energy in mask").exit_code == 0
        found = results()
        perfect = found[found["method"] == "mask"]["value"]
        np.testing.assert_allclose(perfect, 1)
        fake = found[found["method"] == "Fake-CAM"]["value"]
        np.testing.assert_allclose(fake, 0.5, atol=0.001)
        assert found["label"].isna().all()
        assert found["correct"].isna().all()

    def test_other_scale_and_other_proportions(self, run_compare, masks):
        Image.open(masks / "a.png").resize((80, 60), Image.Resampling.NEAREST).save(masks / "a.png")
        Image.new("L", (30, 40), 1).save(masks / "b.png")
        (masks / "c.png").write_text("no image")
        result = run_compare("--masks", masks, "--metrics", "energy in mask")
        assert result.exit_code == 1
        assert list(results()["file"].unique()) == ["a.png"]
        assert "30 x 40" in result.stderr
        assert "c.png is not an image" in result.stderr

    def test_missing_and_ambiguous(self, run_compare, masks):
        (masks / "a.png").rename(masks / "d.png")
        Image.new("L", (40, 30), 1).save(masks / "b.tif")
        result = run_compare("--masks", masks, "--metrics", "energy in mask")
        assert result.exit_code == 1
        assert list(results()["file"].unique()) == ["c.png"]
        assert "it has none" in result.stderr
        assert "b.png, b.tif" in result.stderr


class TestLabels:
    def write(self, text):
        with open("labels.csv", "w") as file:
            file.write(text)

    def test_are_in_the_results(self, run_compare, masks):
        self.write("file,label\na.png,0\nimages/b.png, 2\nc.png,1\nz.png,1\n")
        options = ("--labels", "labels.csv", "--target", "label", "--masks", masks)
        assert run_compare(*FAST, *options).exit_code == 0
        found = results().drop_duplicates("file").set_index("file")
        assert found["label"].to_dict() == {"a.png": 0, "b.png": 2, "c.png": 1}
        assert (found["target"] == found["label"]).all()
        assert (found["correct"] == (found["label"] == found["prediction"])).all()
        with open("out/summary.md") as file:
            text = file.read()
        assert "Right and wrong predictions" in text
        assert text.count("forward examples/image") == 1

    def test_names_are_those_of_the_classes_or_a_guess(self, run_compare):
        self.write("file,label\na.png,cow\nb.png,cat\nc.png,dog\n")
        options = (*FAST, "--labels", "labels.csv", "--target", "label")
        result = run_compare(*options, "--class-names", "dog,cow,cat")
        assert "Classes: 0 dog, 1 cow, 2 cat." in result.stdout
        found = results().drop_duplicates("file").set_index("file")
        assert found["label"].to_dict() == {"a.png": 1, "b.png": 2, "c.png": 0}
        assert "Classes: 0 dog, 1 cow, 2 cat." in Path("out/summary.md").read_text()
        result = run_compare(*options, "--out", "guess")
        assert "0 cat, 1 cow, 2 dog. This is a guess" in result.stdout
        assert "Classes: 0 cat, 1 cow, 2 dog (a guess)." in Path("guess/summary.md").read_text()
        description = json.loads(Path("guess/run.json").read_text())
        assert description["classes"] == {"0": "cat", "1": "cow", "2": "dog"}
        assert description["facts"]["Preprocessing"].endswith("(mean, std: a guess)")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("name,label\na.png,1\n", "has no column 'image'"),
            ("", "has no column 'image', 'label' in its first line; it has none"),
            ("file,label\na.png,3\n", "line 2: label 3 is out of range"),
            ("file,label\na.png,-1\n", "label -1 is out of range"),
            ("file,label\na.png\n", "no class ''"),
            ("file,label\na.png,1\na.png,2\n", "line 3: a.png has another label"),
        ],
    )
    def test_mistakes(self, run_compare, text, sentence):
        self.write(text)
        result = run_compare(*FAST, "--labels", "labels.csv")
        assert result.exit_code == 1
        assert sentence in result.stderr

    def test_a_table_of_images_has_labels_and_masks(self, run_compare, masks):
        rows = [f"images/{name}.png,{n},masks/{name}.png" for n, name in enumerate("acb")]
        self.write("\n".join(["image,label,outline", *rows]))
        options = ("--images", "labels.csv", "--target", "label", "--masks", "outline")
        assert run_compare("--metrics", "energy in mask", *options).exit_code == 0
        found = results().drop_duplicates("file").set_index("file")
        assert found["label"].to_dict() == {f"images/{n}.png": "acb".index(n) for n in "acb"}
        assert (found["target"] == found["label"]).all()
        with open("out/summary.md") as file:
            assert "Right and wrong predictions" in file.read()

    def test_image_without_label(self, run_compare):
        self.write("file,label\na.png,0\nb.png,1\n")
        result = run_compare(*FAST, "--labels", "labels.csv")
        assert result.exit_code == 1
        assert "labels.csv has no line for c.png" in result.stderr
        assert len(results()["file"].unique()) == 2


class TestMistakes:
    def test_unreadable_image(self, run_compare, images):
        (images / "b.png").write_text("no image")
        (images / "notes.txt").write_text("not meant as one")
        result = run_compare(*FAST)
        assert result.exit_code == 1
        assert "Without b.png the comparison is not complete" in result.stderr
        assert "notes.txt" not in result.stderr
        assert list(results()["file"].unique()) == ["a.png", "c.png"]

    def test_no_readable_image(self, run_compare, images):
        for path in images.iterdir():
            path.write_text("no image")
        result = run_compare(*FAST)
        assert result.exit_code == 1
        assert "None of the images can be read" in result.stderr

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--images", "nowhere"), "There is no folder or table nowhere"),
            (("--images", "factories.py"), "factories.py has no column 'image'"),
            (("--masks", "nowhere"), "There is no folder nowhere"),
            (("--labels", "nowhere.csv"), "There is no table nowhere.csv"),
            (("--target", "label"), "--target label needs --labels"),
            (("--target", "cat"), "must be prediction, label or the number"),
            (("--target", "7"), "target=7 is out of range"),
            (("--methods", "GradCam"), "Did you mean 'LayerGradCam'"),
            (("--metrics", "average drip"), "Did you mean 'average drop"),
            (("--metrics", "IoU"), "needs masks"),
            (("--layer", "9"), "has no layer '9'"),
            (("--layer", "1,9"), "has no layer '9'"),
            (("--layer", "0,1", "--clusters", "x"), "--clusters are those of one layer; got"),
            (("--layer", "3"), "which is not a spatial map"),
            (("--model", "factories:tokens", "--layer", "block"), "only maps with channels"),
            (("--model", "factories:gray", "--target", "2"), "has 2 classes, 0 to 1"),
            (("--model", "factories:nothing"), "has no function 'nothing'"),
        ],
    )
    def test_one_sentence(self, run_compare, options, sentence):
        result = run_compare(*options)
        assert result.exit_code == 1
        assert sentence in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1

    def test_empty_folder(self, run_compare, workplace):
        (workplace / "empty").mkdir()
        result = run_compare("--images", "empty")
        assert result.exit_code == 1
        assert "has no image files" in result.stderr

    def test_images_are_looked_for_before_the_model_is_loaded(self, run_compare):
        result = run_compare("--images", "nowhere", "--model", "factories:broken", "--out", "new")
        assert "There is no folder or table nowhere" in result.stderr
        assert not Path("new").exists()

    def test_missing_tabulate(self, run_compare, monkeypatch):
        monkeypatch.setattr(command, "find_spec", lambda name: None)
        result = run_compare(*FAST)
        assert result.exit_code == 1
        assert "captum_clustered[comparison]" in result.stderr
