from pathlib import Path

import pytest
from study import auc, front, images


def pytest_collection_modifyitems(items):
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("study")


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch):
    """Use enough resamples for intervals of a handful of patients, and measure costs twice."""
    monkeypatch.setattr(auc, "N_RESAMPLES", 50)
    monkeypatch.setattr(front, "N_ROUNDS", 2)


@pytest.fixture
def small_inputs(monkeypatch):
    """Give the networks inputs of a few positions of the last layer."""
    monkeypatch.setattr(images, "SIDE", 64)
