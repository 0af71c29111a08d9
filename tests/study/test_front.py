import numpy as np
import pandas as pd
import pytest
import torch
from nets import GapLinear, images
from study.front import costs, draw_front
from study.networks import Target

from captum_clustered import ClusteredLayerCAM
from captum_clustered.comparison import Comparison

COSTS = {"ClusteredLayerCAM": 2.0, "LayerGradCam": 1.0, "EigenCAM": 4.0}
VALUES = {"ClusteredLayerCAM": 10.0, "LayerGradCam": 30.0, "EigenCAM": 20.0, "Fake-CAM": 1.0}


def comparison():
    rows = [
        {
            "image": image,
            "method": method,
            "metric": "average drop",
            "value": value,
        }
        for method, value in VALUES.items()
        for image in (0, 1)
    ]
    return Comparison(
        frame=pd.DataFrame(rows),
        failures=pd.DataFrame(),
        directions={"average drop": "lower"},
        methods=list(VALUES),
        controls=["Fake-CAM"],
        reference="LayerGradCam",
        metric_seconds=pd.DataFrame(),
    )


def test_methods_stand_at_their_cost_and_value_and_the_front_has_no_beaten_one():
    axis = draw_front(comparison(), COSTS).axes[0]
    dots = [line.get_xydata() for line in axis.lines if line.get_marker() == "o"]
    dots = [tuple(dot[0]) for dot in dots if len(dot)]
    assert np.array(dots) == pytest.approx(np.array([(2, 10), (1, 30), (4, 20)]))
    (steps,) = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
    # EigenCAM costs more than ClusteredLayerCAM and is worse.
    assert steps.get_xydata() == pytest.approx(np.array([(1, 30), (2, 10)]))


def test_costs_are_measured_for_methods_with_a_factory_and_kept(tmp_path, monkeypatch):
    net = GapLinear()
    methods = ["LayerGradCam", {"own": lambda f, layer: ClusteredLayerCAM(f, layer, clusterer=2)}]
    path = tmp_path / "costs.json"
    found = costs(
        path,
        [*methods, "ClusteredLayerCAM(clusterer=3)"],
        net,
        "margin",
        Target(net.relu, at_input=False),
        images(2, dtype=torch.float32),
    )
    assert list(found) == ["LayerGradCam", "own"]
    assert all(cost > 0 for cost in found.values())
    monkeypatch.setattr(ClusteredLayerCAM, "attribute", None)
    assert costs(path, methods, net, "margin", None, None) == found
