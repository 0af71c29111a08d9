"""The command explain."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from matplotlib.figure import Figure
from PIL import Image

from captum_clustered import ClusteredLayerCAM, scores, tokens_to_map
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.explain import ExplainerSettings, Explanation
from captum_clustered.models import load_model
from captum_clustered.test_time_augmentation import TestTimeAugmentation
from captum_clustered.visualization import draw_explanation


def arrays(path="out/photo.npz"):
    with np.load(path) as file:
        return dict(file)


def tiny(name="net", size=32):
    """The network and what the command makes of the picture for it."""
    model = load_model(f"factories:{name}", None, "cpu")
    preprocessing = make_preprocessing(None, model.n_channels, size)
    return model.module, preprocessing(Image.open("photo.png"))[None]


def expected(module, layer, inputs, target, score=lambda net: net, at_input=False, **options):
    cam = ClusteredLayerCAM(score(module), layer, **options)
    attribution, clusters = cam.attribute(
        inputs, target, attribute_to_layer_input=at_input, return_clusters=True
    )
    gradcam = LayerGradCam(score(module), layer).attribute(
        inputs, target, attribute_to_layer_input=at_input
    )
    return attribution, clusters, gradcam


class TestArrays:
    def test_are_those_of_the_method(self, explain):
        assert explain().exit_code == 0
        module, inputs = tiny()
        target = int(module(inputs).argmax())
        attribution, clusters, gradcam = expected(module, module[1], inputs, target)
        result = arrays()
        assert result["target"] == target
        np.testing.assert_allclose(result["attribution"], attribution[0, 0], rtol=1e-5)
        np.testing.assert_allclose(result["gradcam"], gradcam[0, 0].detach(), rtol=1e-5)
        np.testing.assert_array_equal(result["labels"], clusters.labels[0])
        np.testing.assert_allclose(result["importances"], clusters.importances[0], rtol=1e-4)
        np.testing.assert_allclose(result["maps"], clusters.maps[0], rtol=1e-4)
        np.testing.assert_array_equal(result["sizes"], clusters.sizes[0])
        np.testing.assert_allclose(result["score"], clusters.score[0], rtol=1e-5)
        np.testing.assert_allclose(result["baseline_score"], clusters.baseline_score[0], rtol=1e-5)

    def test_options_reach_the_method(self, explain):
        options = ("--n-clusters", "4", "--scaling", "drop", "--importance", "shapley")
        assert (
            explain(*options, "--n-clusterings", "3", "--seed", "5", "--target", "1").exit_code == 0
        )
        module, inputs = tiny()
        attribution, clusters, _ = expected(
            module,
            module[1],
            inputs,
            1,
            clusterer=4,
            scaling="drop",
            importance="shapley",
            n_clusterings=3,
            seed=5,
        )
        result = arrays()
        assert result["importances"].shape == (4,)
        np.testing.assert_allclose(result["attribution"], attribution[0, 0], rtol=1e-4)
        np.testing.assert_allclose(result["importances"], clusters.importances[0], rtol=1e-4)

    @pytest.mark.parametrize("name", ["probability", "margin"])
    def test_both_methods_explain_the_same_score(self, explain, name):
        assert explain("--score", name, "--target", "2").exit_code == 0
        module, inputs = tiny()
        wrap = getattr(scores, name)
        attribution, clusters, gradcam = expected(module, module[1], inputs, 2, wrap)
        result = arrays()
        np.testing.assert_allclose(result["attribution"], attribution[0, 0], rtol=1e-4)
        np.testing.assert_allclose(result["gradcam"], gradcam[0, 0].detach(), rtol=1e-4)
        np.testing.assert_allclose(result["score"], clusters.score[0], rtol=1e-5)

    def test_layer_input(self, explain):
        assert explain("--layer", "2", "--layer-input", "--target", "0").exit_code == 0
        module, inputs = tiny()
        attribution, _, gradcam = expected(module, module[2], inputs, 0, at_input=True)
        result = arrays()
        assert result["attribution"].shape == (8, 8)
        np.testing.assert_allclose(result["attribution"], attribution[0, 0], rtol=1e-5)
        np.testing.assert_allclose(result["gradcam"], gradcam[0, 0].detach(), rtol=1e-5)

    def test_input_image_and_settings(self, explain):
        assert explain("--mean", "0.5", "--std", "0.2,0.3,0.4").exit_code == 0
        result = arrays()
        resized = Image.open("photo.png").resize((32, 32), Image.Resampling.BILINEAR)
        assert result["input_image"].dtype == np.uint8
        np.testing.assert_array_equal(result["input_image"], np.asarray(resized))
        settings = json.loads(str(result["settings"]))
        line = "resized to 32 x 32, values from 0 to 1, minus 0.5, divided by 0.2, 0.3, 0.4"
        assert settings["preprocessing"] == line
        assert settings["layer"] == "1"
        assert settings["model"] == "factories:net"
        assert settings["image"].endswith("photo.png")

    def test_the_preprocessing_is_printed_and_stored_and_a_guess_is_called_one(self, explain):
        line = (
            "resized to 32 x 32, values from 0 to 1, minus 0.485, 0.456, 0.406, divided by "
            "0.229, 0.224, 0.225 (mean, std: a guess)"
        )
        assert f"Preprocessing: {line}. Give --mean, --std, or let the factory" in explain().stdout
        assert json.loads(str(arrays()["settings"]))["preprocessing"] == line
        result = explain("--mean", "0.5", "--std", "0.5")
        assert "minus 0.5, divided by 0.5.\n" in result.stdout

    def test_a_transform_of_the_factory(self, run, photo):
        usual = ("--model", "factories:with_transform", "--layer", "1", "--out", "out")
        assert "Preprocessing: halved: resized to 32" in run("explain", photo, *usual).stdout
        image = Image.open(photo).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(arrays()["input_image"], np.asarray(image))
        result = run("explain", photo, *usual, "--size", "32")
        assert (
            "size cannot be given beside a transform. To do without the transform of factories"
            in result.stderr
        )

    @pytest.mark.parametrize("options", [("--range", "0,4095"), ("--window", "2048,4096")])
    def test_twelve_bits_in_sixteen(self, explain, options):
        values = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
        values[0, 0] = 4095
        Image.fromarray(values).save("scan.png")
        assert "seems to have 12 bits" in explain(images=["scan.png"]).stdout
        result = explain(*options, images=["scan.png"])
        assert "seems to have 12 bits" not in result.stdout
        assert "Preprocessing: gray values 0 to 4095 shown" in result.stdout
        expected = np.rint(values / 4095 * 255)
        np.testing.assert_array_equal(arrays("out/scan.npz")["input_image"][..., 0], expected)

    def test_names_of_classes(self, explain):
        result = explain("--class-names", "cat, dog,cow", "--target", "1")
        assert "Classes: 0 cat, 1 dog, 2 cow." in result.stdout
        assert json.loads(str(arrays()["settings"]))["class_name"] == "dog"
        explain("--model", "factories:named", "--target", "0")
        assert json.loads(str(arrays()["settings"]))["class_name"] == "malignant"

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("cat,dog", "class_names has 2 names, and factories:net has 3 classes"),
            ("cat,,cow", "--class-names cat,,cow must be different names, one for each class"),
            ("cat,Cat,cow", "must be different names"),
        ],
    )
    def test_names_of_classes_that_do_not_fit(self, explain, names, message):
        assert message in explain("--class-names", names).stderr

    def test_same_twice(self, explain):
        explain()
        first = arrays()
        explain()
        second = arrays()
        assert all(np.array_equal(first[key], second[key]) for key in first)

    def test_torchvision_model(self, explain, tmp_path):
        torch.manual_seed(0)
        net = torchvision.models.resnet18().eval()
        torch.save(net.state_dict(), tmp_path / "r.pth")
        options = ("--model", "resnet18", "--weights", "r.pth", "--layer", "layer4")
        result = explain(*options, "--size", "64", "--target", "281")
        assert result.exit_code == 0
        assert "tabby" in result.stdout
        weights = torchvision.models.ResNet18_Weights.DEFAULT
        inputs = weights.transforms(crop_size=64, resize_size=73)(Image.open("photo.png"))[None]
        attribution, _, _ = expected(net, net.layer4, inputs, 281)
        np.testing.assert_allclose(arrays()["attribution"], attribution[0, 0], rtol=1e-3, atol=1e-6)


class TestOptions:
    """Options that reach the library, whose effect its own tests show."""

    def test_each_is_in_the_result(self, explain, workplace):
        torch.save(torch.arange(12) % 5, "labels.pt")
        options = {
            "n-samples": 3,
            "layer-baseline": 0.25,
            "perturbations-per-eval": 2,
            "clusters": "labels.pt",
            "seed": 4,
        }
        given = [text for name, value in options.items() for text in (f"--{name}", value)]
        assert explain(*given, "--importance", "shapley").exit_code == 0
        found = Explanation.load("out/photo.npz")
        assert found.settings == ExplainerSettings(
            layer="1",
            importance="shapley",
            n_samples=3,
            layer_baselines=0.25,
            perturbations_per_eval=2,
            clusters="labels.pt",
            seed=4,
        )
        assert found.labels.tolist() == [i % 5 for i in range(12)]

    def test_baseline_changes_the_drops(self, explain):
        options = ("--n-clusters", "4", "--target", "1")
        assert explain(*options, "--layer-baseline", "0.5").exit_code == 0
        module, inputs = tiny()
        cam = ClusteredLayerCAM(module, module[1], clusterer=4)
        _, clusters = cam.attribute(inputs, 1, layer_baselines=0.5, return_clusters=True)
        np.testing.assert_allclose(arrays()["importances"], clusters.importances[0], rtol=1e-4)

    def test_clusters_of_an_explanation(self, explain):
        assert explain("--n-clusters", "3").exit_code == 0
        labels = arrays()["labels"]
        result = explain("--clusters", "out/photo.npz", "--seed", "9", "--out", "again")
        assert result.exit_code == 0
        np.testing.assert_array_equal(arrays("again/photo.npz")["labels"], labels)

    def test_views(self, explain, run):
        result = explain("--views", "identity,hflip+zoom(1.15)", "--target", "1")
        assert result.exit_code == 0
        note = "Note: The maps are means over the views identity, hflip+zoom(1.15); the clusters"
        assert result.stdout.count(note) == 1
        found = Explanation.load("out/photo.npz")
        views = ("identity", "hflip+zoom(1.15)")
        assert found.settings.views == views
        module, inputs = tiny()
        cam = ClusteredLayerCAM(module, module[1])
        for method, maps in (
            (cam, found.attribution),
            (LayerGradCam(module, module[1]), found.gradcam),
        ):
            mean = TestTimeAugmentation(method, views).attribute(inputs, 1)
            np.testing.assert_allclose(maps, mean[0, 0], rtol=1e-4, atol=1e-6)
        _, clusters = cam.attribute(inputs, 1, return_clusters=True)
        np.testing.assert_allclose(found.importances, clusters.importances[0], rtol=1e-4)

    @pytest.mark.parametrize("layers", [("1,3",), ("1", "3")])
    def test_several_layers(self, explain, layers):
        options = [part for layer in layers for part in ("--layer", layer)]
        result = explain("--model", "factories:two_sizes", *options, "--fusion", "max")
        assert result.exit_code == 0
        note = "Note: The maps are the maximum over the layers, with equal mass; the clusters are"
        assert result.stdout.count(note) == 1
        settings = Explanation.load("out/photo.npz").settings
        assert (settings.layer, settings.fusion) == (("1", "3"), "max")

    def test_the_usual_layer_is_taken_and_printed(self, run, photo):
        usual = ("--model", "factories:net", "--size", "32", "--out", "out")
        result = run("explain", photo, *usual)
        assert result.exit_code == 0
        assert "Note: Using --layer 1, the usual choice for this model." in result.stdout
        assert Explanation.load("out/photo.npz").settings.layer == "1"

    def test_the_usual_layer_of_a_transformer(self, run, photo):
        usual = ("--model", "factories:tokens", "--size", "32", "--out", "out")
        assert run("explain", photo, *usual).exit_code == 0
        assert Explanation.load("out/photo.npz").settings.channel_dim == -1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--clusters", "nowhere.pt"), "There is no file nowhere.pt"),
            (("--clusters", "photo.png"), "photo.png cannot be read"),
            (("--views", "identity,hflipp"), "gain. Did you mean 'hflip' or 'vflip'?"),
            (("--layer", "", "--layer-input"), "layer_input needs the name of a layer"),
        ],
    )
    def test_mistakes(self, explain, options, message):
        result = explain(*options)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


class TestTransformers:
    def test_tokens_are_arranged(self, explain):
        options = ("--model", "factories:tokens", "--layer", "block", "--channel-dim", "-1")
        result = explain(*options, "--target", "1")
        assert result.exit_code == 0
        assert "LayerGradCam is left out" in result.stdout
        module, inputs = tiny("tokens")
        cam = ClusteredLayerCAM(module, module.block, channel_dim=-1)
        attribution, clusters = cam.attribute(inputs, 1, return_clusters=True)
        saved = arrays()
        assert "gradcam" not in saved
        grid = tokens_to_map(attribution, (8, 8), n_prefix=1)
        np.testing.assert_allclose(saved["attribution"], grid[0, 0], rtol=1e-4)
        maps = tokens_to_map(clusters.maps, (8, 8), n_prefix=1)
        np.testing.assert_allclose(saved["maps"], maps[0], rtol=1e-4)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("tokens", "shape (1, 65, 8), which looks like tokens: use channel_dim=-1"),
            ("channels_last", "which looks like map, channels last: use channel_dim=-1"),
        ],
    )
    def test_forgotten_channel_dim(self, explain, name, expected):
        result = explain("--model", f"factories:{name}", "--layer", "block")
        assert result.exit_code == 1
        assert expected in result.stderr

    def test_registers_are_left_out_and_asked_for_where_there_is_doubt(self, explain):
        options = ("--model", "factories:registers", "--layer", "block", "--channel-dim", "-1")
        assert explain(*options, "--target", "1").exit_code == 0
        module, inputs = tiny("registers")
        cam = ClusteredLayerCAM(module, module.block, channel_dim=-1)
        grid = tokens_to_map(cam.attribute(inputs, 1), (4, 4), n_prefix=9)
        np.testing.assert_allclose(arrays()["attribution"], grid[0, 0], rtol=1e-4)
        # 39 pixels are divided with a rest, whether into 5 or 4.
        result = explain(*options, "--size", "39")
        assert "25 tokens may be 5 x 5 patches behind 0 others or 4 x 4 patches" in result.stderr
        assert explain(*options, "--size", "39", "--n-prefix", "9").exit_code == 0
        assert arrays()["attribution"].shape == (4, 4)
        message = "The layer has 25 tokens, which form no square behind 3"
        assert message in explain(*options, "--n-prefix", "3").stderr
        assert "is for tokens; layer '1' is a map" in explain("--n-prefix", "1").stderr

    def test_tokens_that_form_no_square(self, explain):
        options = ("--model", "factories:unsquare_tokens", "--layer", "block")
        result = explain(*options, "--channel-dim", "-1")
        assert result.exit_code == 1
        assert "shape (1, 60, 8), which is not a spatial map" in result.stderr


class TestFiles:
    def test_one_figure_for_each_image(self, run, photo, usual, whole_figures):
        result = run("explain", photo, *usual([]))
        assert result.exit_code == 0
        with Image.open("out/photo.png") as figure:
            assert figure.format == "PNG"
            assert figure.width == 1600
        assert "Wrote out/photo.png and out/photo.npz" in result.stdout

    def test_same_stem_does_not_overwrite(self, explain, tmp_path):
        (tmp_path / "other").mkdir()
        Image.new("RGB", (8, 8), "white").save(tmp_path / "other" / "photo.jpg")
        Image.new("RGB", (8, 8), "black").save(tmp_path / "Photo.bmp")
        images = ["photo.png", "other/photo.jpg", "Photo.bmp", "photo.png"]
        assert explain(images=images).exit_code == 0
        names = {"photo", "photo-2", "Photo-3", "photo-4"}
        assert {p.name for p in (tmp_path / "out").iterdir()} == {
            f"{name}.{suffix}" for name in names for suffix in ("png", "npz")
        }
        assert arrays("out/photo-2.npz")["input_image"].min() == 255
        assert arrays("out/Photo-3.npz")["input_image"].max() == 0

    def test_names_with_dots_dollars_and_brackets(self, explain, photo):
        photo.rename("a.b $x_ [red]c.png")
        result = explain(images=["a.b $x_ [red]c.png"])
        assert result.exit_code == 0
        assert "a.b $x_ [red]c.npz" in result.stdout
        assert arrays("out/a.b $x_ [red]c.npz")["attribution"].shape == (8, 8)


class TestTables:
    def test_clusters_are_sorted_by_drop(self, explain):
        lines = explain("--n-clusters", "4").stdout.splitlines()
        start = next(i for i, line in enumerate(lines) if line.split()[-1:] == ["Drop"])
        rows = [line.split() for line in lines[start + 2 : start + 6]]
        saved = arrays()
        order = np.argsort(-saved["importances"])
        assert [int(row[0]) for row in rows] == order.tolist()
        assert [int(row[1]) for row in rows] == saved["sizes"][order].tolist()
        drops = [float(row[2]) for row in rows]
        np.testing.assert_allclose(drops, saved["importances"][order], rtol=1e-3)

    def test_classes_with_probabilities(self, explain):
        output = explain("--target", "0").stdout
        module, inputs = tiny()
        for index, probability in enumerate(module(inputs).softmax(1)[0].tolist()):
            explained = "explained" if index == 0 else ""
            row = next(line for line in output.splitlines() if f" class {index} " in line)
            assert row.split()[2:] == [str(index), f"{probability:.2%}", *explained.split()]

    def test_five_most_probable_and_the_explained_class(self, explain):
        module, inputs = tiny("many")
        order = module(inputs)[0].argsort(descending=True).tolist()
        output = explain("--model", "factories:many", "--target", order[-1]).stdout
        rows = [line.split() for line in output.splitlines() if line.startswith(" class ")]
        assert [int(row[1]) for row in rows] == [*order[:5], order[-1]]
        assert [row[4:] for row in rows] == [[]] * 5 + [["explained"]]

    def test_single_logit(self, explain):
        result = explain("--model", "factories:gray")
        assert result.exit_code == 0
        module, inputs = tiny("gray")
        logit = module(inputs).item()
        predicted = int(logit > 0)
        rows = [line.split() for line in result.stdout.splitlines() if line.startswith(" class ")]
        p = 1 / (1 + np.exp(-abs(logit)))
        assert rows == [
            ["class", str(predicted), str(predicted), f"{p:.2%}", "explained"],
            ["class", str(1 - predicted), str(1 - predicted), f"{1 - p:.2%}"],
        ]
        found = Explanation.load("out/photo.npz")
        assert found.target == found.prediction == predicted
        assert found.score == pytest.approx(abs(logit), rel=1e-5)

    def test_each_finding_is_explained_with_its_sigmoid(self, explain):
        result = explain(
            "--model", "factories:findings", "--multi-label", "--class-names", "cyst,mass,scar"
        )
        assert result.exit_code == 0
        # The factory's biases are 3, 3 and -3: sigmoids of about 95, 95 and 5 %.
        module, inputs = tiny("findings")
        percents = [f"{p:.2%}" for p in module(inputs)[0].sigmoid().tolist()]
        assert [p[:2] for p in percents] == ["95", "95", "4."]
        for target, other in ((0, 1), (1, 0)):
            found = Explanation.load(f"out/photo-class{target}.npz")
            assert found.target == target
            assert found.score == pytest.approx(module(inputs)[0, target].item(), rel=1e-4)
            assert set(found.findings) == {0, 1}
            name = ("cyst", "mass")[other]
            assert f"{name} {other} {percents[other]} finding" in " ".join(result.stdout.split())
            drawn = draw_explanation(found).get_suptitle()
            assert f"also found: {name} (95." in " ".join(drawn.split())
        assert sorted(p.name for p in Path("out").glob("*.npz")) == [
            "photo-class0.npz",
            "photo-class1.npz",
        ]

    def test_a_finding_that_is_asked_for(self, explain):
        options = ("--model", "factories:findings", "--multi-label", "--target", "2")
        assert explain(*options).exit_code == 0
        assert arrays()["target"] == 2
        assert arrays()["probabilities"][2] < 0.06

    def test_without_findings_the_most_probable_class_is_explained(self, explain):
        result = explain("--model", "factories:no_findings", "--multi-label")
        assert "photo.png: no class reaches 50 %" in result.stdout
        assert arrays()["target"] == 2

    def test_scores_that_compare_classes_are_refused_for_findings(self, explain):
        result = explain("--multi-label", "--score", "margin")
        assert "score='margin' compares classes" in result.stderr
        assert "accepted are 'logit', 'sigmoid'" in result.stderr

    def test_findings_of_a_multi_label_network(self, explain):
        result = explain("--model", "factories:findings", "--score", "sigmoid")
        rows = [line.split() for line in result.stdout.splitlines() if line.startswith(" class ")]
        percent = {int(row[2]): float(row[3].rstrip("%")) for row in rows}
        # 1 / (1 + exp(-3)) = 95.26 %
        assert percent == pytest.approx({0: 95.26, 1: 95.26, 2: 4.74}, abs=0.05)
        assert "return probabilities" not in result.stdout
        result = explain("--model", "factories:sigmoids")
        assert result.stdout.count("may return probabilities") == 1

    @pytest.mark.parametrize("target", [0, 1])
    @pytest.mark.parametrize("score", ["logit", "margin", "probability", "log_probability"])
    def test_both_classes_of_a_single_logit(self, explain, target, score):
        options = ("--model", "factories:gray", "--score", score, "--target", target)
        assert explain(*options).exit_code == 0
        module, inputs = tiny("gray")
        z = module(inputs).item() * (1 if target else -1)
        p = 1 / (1 + np.exp(-z))
        expected = {"logit": z, "margin": z, "probability": p, "log_probability": np.log(p)}
        found = Explanation.load("out/photo.npz")
        assert found.score == pytest.approx(expected[score], rel=1e-4)
        assert found.probability == pytest.approx(p, rel=1e-4)


class TestEdges:
    def test_all_zero_maps(self, explain):
        with np.errstate(all="raise"):
            assert explain("--model", "factories:silent").exit_code == 0
        saved = arrays()
        assert not saved["attribution"].any()
        assert not saved["gradcam"].any()

    def test_frozen_parameters(self, explain):
        explain("--target", "1")
        learning = arrays()
        assert explain("--model", "factories:frozen", "--target", "1").exit_code == 0
        np.testing.assert_allclose(arrays()["gradcam"], learning["gradcam"], rtol=1e-5)

    def test_more_clusters_than_channels(self, explain):
        result = explain("--n-clusters", "50")
        assert result.exit_code == 0
        words = "n_clusters=50 is more than the 12 channels of layer '1': each channel is a cluster"
        assert words in result.stdout
        assert "n_clusters" not in explain("--n-clusters", "12").stdout
        assert arrays()["sizes"].sum() == 12

    def test_of_many_clusters_the_most_important_are_printed(self, explain):
        result = explain("--model", "factories:wide", "--n-clusters", "5000")
        rows = [row.split() for row in result.stdout.split("Clusters of channels")[1].splitlines()]
        importances = arrays()["importances"]
        assert len(importances) == 64
        numbers = [int(row[0]) for row in rows if len(row) == 3 and row[0].isdigit()]
        assert sorted(numbers) == sorted(np.argsort(-np.abs(importances))[:20].tolist())
        (others,) = [row for row in rows if row[:2] == ["44", "others"]]
        rest = importances.sum() - importances[numbers].sum()
        assert float(others[-1]) == pytest.approx(rest, rel=1e-3)

    def test_the_look_of_figures(self, explain, monkeypatch):
        given = []
        monkeypatch.setattr(
            "captum_clustered.visualization.draw_explanation",
            lambda explanation, **options: given.append(options) or Figure(),
        )
        explain()
        explain("--opacity", "0.2", "--outline", "--keep-colors", "--own-scales")
        assert given == [
            {"outline": False, "keep_colors": False, "scale": "shared"},
            {"opacity": 0.2, "outline": True, "keep_colors": True, "scale": "own"},
        ]


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--model", "resnet51"), "no image classification model 'resnet51'"),
            (("--model", "factories:number"), "must return a torch.nn.Module"),
            (("--model", "factories:maps", "--layer", "x"), "has no layer 'x'"),
            (("--weights", "nope.pth"), "There is no file nope.pth with weights"),
            (
                ("--weights", "photo.png"),
                "photo.png is not a file of weights: give one of torch.save",
            ),
            (("--model", "factories.py:net"), "drop .py, as in an import: factories:net"),
            (("--model", "./sub/factories.py:net"), "as in an import: sub.factories:net"),
            (
                ("--model", "factories:pairs", "--layer", "unuse"),
                "factories:pairs has no layer 'unuse'. Did you mean 'unused'?",
            ),
            (("--layer", "12"), "`captum-clustered layers --model factories:net`"),
            (("--layer", "4"), "shape (1, 3), which is not a spatial map. `captum"),
            (("--layer", "2"), "its input is one: use layer_input"),
            (("--model", "factories:pairs", "--layer", "pair"), "is 2 tensors"),
            (("--model", "factories:pairs", "--layer", "unused"), "is not used when"),
            (("--target", "3"), "target=3 is out of range: factories:net has 3 classes, 0 to 2."),
            (("--target", "-1"), "target=-1 is out of range"),
            (("--channel-dim", "4"), "channel_dim=4 is no dimension of channels"),
            (("--channel-dim", "0"), "channel_dim=0 is no dimension of channels"),
            (("--channel-dim", "-1"), "looks like map: use channel_dim=1"),
            (("--device", "toaster"), "device='toaster': factories:net cannot be moved there"),
            (("--size", "2"), "factories:net fails on an input of shape (1, 3, 2, 2)"),
            (("--out", "photo.png"), "--out photo.png must be a folder; it is a file"),
            (("--out", "photo.png/deeper"), "--out photo.png/deeper cannot be created"),
        ],
    )
    def test_one_sentence(self, explain, options, expected):
        result = explain(*options)
        assert result.exit_code == 1
        assert expected in result.stderr
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""

    def test_unwritable_folder(self, explain, monkeypatch):
        # Permissions do not bind an administrator, so the question is answered here.
        monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
        result = explain()
        assert result.exit_code == 1
        assert "--out out cannot be written to" in result.stderr

    def test_file_that_cannot_be_written(self, explain, tmp_path):
        (tmp_path / "out" / "photo.png").mkdir(parents=True)
        result = explain()
        assert result.exit_code == 1
        assert "out/photo.png cannot be written" in result.stderr

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--mean", "a"), "must be numbers"),
            (("--mean", "1,2"), "must be 1 or 3 numbers"),
            (("--mean", "127"), "must be from 0 to 1"),
            (("--mean", "nan"), "must be from 0 to 1"),
            (("--std", "0"), "must be above 0"),
            (("--std", "0.2,0,0.2"), "must be above 0"),
            (("--range", "a,b"), "must be numbers"),
            (("--range", "5"), "must be two numbers"),
            (("--window", "40,0"), "a width above 1"),
            (("--range", "0,1", "--window", "1,2"), "not both"),
            (("--scaling", "nope"), "density"),
            (("--n-clusters", "0"), "--n-clusters"),
        ],
    )
    def test_usage(self, explain, options, expected):
        result = explain(*options)
        assert result.exit_code == 2
        assert expected in result.stderr


class TestSomeImagesFail:
    def test_others_are_done(self, explain, tmp_path):
        (tmp_path / "text.png").write_text("no picture")
        whole = (tmp_path / "photo.png").read_bytes()
        (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
        images = ["missing.png", "text.png", "half.png", "out", "photo.png"]
        (tmp_path / "out").mkdir()
        result = explain(images=images)
        assert result.exit_code == 1
        assert arrays()["attribution"].shape == (8, 8)
        assert "There is no file missing.png" in result.stderr
        assert "text.png is not an image" in result.stderr
        assert "half.png cannot be read as an image" in result.stderr
        assert "out is a folder; `captum-clustered run --data out` explains" in result.stderr
        assert "Error: 4 of 5 images failed." in result.stderr

    def test_single_image(self, explain):
        # The model is not loaded before.
        result = explain("--model", "factories:broken", images=["missing.png"])
        assert result.exit_code == 1
        assert result.stderr == "Error: There is no file missing.png.\n"
        assert not Path("out").exists()

    def test_a_folder_names_the_command_for_it(self, explain, tmp_path):
        (tmp_path / "scans").mkdir()
        result = explain(images=["scans"])
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: scans is a folder; `captum-clustered run --data scans` explains its images.\n"
        )
        assert not Path("out").exists()

    def test_a_huge_image_is_a_note(self, explain, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        result = explain()
        assert "pixels; it takes" in result.stdout
        assert "ecompression" not in result.output
