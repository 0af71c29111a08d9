"""The metrics and methods that a comparison knows by name."""

import inspect
from pathlib import Path

import pytest
import torch

from captum_clustered.comparison import Case, compare
from captum_clustered.comparison.methods import METHODS
from captum_clustered.comparison.metrics import N_SHIFTS, RADIUS, default_metrics, make_metrics
from captum_clustered.metrics._registry import METRICS

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {
    **{name: ("metrics.md", info) for name, info in METRICS.items() if not info.is_variant},
    **{name: ("comparison.md", info) for name, info in METHODS.items()},
}


@pytest.mark.parametrize("name", ROWS)
def test_the_documentation_has_its_row(name):
    page, info = ROWS[name]
    assert f"\n{info.row()}\n" in (DOCS / page).read_text(encoding="utf-8")


def test_help_lists_all_names():
    text = inspect.getdoc(compare)
    assert "$" not in text
    for name in (*METRICS, *METHODS):
        assert f'"{name}"' in " ".join(text.split())


def test_masks_add_to_the_default_metrics_and_come_last():
    without, with_masks = default_metrics(has_masks=False), default_metrics(has_masks=True)
    assert with_masks[: len(without)] == without
    assert all(METRICS[name].takes("masks") for name in with_masks[len(without) :])
    assert len(with_masks) == len(without) + 5


def test_max_sensitivity_is_the_largest_change_of_each_images_own_map():
    inputs = torch.rand(3, 2, 4, 5)

    def explain(batch, target):
        return batch.inputs.sum(1, keepdim=True)

    case = Case(
        method="sum",
        inputs=inputs,
        target=torch.zeros(3, dtype=torch.long),
        attributions=inputs.sum(1, keepdim=True),
        labels=None,
        masks=None,
        forward_func=torch.nn.Identity(),
        probability=torch.nn.Identity(),
        explainer=explain,
        seed=0,
    )
    generator, expected = torch.Generator().manual_seed(0), torch.zeros(3)
    for _ in range(N_SHIFTS):
        shifted = inputs + (2 * torch.rand(inputs.shape, generator=generator) - 1) * RADIUS
        change = (shifted.sum(1).relu() - inputs.sum(1)).flatten(1).norm(dim=1)
        expected = expected.maximum(change / inputs.sum(1).flatten(1).norm(dim=1))
    found = make_metrics(["max-sensitivity"], has_masks=False)["max-sensitivity"].function(case)
    torch.testing.assert_close(found, expected)
