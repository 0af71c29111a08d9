import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Batches this small only wait for further threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
