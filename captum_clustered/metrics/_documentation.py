"""Paragraphs that docstrings of several metrics share, so that each is written once."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_TEXTS = r"""
explanation_func (Callable): Returns the attribution of the inputs it is given,
            shape (N, c, \*spatial) of any size, such as the ``attribute`` of the
            method that computed the attributions.
forward_func (Callable): Returns probabilities. Wrap a network that returns logits
            in :func:`scores.probability <captum_clustered.scores.probability>`.
inputs (Tensor): Shape (N, channels, \*spatial) with one to three spatial
            dimensions.
attributions (Tensor): Shape (N, c, \*spatial) of any size. They are summed over c,
            ReLU'd, interpolated to the size of the inputs or masks and min-max
            normalized to [0, 1] for each example. A constant map becomes zero.
masks (Tensor): Booleans, or zeros and ones, of shape (N, 1, \*spatial) or (N,
            \*spatial). No map can hit an empty mask: leave such examples out.
target (int, tuple, Tensor or list, optional): As in Captum.
            Default: $default
additional_forward_args (Any, optional): As in Captum. Tensors with N entries are
            repeated where examples are.
            Default: $default
baseline (float, str or Tensor, optional): What replaces hidden pixels: a number,
            where 0 is the mean color of normalized images; ``"mean"``, the mean of
            each channel of each example; ``"blur"``, the input blurred by a
            Gaussian whose standard deviation is a twentieth of the input's size (11
            pixels at 224); or a tensor that broadcasts to inputs.
            Default: $default
top_fraction (float, optional): A fraction in [0, 1]. If given, the mask is 1 at
            exactly ``round(top_fraction * n_pixels)`` pixels, those with the
            largest values, and 0 elsewhere. Among equal pixels the first in reading
            order count. A constant map keeps no pixel.
            Default: None (the map itself is the mask)
n_steps (int, optional): Number of steps; each is a forward pass of every example.
            Default: $default
max_examples_per_batch (int, optional): Largest number of perturbed inputs in one
            forward pass, which bounds the memory. It may be smaller than N.
            Default: None (all at once)
"""
_ARGUMENTS = {text.split()[0]: text for text in re.split(r"\n(?=\w)", _TEXTS.strip())}
_RAISES = """Raises:

    TypeError: If inputs, attributions or masks are not a tensor, inputs are not
                floating-point or an option is of no accepted type.
    ValueError: If forward_func does not return probabilities, shapes do not match,
                attributions are not finite, masks have values other than 0 and 1, or an
                option is none of the accepted values."""
_EXAMPLE = """
    >>> # net takes images and returns logits.
    >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
    >>> len({name}(scores.probability(net), input, attr, target=1)) == len(input)
    True"""


def documented(function: Function) -> Function:
    """Complete a docstring as :func:`complete` does; a decorator."""
    complete(function)
    return function


def complete(function: Callable[..., Any], verdict: str = "") -> None:
    """
    Add what metrics share to a docstring that has a description and "Returns:".

    ``verdict`` ends the description. "Args:" get a paragraph for each parameter that the
    docstring does not describe itself. "Raises:" and, if it has no example, a call follow.
    """
    # Python -OO drops docstrings, and a function may be declared as several metrics.
    if not function.__doc__ or "Raises:" in function.__doc__:
        return
    described, returned = inspect.cleandoc(function.__doc__).split("\n\nReturns:\n")
    description, _, own = described.partition("\n\nArgs:\n\n")
    returns, _, example = returned.partition("\n\nExamples::\n")
    parameters = inspect.signature(function).parameters
    defaults = {name: repr(each.default).replace("'", '"') for name, each in parameters.items()}
    arguments = [
        textwrap.indent(_ARGUMENTS[name].replace("$default", default), "    ")
        for name, default in defaults.items()
        if name in _ARGUMENTS
    ]
    paragraphs = [
        description,
        verdict,
        "\n".join(["Args:\n", *arguments, own]).rstrip(),
        f"Returns:\n{returns}",
        _RAISES,
        f"Examples::\n{example or _EXAMPLE.format(name=function.__name__)}",
    ]
    function.__doc__ = "\n" + textwrap.indent("\n\n".join(filter(None, paragraphs)), "    ")
