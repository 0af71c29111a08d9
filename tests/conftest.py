import pytest
import torch


@pytest.fixture
def no_single_pass(monkeypatch):
    """Makes every attribution take the reference path, without its warning."""

    def refuse(task):
        raise RuntimeError("single pass switched off by the test")

    monkeypatch.setattr("captum_clustered.clustered_layer_cam.single_pass", refuse)
    return pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True, scope="session")
def two_threads():
    """The same arithmetic on machines of any size."""
    torch.set_num_threads(2)
