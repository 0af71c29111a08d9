import pytest
import torch
from study import auc


@pytest.fixture(autouse=True)
def one_thread():
    """Batches this small only wait for further threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Enough for intervals of a handful of patients."""
    monkeypatch.setattr(auc, "N_RESAMPLES", 200)
