import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Give the same arithmetic on every machine, and leave its other cores to other workers."""
    torch.set_num_threads(1)
