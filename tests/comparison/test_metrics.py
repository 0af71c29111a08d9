"""The metrics and methods that a comparison knows by name."""

import inspect
from pathlib import Path

import pytest

from captum_clustered.comparison import compare
from captum_clustered.comparison.methods import METHODS
from captum_clustered.comparison.metrics import default_metrics
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
