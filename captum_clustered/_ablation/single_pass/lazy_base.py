"""Tensors that wait: their values are computed only when a function needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from captum_clustered._ablation.memory_cap import PassEnds, SizeLimit


class CannotBeLazyError(PassEnds):
    """The ablation must be computed at the layer, for this model or this many evaluations."""


class LazyState(Protocol):
    """The data of a lazy tensor."""

    @property
    def like(self) -> Tensor:
        """A tensor of the same shape, dtype and device; the values, once they are computed."""
        ...

    def materialize(self) -> Tensor:
        """Return the values."""
        ...


Rule = Callable[[Any, "LazyTensor", tuple[Any, ...], dict[str, Any]], Any]


class LazyTensor(Tensor):
    """
    A tensor whose values are computed when they are needed.

    It is a tensor without memory, whose ``__torch_function__``
    (`Extending PyTorch <https://pytorch.org/docs/stable/notes/extending.html>`_) receives each
    call of torch with it. A function with a rule in ``rules`` gets the lazy tensor, any other
    function gets the computed one.

    Code that bypasses torch's functions fails; it does not return a wrong number. Only the test
    ``type(x) is Tensor`` behaves differently without an error.
    """

    # A rule returns NotImplemented if it does not fit the arguments.
    rules: ClassVar[dict[Any, Rule]] = {}

    @classmethod
    def of(cls, state: LazyState) -> Any:
        """Make the tensor of a state."""
        like = state.like
        tensor = Tensor._make_wrapper_subclass(
            cls, like.shape, dtype=like.dtype, device=like.device
        )
        tensor.__dict__["_state"] = state
        return tensor

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of the function, if there is one, else the function itself."""
        kwargs = kwargs or {}
        if func in _COMMUTATIVE and len(args) == 2 and not isinstance(args[0], LazyTensor):
            args = args[::-1]
        # With out=, a function writes into a tensor of the caller.
        if args and isinstance(args[0], LazyTensor) and kwargs.get("out") is None:
            rule = _rule_of(func, type(args[0]))
            found = NotImplemented if rule is None else rule(func, args[0], args[1:], kwargs)
            if found is not NotImplemented:
                return found
        values, kwargs = pytree.tree_map_only(LazyTensor, materialize, (args, kwargs))
        found = func(*values, **kwargs)
        # A function in place returns its argument, and the model may rely on that.
        return args[0] if args and found is values[0] else found

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Refuse what has bypassed ``__torch_function__``."""
        raise CannotBeLazyError(f"{func} was called on a tensor without values.")


_COMMUTATIVE = frozenset({torch.add, Tensor.add})


def state_of(tensor: LazyTensor) -> Any:
    """Return what the tensor was made of."""
    return tensor.__dict__["_state"]


def materialize(tensor: Tensor) -> Tensor:
    """Return a lazy tensor's values, unless they are too many; any other tensor as it is."""
    if not isinstance(tensor, LazyTensor):
        return tensor
    values: Tensor = state_of(tensor).materialize()
    return values


def check_size(tensor: Tensor, limit: SizeLimit) -> None:
    """Raise CannotBeLazyError if a lazy tensor like this one is too large to be computed."""
    if tensor.numel() > limit.max_elements:
        raise CannotBeLazyError(f"{tensor.numel()} elements are too many.")
    if limit.before_computing is not None:
        limit.before_computing()


def n_writes(tensor: Tensor) -> int | None:
    """Return how often a tensor was written into; None if torch does not count this."""
    return None if tensor.is_inference() else tensor._version


def _metadata(func: Any, tensor: LazyTensor, rest: Any, kwargs: Any) -> Any:
    """Return metadata such as shape and dtype, which ablation does not change."""
    return func(state_of(tensor).like, *rest, **kwargs)


_PROPERTIES = {
    Tensor.shape,
    Tensor.dtype,
    Tensor.device,
    Tensor.ndim,
    Tensor.layout,
    Tensor.is_cuda,
    Tensor.is_meta,
    Tensor.is_quantized,
    Tensor.requires_grad,
}
METADATA: dict[Any, Rule] = dict.fromkeys(
    (
        Tensor.size,
        Tensor.dim,
        Tensor.numel,
        Tensor.__len__,
        Tensor.is_floating_point,
        torch.is_floating_point,
    ),
    _metadata,
)


def is_metadata(func: Any) -> bool:
    """Return whether a function reads metadata only."""
    # The getter of a property is a new object each time.
    is_getter = getattr(func, "__name__", "") == "__get__" and func.__self__ in _PROPERTIES
    return is_getter or func in METADATA


def _rule_of(func: Any, kind: type[LazyTensor]) -> Rule | None:
    return _metadata if is_metadata(func) else kind.rules.get(func)
