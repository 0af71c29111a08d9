import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The same arithmetic on machines of any size."""
    torch.set_num_threads(2)
