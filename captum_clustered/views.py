"""Views of an input for test-time augmentation: a transform and its inverse on maps."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from captum_clustered._errors import close_matches
from captum_clustered._resampling import shift_inputs, shift_maps_back, zoom_inputs, zoom_maps_back

__all__ = ["View", "gain", "hflip", "identity", "make_view", "rot90", "shift", "vflip", "zoom"]

OnMaps = Callable[[Tensor], Tensor]
SHAPES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


class View:
    r"""
    One view of an input: a transform of the input and its inverse on maps of the layer.

    Inverses must be linear and give zero where the view shows nothing of the input. The
    inverse of a map of ones is then the weight of each position in the mean over views.

    Examples::

        >>> darker = View(lambda x: x - 0.1, lambda maps: maps, "darker")
        >>> turned = View(lambda x: x.flip(-2, -1), lambda maps: maps.flip(-2, -1), "half turn")
    """

    def __init__(
        self,
        transform: Callable[[Tensor], Tensor],
        inverse_on_maps: OnMaps,
        name: str = "custom",
        spatial_dims: int = 0,
    ) -> None:
        r"""
        Args:

            transform (Callable): Takes inputs (N, C, \*spatial) and returns as many examples.
            inverse_on_maps (Callable): Takes maps (N, c, \*grid) of transformed inputs and
                        returns maps of the inputs.
            name (str, optional): Name in messages. Default: "custom"
            spatial_dims (int, optional): Number of spatial dimensions that inputs must have
                        at least; 0 if the view moves nothing, or to leave out the check.
                        Default: 0
        """
        self.name = name
        self.spatial_dims = spatial_dims
        self._transform = transform
        self._inverse_on_maps = inverse_on_maps

    def on(self, inputs: Tensor) -> tuple[Tensor, OnMaps]:
        r"""
        Transform inputs.

        Args:

            inputs (Tensor): Inputs of shape (N, C, \*spatial).

        Returns:
            tuple[Tensor, Callable]: The transformed inputs, and the inverse on their maps.

        Raises:

            ValueError: If the inputs have too few spatial dimensions for the view, or the
                        transform changes the number of examples.
        """
        self._check(inputs)
        transformed = self._transform(inputs)
        if not isinstance(transformed, Tensor) or transformed.shape[:1] != inputs.shape[:1]:
            got = tuple(transformed.shape) if isinstance(transformed, Tensor) else transformed
            raise ValueError(
                f"The transform of view {self.name!r} must return a Tensor with one example for "
                f"each of the {len(inputs)} inputs; got {got!r}."
            )
        return transformed, self._inverse_on_maps

    def then(self, other: View) -> View:
        """Return the view that applies this view first and then the other."""
        return _Composed(self, other)

    def __repr__(self) -> str:
        """Return the name, as it is given to :func:`make_view`."""
        return f"View({self.name!r})"

    def _check(self, inputs: Tensor) -> None:
        if inputs.dim() - 2 < self.spatial_dims:
            shape = SHAPES[min(self.spatial_dims, 3)]
            raise ValueError(
                f"view {self.name!r} needs inputs with {self.spatial_dims} or more spatial "
                f"dimensions, such as {shape}; got {tuple(inputs.shape)}."
            )


class _Composed(View):
    def __init__(self, first: View, second: View) -> None:
        self.name = f"{first.name}+{second.name}"
        self.spatial_dims = max(first.spatial_dims, second.spatial_dims)
        self._views = first, second

    def on(self, inputs: Tensor) -> tuple[Tensor, OnMaps]:
        first, second = self._views
        once, first_back = first.on(inputs)
        twice, second_back = second.on(once)
        return twice, lambda maps: first_back(second_back(maps))


class _Shift(View):
    """A move in pixels, whose length on a map depends on the size of the inputs."""

    def __init__(self, pixels: Mapping[int, float], name: str) -> None:
        self.name = name
        # A move of zero needs no dimension.
        self._pixels = {dim: by for dim, by in pixels.items() if by}
        self.spatial_dims = max((-dim for dim in self._pixels), default=0)

    def on(self, inputs: Tensor) -> tuple[Tensor, OnMaps]:
        self._check(inputs)
        shares = {dim: by / inputs.shape[dim] for dim, by in self._pixels.items()}
        if any(abs(share) >= 1 for share in shares.values()):
            raise ValueError(
                f"view {self.name!r} moves everything out of inputs of size "
                f"{tuple(inputs.shape[2:])}."
            )
        moved = shift_inputs(inputs, self._pixels, self.name)
        return moved, partial(shift_maps_back, shares=shares)


def identity() -> View:
    """Return the view of the input as it is."""
    return View(_unchanged, _unchanged, "identity")


def hflip() -> View:
    """Return the mirror image: the last dimension is reversed."""
    flip = partial(torch.flip, dims=(-1,))
    return View(flip, flip, "hflip", 1)


def vflip() -> View:
    """Return the image upside down: the last dimension but one is reversed."""
    flip = partial(torch.flip, dims=(-2,))
    return View(flip, flip, "vflip", 2)


def rot90(k: int = 1) -> View:
    """
    Return the view after k quarter turns counterclockwise in the last two dimensions.

    Inputs that are not square change their size under odd k: the network must accept both.

    Args:

        k (int, optional): Number of quarter turns; negative ones are clockwise.
                    Default: 1

    Raises:

        ValueError: If ``k`` is no int.
    """
    if isinstance(k, bool) or not isinstance(k, int):
        raise ValueError(f"k={k!r} must be an int, the number of quarter turns.")
    turn, back = (partial(torch.rot90, k=turns, dims=(-2, -1)) for turns in (k, -k))
    return View(turn, back, "rot90" if k == 1 else f"rot90({k})", 2)


def zoom(factor: float) -> View:
    """
    Return the view magnified about the center, in all spatial dimensions.

    Inputs and maps are interpolated linearly, without a low-pass filter: factors are meant to
    be near 1. Above 1, the margin is outside and left out of the mean; below 1, the view
    continues the pixels of the border.

    Args:

        factor (float): Magnification, above 0.

    Raises:

        ValueError: If ``factor`` is not positive and finite.
    """
    _check_positive("factor", factor)
    name = f"zoom({factor})"
    zoomed = partial(zoom_inputs, factor=factor, name=name)
    return View(zoomed, partial(zoom_maps_back, factor=factor), name, 1)


def shift(dx: float, dy: float = 0) -> View:
    """
    Return the view whose content is moved by dx pixels to the right and dy pixels down.

    What leaves the view is left out of the mean; on the other side the border's pixels continue.
    Whole pixels (on maps: whole positions) are exact, other moves are interpolated linearly.

    Args:

        dx (float): Pixels along the last dimension.
        dy (float, optional): Pixels along the last dimension but one.
                    Default: 0

    Raises:

        ValueError: If ``dx`` or ``dy`` is not finite.
    """
    for name, value in (("dx", dx), ("dy", dy)):
        if not math.isfinite(value):
            raise ValueError(f"{name}={value!r} must be a finite number of pixels.")
    return _Shift({-1: dx, -2: dy}, f"shift({dx}, {dy})")


def gain(factor: float) -> View:
    """
    Return the view whose values are multiplied by a factor, at the same positions.

    Args:

        factor (float): Factor, above 0. For normalized inputs it changes the contrast around
                    the mean that was subtracted.

    Raises:

        ValueError: If ``factor`` is not positive and finite.
    """
    _check_positive("factor", factor)
    return View(partial(torch.mul, other=factor), _unchanged, f"gain({factor})")


# What names stand for, in make_view and on the command line.
VIEWS: dict[str, Callable[..., View]] = {
    view.__name__: view for view in (identity, hflip, vflip, rot90, zoom, shift, gain)
}


def make_view(view: str | View) -> View:
    """
    Return the view that a text describes.

    Args:

        view (str or View): A view, or the name of a function of this module with its
                    arguments, such as "hflip", "zoom(1.15)" or "shift(8, dy=-4)". "+" joins
                    views that are applied one after the other: "hflip+zoom(1.15)".

    Raises:

        TypeError: If ``view`` is neither a str nor a View.
        ValueError: If the text describes no view.
    """
    if isinstance(view, View):
        return view
    if not isinstance(view, str):
        raise TypeError(f"a view must be a View or a text such as 'zoom(1.15)'; got {view!r}.")
    try:
        return _built(ast.parse(view.strip(), mode="eval").body)
    except SyntaxError:
        reason = "it must be written as 'hflip', 'zoom(1.15)' or 'hflip+zoom(1.15)'."
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise ValueError(f"view {view!r} is not accepted: {reason}")


def make_views(views: Iterable[str | View]) -> tuple[View, ...]:
    """Return the views of a sequence; raise TypeError or ValueError as :func:`make_view`."""
    if isinstance(views, (str, View)):
        raise TypeError(f"views must be a sequence such as ('identity', 'hflip'); got {views!r}.")
    return tuple(map(make_view, views))


def view_names(views: Iterable[str]) -> tuple[str, ...]:
    """Return the names of views that are texts, each view in one spelling; JSON can store them."""
    views = views if isinstance(views, str) else tuple(views)
    made = make_views(views)
    for view in views:
        if isinstance(view, View):
            raise TypeError(f"views must be texts here, such as 'hflip'; got {view!r}.")
    return tuple(view.name for view in made)


def _built(node: ast.expr) -> View:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _built(node.left).then(_built(node.right))
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise SyntaxError
    name = call.func.id
    if name not in VIEWS:
        known = ", ".join(VIEWS)
        raise ValueError(f"{name!r} is not one of {known}.{close_matches(name, VIEWS)}")
    named = {word.arg or "": _number(word.value) for word in call.keywords}
    return VIEWS[name](*map(_number, call.args), **named)


def _number(node: ast.expr) -> float:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise SyntaxError from None
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number.")
    return value


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r} must be a finite number above 0.")
