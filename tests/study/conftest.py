from pathlib import Path

import pytest
from study import auc


def pytest_collection_modifyitems(items):
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("study")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Use enough resamples for intervals of a handful of patients."""
    monkeypatch.setattr(auc, "N_RESAMPLES", 200)
