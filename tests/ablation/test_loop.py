"""One forward pass for each ablation."""

import pytest
import torch
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.loop import per_ablation_loop
from captum_clustered._ablation.planner import AblationPlanner
from captum_clustered._ablation.request import AblationRequest
from captum_clustered._clustering.clusterers import make_clusterer


def request(net, layer, x, labels, progress=lambda done, total: None):
    planner = AblationPlanner(
        n_examples=len(x),
        clusterer=make_clusterer(torch.tensor(labels), 1, 0),
        importance=IMPORTANCES["ablation"],
        n_samples=1,
        seed=0,
        channel_dim=1,
        layer_baselines=None,
        with_baseline_score=True,
        layer_name="mine",
    )
    return AblationRequest(lambda: net(x), layer, False, planner, None, progress)


def test_scores_by_hand():
    layer = nn.Identity()
    x = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]])[..., None, None]
    seen = []
    made = request(
        lambda x: layer(x).sum((1, 2, 3)), layer, x, [0, 1, 0], lambda *at: seen.append(at)
    )
    found = per_ablation_loop(made, None)
    # The sum of all channels, of none, without channels 0 and 2, without channel 1.
    assert found.scores.tolist() == [[7, 15], [0, 0], [2, 5], [5, 10]]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_only_the_last_call_is_ablated():
    layer = nn.Identity()
    x = torch.ones(1, 2, 1, 1)
    found = per_ablation_loop(
        request(lambda x: (layer(x) + layer(2 * x)).sum((1, 2, 3)), layer, x, [0, 1]), None
    )
    # The first call adds 1 for each channel, whatever is ablated of the second.
    assert found.scores.tolist() == [[6], [2], [4], [4]]


def test_a_call_without_tensors_is_not_ablated():
    class Maybe(nn.Module):
        def forward(self, x):
            return x

    layer = Maybe()
    x = torch.ones(1, 2, 1, 1)

    def net(x):
        layer(None)
        return layer(x).sum((1, 2, 3))

    found = per_ablation_loop(request(net, layer, x, [0, 1]), None)
    assert found.scores.tolist() == [[2], [0], [1], [1]]


def test_the_loop_names_a_layer_that_is_not_reached(monkeypatch):
    def refuse(request):
        raise OSError("switched off")

    monkeypatch.setattr("captum_clustered._ablation.evaluate.vmap_pass", refuse)
    with pytest.raises(ValueError, match="layer ReLU was not reached"):
        ClusteredLayerCAM(MlpHead().double(), nn.ReLU()).attribute(images(), 0)
