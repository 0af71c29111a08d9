import numpy as np
import pandas as pd
import pytest
import torch
from study.front import draw_front, forward_seconds

from captum_clustered.comparison import Comparison

VALUES = {"ClusteredLayerCAM": 10.0, "LayerGradCam": 30.0, "EigenCAM": 20.0, "Fake-CAM": 1.0}
SECONDS = {"ClusteredLayerCAM": 0.2, "LayerGradCam": 0.1, "EigenCAM": 0.4, "Fake-CAM": 0.0}


def comparison():
    rows = [
        {
            "image": image,
            "method": method,
            "metric": "average drop",
            "value": value,
            "seconds": SECONDS[method],
            "forward_examples": 1.0,
            "peak_memory": np.nan,
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
    axis = draw_front(comparison(), seconds=0.1).axes[0]
    dots = [line.get_xydata() for line in axis.lines if line.get_marker() == "o"]
    dots = [tuple(dot[0]) for dot in dots if len(dot)]
    assert np.array(dots) == pytest.approx(np.array([(2, 10), (1, 30), (4, 20)]))
    (steps,) = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
    # EigenCAM costs more than ClusteredLayerCAM and is worse.
    assert steps.get_xydata() == pytest.approx(np.array([(1, 30), (2, 10)]))


def test_seconds_are_per_image():
    class Counting(torch.nn.Module):
        n_calls = 0

        def forward(self, x):
            self.n_calls += 1
            assert not torch.is_grad_enabled()
            return x

    net = Counting()
    assert forward_seconds(net, torch.zeros(4, 1)) > 0
    assert net.n_calls == 8
