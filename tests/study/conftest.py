from pathlib import Path

import pytest
import torch.utils.data
from study import auc, front, images

from captum_clustered import _fit


def pytest_collection_modifyitems(items):
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("study")


@pytest.fixture(autouse=True, scope="session")
def impatient_loaders():
    """Wait for a reader that does not end for a moment, instead of torch's five seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
        yield


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch):
    """Resample little, measure costs twice, and fit clusters from one start."""
    monkeypatch.setattr(auc, "N_RESAMPLES", 50)
    monkeypatch.setattr(_fit, "FIT_RESTARTS", 1)
    monkeypatch.setattr(front, "N_ROUNDS", 2)


@pytest.fixture
def small_inputs(monkeypatch):
    """Give the networks inputs of a few positions of the last layer."""
    monkeypatch.setattr(images, "SIDE", 64)
