"""Our own arithmetic in the precision that we chose for it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """
    Keeps matrix products in the dtype of their operands.

    The layer's hook runs inside the caller's or the model's autocast region, which would
    turn k-means and Gram matrices of float32 rows into half precision.
    """
    context: AbstractContextManager[None] = torch.autocast(tensor.device.type, enabled=False)
    return context
