"""Paragraphs that docstrings of several metrics share, so that each is written once."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_WIDTH = 92
# Parameter -> (type, description[, default]).
_ARGUMENTS: dict[str, tuple[str, str] | tuple[str, str, str]] = {
    "explanation_func": (
        "Callable",
        "Returns the attribution of the inputs it is given, shape (N, c, \\*spatial) of any "
        "size, such as the ``attribute`` of the method that computed the attributions.",
    ),
    "forward_func": (
        "Callable",
        "Returns probabilities. Wrap a network that returns logits in "
        ":func:`scores.probability <captum_clustered.scores.probability>`.",
    ),
    "inputs": (
        "Tensor",
        "Shape (N, channels, \\*spatial) with one to three spatial dimensions.",
    ),
    "attributions": (
        "Tensor",
        "Shape (N, c, \\*spatial) of any size. They are summed over c, ReLU'd, interpolated to "
        "the size of the inputs or masks and min-max normalized to [0, 1] for each example. A "
        "constant map becomes zero.",
    ),
    "masks": (
        "Tensor",
        "Booleans, or zeros and ones, of shape (N, 1, \\*spatial) or (N, \\*spatial). No map can "
        "hit an empty mask: leave such examples out.",
    ),
    "target": ("int, tuple, Tensor or list, optional", "As in Captum.", "None"),
    "additional_forward_args": (
        "Any, optional",
        "As in Captum. Tensors with N entries are repeated where examples are.",
        "None",
    ),
    "baseline": (
        "float, str or Tensor, optional",
        "What replaces hidden pixels: a number, where 0 is the mean color of normalized images; "
        '``"mean"``, the mean of each channel of each example; ``"blur"``, the input blurred by '
        "a Gaussian whose standard deviation is a twentieth of the input's size (11 pixels at "
        "224); or a tensor that broadcasts to inputs.",
    ),
    "top_fraction": (
        "float, optional",
        "A fraction in [0, 1]. If given, the mask is 1 at exactly ``round(top_fraction * "
        "n_pixels)`` pixels, those with the largest values, and 0 elsewhere. Among equal pixels "
        "the first in reading order count. A constant map keeps no pixel.",
        "None (the map itself is the mask)",
    ),
    "n_steps": (
        "int, optional",
        "Number of steps; each is a forward pass of every example.",
    ),
    "max_examples_per_batch": (
        "int, optional",
        "Largest number of perturbed inputs in one forward pass, which bounds the memory. It may "
        "be smaller than N.",
        "None (all at once)",
    ),
}
_ERRORS = (
    (
        "TypeError",
        "If inputs, attributions or masks are not a tensor, inputs are not floating-point or an "
        "option is of no accepted type.",
    ),
    (
        "ValueError",
        "If forward_func does not return probabilities, shapes do not match, attributions are "
        "not finite, masks have values other than 0 and 1, or an option is none of the accepted "
        "values.",
    ),
)
_EXAMPLE = """Examples::

    >>> # net takes images and returns logits.
    >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
    >>> len({name}(scores.probability(net), input, attr, target=1)) == len(input)
    True"""


def documented(function: Function) -> Function:
    """Fill in a docstring as :func:`fill_in` does; a decorator."""
    fill_in(function)
    return function


def fill_in(function: Callable[..., Any], **texts: str) -> None:
    """
    Replace placeholders, each alone on a line of a docstring.

    ``$arguments`` becomes a paragraph for each parameter of the function that the
    docstring does not describe itself, ``$raises`` the exceptions that metrics raise and
    ``$example`` a call.

    Args:

        function (Callable): Its docstring is changed; with ``python -OO`` it has none.
        **texts: Paragraphs for other placeholders, at most 88 columns wide.
    """
    if function.__doc__ is None:
        return
    parameters = inspect.signature(function).parameters
    described = set(re.findall(r"^ +\**(\w+) \(", function.__doc__, re.MULTILINE))
    arguments = [
        _argument(name, parameter.default)
        for name, parameter in parameters.items()
        if name in _ARGUMENTS and name not in described
    ]
    raised = "\n".join(_wrapped(f"{name}: {text}", 12) for name, text in _ERRORS)
    paragraphs = {
        **texts,
        "arguments": "\n".join(arguments),
        "raises": f"Raises:\n\n{textwrap.indent(raised, '    ')}",
        "example": _EXAMPLE.format(name=function.__name__),
    }

    def paragraph(match: re.Match[str]) -> str:
        return textwrap.indent(paragraphs[match[2]], match[1])

    names = "|".join(paragraphs)
    function.__doc__ = re.sub(rf"(?m)^( *)\$({names})$", paragraph, function.__doc__)


def _argument(name: str, default: Any) -> str:
    kind, text, *shown = _ARGUMENTS[name]
    lines = _wrapped(f"{name} ({kind}): {text}", 12)
    if default is inspect.Parameter.empty:
        return lines
    value = shown[0] if shown else f'"{default}"' if isinstance(default, str) else repr(default)
    return f"{lines}\n{' ' * 12}Default: {value}"


def _wrapped(text: str, indent: int, width: int = _WIDTH - 8) -> str:
    return textwrap.fill(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
