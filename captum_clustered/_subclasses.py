"""Subclasses of Tensor, such as MONAI's MetaTensor: the method computes on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def plain(tensor: Tensor) -> Tensor:
    """
    Return the tensor, which shares its memory, without what a subclass adds to it.

    A subclass may change or forbid functions that the method needs. Subclasses that have no
    memory themselves (those with ``__torch_dispatch__``) are returned as they are.
    """
    kind = type(tensor)
    if kind is Tensor or kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(Tensor)


def like(template: Tensor, values: Tensor) -> Tensor:
    """
    Return plain values in the subclass of a template of their shape, which is overwritten.

    The template is the result of an operation on a tensor of the subclass, which so decides what
    an operation keeps of it.
    """
    if type(template) is Tensor or type(template) is type(values):
        return values
    plain(template).copy_(values)
    return template
