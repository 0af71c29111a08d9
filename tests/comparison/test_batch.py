from types import SimpleNamespace

import torch

from captum_clustered.comparison import batch


def test_memory_is_measured_on_the_device_of_the_images(monkeypatch):
    seen = []

    def record(result):
        return lambda device=None: seen.append(device) or result

    monkeypatch.setattr(torch.cuda, "synchronize", record(None))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", record(None))
    monkeypatch.setattr(torch.cuda, "memory_allocated", record(3))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", record(10))
    with batch._measured(0, SimpleNamespace(device=torch.device("cuda", 1))) as cost:
        pass
    assert cost["peak_memory"] == 7
    assert set(seen) == {torch.device("cuda", 1)}
