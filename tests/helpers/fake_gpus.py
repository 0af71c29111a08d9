"""Tensors without memory on GPUs that need not be there."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch._subclasses import FakeTensorMode


@contextmanager
def fake_gpus() -> Iterator[None]:
    """Make tensors on "cuda" without memory; operations check devices as they do on real GPUs."""
    if torch.cuda.is_available():
        pytest.skip("where there are GPUs, fake tensors use them")
    with FakeTensorMode():
        try:
            torch.ones(2, device="cuda:0")[0]
        except (RuntimeError, AssertionError):
            pytest.skip("this version of torch needs a real GPU for fake tensors, too")
        yield
