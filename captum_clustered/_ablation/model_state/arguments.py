"""What a model writes into its own arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils import _pytree as pytree

from captum_clustered._ablation.model_state.tensor_values import TensorValues, has_values


class CallArguments:
    """
    The tensors that each forward pass receives, and their values before the first one.

    A model may write into its inputs (``x.sub_(mean)``). All passes must see the same image, and
    afterwards the user's tensors must be as one pass without ablation leaves them. Values are
    compared, since there are writes that a tensor's version does not count; this happens only
    if there is more than one pass.

    Args:

        *arguments: Tensors, in any nesting of tuples, lists and dictionaries.
    """

    def __init__(self, *arguments: object) -> None:
        leaves = {id(leaf): leaf for leaf in pytree.tree_leaves(arguments)}.values()
        self._tensors = [leaf for leaf in leaves if has_values(leaf)]
        self._before = TensorValues(self._tensors)
        self._after: TensorValues | None = None
        self._has_started = self._is_complete = False

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Restore the values from before the first pass for the pass inside this context."""
        if self._has_started:
            is_changed = self._before.have_changed
            # The first pass that ends is one without ablation.
            if self._is_complete and self._after is None:
                self._after = TensorValues(self._tensors) if is_changed else self._before
            if is_changed:
                self._before.restore()
        self._has_started = True
        yield
        self._is_complete = True

    def settle(self) -> None:
        """Leave the tensors as the first complete pass has left them."""
        if self._after is not None:
            self._after.restore()
