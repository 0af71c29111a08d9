"""Convolutions behind the layer, and the batch normalizations that follow on them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from captum_clustered._ablation.batches import EvaluationBatch
from captum_clustered._ablation.single_pass.convolutions import (
    CONVOLUTIONS,
    Convolution,
    scale_and_shift,
)
from captum_clustered._ablation.single_pass.layout_watch import LayoutWatch
from captum_clustered._ablation.single_pass.lazy_base import (
    CannotBeLazyError,
    LazyTensor,
    Rule,
    is_metadata,
    state_of,
)

# On others, nobody has measured whether it helps.
DEVICES = ("cpu", "cuda")


def n_modes() -> int:
    """Return how many modes of torch the current thread is in."""
    return len(_get_current_function_mode_stack())


class TailHelp(TorchFunctionMode):
    """
    Computes convolutions and batch normalizations of all evaluations faster than vmap does.

    A convolution of many images takes less time, on a CPU up to half, if the channels are last
    in memory, and vmap copies the operand of a batch normalization twice. Here the evaluations
    are examples of one batch, whose channels are last from the first convolution on. Each
    convolution waits for the next function: if that is a batch normalization of its output,
    with running statistics, the convolution's weights are scaled instead.

    Attributes:

        is_autocast (bool): Whether a convolution was called in an autocast region.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_autocast = False
        self._waiting: _State | None = None
        self._layout = LayoutWatch()
        interpreter = _functorch.peek_interpreter_stack()
        # Not a vmap of the model's own, which would get the outputs that wait.
        self._level = 0 if interpreter is None else interpreter.level()

    def start(self, until: ExitStack, n_before: int) -> bool:
        """
        Help until a context ends; return whether there is help.

        Modes are left in the reverse order. So there is no help if the model is in more of
        them than the pass was at its start, since it leaves these before the context ends.
        """
        if n_modes() != n_before:
            return False
        until.enter_context(self)
        return True

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function."""
        kwargs = kwargs or {}
        if is_metadata(func):
            return func(*args, **kwargs)
        waiting, self._waiting = self._waiting, None
        found = None
        if func is F.batch_norm and args:
            found = self._batch_norm(waiting, *args, **kwargs)
        if found is None and waiting is not None:
            # Now, because what follows may write into its input.
            waiting.materialize()
        if func in CONVOLUTIONS and any(map(_is_in_autocast, (*args, *kwargs.values()))):
            self.is_autocast = True
        if func is torch.conv2d and args:
            self._waiting = self._convolution(*args, **kwargs)
            found = None if self._waiting is None else _ConvolutionOutput.of(self._waiting)
        return self._layout.call(func, args, kwargs) if found is None else found

    def _batch_of(self, tensor: Any) -> EvaluationBatch | None:
        """Return the evaluations of a tensor for which there is help."""
        is_known = isinstance(tensor, Tensor) and tensor.dtype in (torch.float32, torch.float64)
        if not is_known or tensor.device.type not in DEVICES or torch.is_grad_enabled():
            return None
        is_autocast = torch.is_autocast_enabled(tensor.device.type)
        batch = None if is_autocast else EvaluationBatch.of(tensor)
        return None if batch is None or batch.level != self._level else batch

    def _convolution(self, images: Any, *args: Any, **kwargs: Any) -> _State | None:
        batch = self._batch_of(images)
        convolution = Convolution.of(*args, **kwargs) if batch else None
        if batch is None or convolution is None or convolution.weight.dtype != images.dtype:
            return None
        shape = convolution.output_shape(images.shape)
        if shape is None:
            return None
        examples = batch.unpack(images).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return _State(examples, convolution, batch, examples.new_empty(()).expand(shape))

    def _batch_norm(
        self, waiting: _State | None, images: Any, *args: Any, **kwargs: Any
    ) -> Tensor | None:
        """Return the output of a batch normalization; None if there is no help for it."""
        found = scale_and_shift(*args, **kwargs)
        # A mode of the user may change what a batch normalization does.
        others = [m for m in _get_current_function_mode_stack() if type(m) is not DeviceContext]
        if found is None or others:
            return None
        if waiting is not None and isinstance(images, LazyTensor) and state_of(images) is waiting:
            return waiting.normalized(*found)
        batch = self._batch_of(images)
        if batch is None:
            return None
        output = F.batch_norm(batch.unpack(images).flatten(0, 1), *args, **kwargs)
        return batch.pack(output.unflatten(0, (batch.size, -1)))


def _is_in_autocast(arg: Any) -> bool:
    return isinstance(arg, Tensor) and torch.is_autocast_enabled(arg.device.type)


@dataclass
class _State:
    """
    The data of the output of a convolution that waits.

    Attributes:

        images (Tensor or None): The input, with the evaluations as examples, as long as it waits.
        convolution (Convolution): What is computed.
        batch (EvaluationBatch): The evaluations.
        like (Tensor): The output, once it was needed; until then a number of its shape.
    """

    images: Tensor | None
    convolution: Convolution
    batch: EvaluationBatch
    like: Tensor
    is_computed: bool = False

    def materialize(self) -> Tensor:
        if not self.is_computed:
            self.like, self.is_computed = self._output(self.convolution), True
        return self.like

    def normalized(self, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the output times scale plus shift, instead of the output."""
        return self._output(self.convolution.scaled(scale, shift))

    def _output(self, convolution: Convolution) -> Tensor:
        if self.images is None:
            # The input may have been written into since.
            raise CannotBeLazyError(
                "A convolution's output is used in front of and behind its norm."
            )
        output = convolution(self.images)
        self.images = None
        return self.batch.pack(output.unflatten(0, (self.batch.size, -1)))


class _ConvolutionOutput(LazyTensor):
    """The output of a convolution that waits for the next function."""

    rules: ClassVar[dict[Any, Rule]] = {}
