import itertools
import math

import pytest
import torch
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation.coalitions import (
    IMPORTANCES,
    Importance,
    LeaveOneOut,
    WeightedCoalitions,
    shapley,
)


def unused():
    raise AssertionError("exact Shapley values need not know which clusters are empty")


def all_of(n_examples, n_clusters):
    return lambda: torch.ones(n_examples, n_clusters, dtype=torch.bool)


def values_of(design, value):
    """v(T) - v(all) of the empty coalition and of the design's own, for one example."""
    n = design.coalitions.shape[2]
    full = value(frozenset(range(n)))
    coalitions = [frozenset()] + [
        frozenset(row[0].nonzero().flatten().tolist()) for row in design.coalitions
    ]
    return torch.tensor([[value(c) - full] for c in coalitions], dtype=torch.float64)


def random_game(seed):
    """A value for each coalition, drawn when it is first asked for."""
    generator = torch.Generator().manual_seed(seed)
    known = {}

    def value(coalition):
        if coalition not in known:
            known[coalition] = float(torch.randn((), generator=generator))
        return known[coalition]

    return value


def brute_force(n, value):
    """Mean marginal contribution over all orders of the clusters."""
    total = [0.0] * n
    for order in itertools.permutations(range(n)):
        for position, cluster in enumerate(order):
            before = frozenset(order[:position])
            total[cluster] += value(before | {cluster}) - value(before)
    return torch.tensor([t / math.factorial(n) for t in total], dtype=torch.float64)


def test_leave_one_out_is_the_fall_of_the_score():
    design = LeaveOneOut(3)
    # v(all) = 10; without cluster 0, 1, 2: 4, 9, 12.
    gains = torch.tensor([[-10.0], [-6.0], [-1.0], [2.0]])
    assert torch.equal(design.importances(gains), torch.tensor([[6.0, 1.0, -2.0]]))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_exact_shapley_equals_brute_force_over_all_orders(n):
    value = random_game(n)
    design = shapley(n, unused, n_samples=1, seed=0)
    assert len(design.coalitions) == 2**n - 2
    importances = design.importances(values_of(design, value))[0]
    torch.testing.assert_close(importances, brute_force(n, value))


def test_exact_shapley_of_a_hand_computed_design():
    value = {(): 0.0, (0,): 4.0, (1,): 1.0, (0, 1): 6.0}
    design = shapley(2, unused, n_samples=1, seed=0)
    gains = values_of(design, lambda c: value[tuple(sorted(c))])
    torch.testing.assert_close(design.importances(gains)[0], torch.tensor([4.5, 1.5]).double())


def test_sampled_shapley_is_complete_and_exact_for_additive_designs():
    worth = torch.arange(12).double()
    design = shapley(12, all_of(1, 12), n_samples=3, seed=0)
    assert len(design.coalitions) == 3 * 11
    gains = values_of(design, lambda c: float(sum(worth[i] for i in c)))
    torch.testing.assert_close(design.importances(gains)[0], worth)
    value = random_game(5)
    gains = values_of(design, value)
    total = value(frozenset(range(12))) - value(frozenset())
    assert design.importances(gains).sum().item() == pytest.approx(total)


def test_sampled_shapley_takes_each_order_and_its_reverse():
    design = shapley(11, all_of(1, 11), n_samples=2, seed=0)
    forth, back = design.coalitions[:10, 0], design.coalitions[10:, 0]
    assert torch.equal(back, ~forth.flip(0))


def test_sampled_shapley_approaches_the_exact_value():
    generator = torch.Generator().manual_seed(0)
    pair = torch.rand(11, 11, generator=generator, dtype=torch.float64)

    def value(coalition):
        index = torch.tensor(sorted(coalition), dtype=torch.long)
        return float(pair[index][:, index].sum())

    # Of a design of pairs, each cluster gets half of what it has with the others.
    exact = (pair.sum(0) + pair.sum(1)) / 2
    design = shapley(11, all_of(1, 11), n_samples=2, seed=0)
    # An order and its reverse together are exact for pairs.
    torch.testing.assert_close(design.importances(values_of(design, value))[0], exact)


def test_sampling_depends_on_seed_and_number_of_present_clusters_alone():
    present = torch.ones(3, 13, dtype=torch.bool)
    present[1, 4] = False
    together = shapley(13, lambda: present, n_samples=4, seed=7)
    alone = shapley(12, all_of(1, 12), n_samples=4, seed=7)
    others = [i for i in range(13) if i != 4]
    size = len(alone.coalitions)
    assert torch.equal(together.coalitions[:size, 1][:, others], alone.coalitions[:, 0])
    assert torch.equal(together.weights[1, others, : size + 1], alone.weights[0])
    assert torch.equal(together.weights[0], together.weights[2])
    assert not torch.equal(
        shapley(13, lambda: present, n_samples=4, seed=8).coalitions, together.coalitions
    )


def test_many_slots_with_few_present_clusters_are_exact():
    present = torch.zeros(1, 20, dtype=torch.bool)
    present[0, [3, 11, 17]] = True
    design = shapley(20, lambda: present, n_samples=4, seed=0)
    value = random_game(9)
    gains = values_of(design, lambda c: value(frozenset(c) & {3, 11, 17}))
    expected = torch.zeros(20, dtype=torch.float64)
    relabeled = {3: 0, 11: 1, 17: 2}
    inverse = {v: k for k, v in relabeled.items()}
    exact = brute_force(3, lambda c: value(frozenset(inverse[i] for i in c)))
    for slot, index in relabeled.items():
        expected[slot] = exact[index]
    # The empty coalition of the three is evaluated as the design's empty coalition.
    torch.testing.assert_close(design.importances(gains)[0], expected)


def alone(n_clusters, present, n_samples, seed):
    """What each cluster reaches by itself: v({j}) - v(none)."""
    weights = torch.cat([-torch.ones(n_clusters, 1), torch.eye(n_clusters)], 1)
    return WeightedCoalitions(torch.eye(n_clusters, dtype=torch.bool)[:, None], weights[None])


def test_a_new_importance_needs_only_its_entry(monkeypatch):
    entry = Importance(
        "alone",
        label="score alone",
        criterion="their score alone",
        needs_baseline_score=True,
        n_coalitions=lambda n_clusters, n_samples: n_clusters,
        design=alone,
    )
    monkeypatch.setitem(IMPORTANCES, "alone", entry)
    layer, x = nn.Identity(), torch.tensor([[2.0, 3.0, 5.0]])[..., None, None]
    cam = ClusteredLayerCAM(
        lambda x: (1 + layer(x).flatten(1)).prod(1),
        layer,
        clusterer=torch.tensor([0, 1, 0]),
        importance="alone",
    )
    _, clusters = cam.attribute(x, return_clusters=True)
    # Of channels 0 and 2 alone, 3 times 6, and of channel 1 alone, 4; less 1 of the baseline.
    assert clusters.importances.tolist() == [[17, 3]]
    assert clusters.baseline_score.tolist() == [1]
