"""What a layer held when the model ran."""

from __future__ import annotations

from typing import Any

import torch
from captum._utils.common import _reduce_list, _sort_key_list

from captum_clustered._ablation.hooks import Tensors


class Recorder:
    """
    Keeps the tensors of the layer's last call, on each device that runs it.

    Attributes:

        tensors (dict): The layer's tensors by device; empty if it was not called.
        calls (dict): The number of the layer's calls by device.
    """

    def __init__(self) -> None:
        self.tensors: dict[torch.device, Tensors] = {}
        self.calls: dict[torch.device, int] = {}

    def record(self, tensors: Tensors) -> None:
        """The edit of a tap, which changes nothing."""
        # A layer without tensors is recorded too, for the plan to name the mistake.
        device = tensors[0].device if tensors else torch.device("cpu")
        # Copies: in-place operations behind the layer must not reach what we keep.
        self.tensors[device] = tuple(tensor.clone() for tensor in tensors)
        self.calls[device] = self.calls.get(device, 0) + 1

    def devices(self, device_ids: list[int] | None) -> list[torch.device]:
        """The devices in the order of their parts of the batch."""
        return _sort_key_list(list(self.tensors), device_ids)

    def gathered(self, device_ids: list[int] | None) -> Tensors:
        """The tensors of the whole batch, on the first device."""
        parts: Any = [self.tensors[device] for device in self.devices(device_ids)]
        return tuple(_reduce_list(parts))
