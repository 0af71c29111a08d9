"""Average any layer attribution over views of the input."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Union

import torch
from captum._utils.common import _expand_target, _format_output
from captum._utils.typing import TargetType
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor

from captum_clustered._argument_checks import check_int, check_type
from captum_clustered._view_maps import (
    MeanMaps,
    ShownInputs,
    Tensors,
    differs_by_view,
    repeat_arguments,
    stack_views,
    tensors_of,
)
from captum_clustered.clusters import Clusters
from captum_clustered.tokens import tokens_to_map
from captum_clustered.views import View, make_views

TensorOrTuple = Union[Tensor, Tensors]


class TestTimeAugmentation(LayerAttribution):
    r"""
    Averages any layer attribution over views of the input (test-time augmentation).

    Each view is a transformed copy of the input, such as its mirror image. All copies
    are explained, each map is brought back onto the layer's grid, and the result is the mean
    over the views that show the position; it is zero where none does. Attributions become
    steadier under small changes of the input, at the price of one explanation for each view.

    Values of maps are moved, not rescaled: after a zoom, a map that sums to the score
    does so only approximately.
    """

    # pytest takes classes named Test... for tests.
    __test__ = False

    def __init__(
        self,
        attribution: LayerAttribution,
        views: Sequence[str | View] = ("identity", "hflip"),
        views_per_eval: int | None = None,
        *,
        grid: tuple[int, ...] | None = None,
        n_prefix: int = 0,
    ) -> None:
        r"""
        Args:

            attribution (LayerAttribution): Any layer attribution method, such as
                        ``ClusteredLayerCAM`` or Captum's ``LayerGradCam``.
            views (Sequence[str or View], optional): Views, as texts that
                        :func:`captum_clustered.views.make_view` takes ("hflip",
                        "zoom(1.15)", "hflip+zoom(1.15)"), as calls of the functions in
                        :mod:`captum_clustered.views` or as own :class:`View` s. The
                        input itself is one of them only if "identity" is.
                        Default: ("identity", "hflip")
            views_per_eval (int, optional): Number of views explained in one call of
                        ``attribution``, to bound memory. Views that change the size of
                        the input are in calls of their own.
                        Default: None (all)
            grid (tuple[int, ...], optional): Patches in each spatial dimension, e.g.
                        (14, 14), if the layer has tokens and the attribution therefore is
                        of shape (N, c, T). See :func:`tokens_to_map`.
                        Default: None
            n_prefix (int, optional): Number of tokens in front of the patches, such as the
                        class token, which keep their place in all views.
                        Default: 0

        Raises:

            TypeError: If ``attribution`` is not a LayerAttribution, or a view is neither
                        a str nor a View.
            ValueError: If there is no view, a text does not describe a view, or
                        ``views_per_eval`` is not an int of at least 1.
        """
        check_type("attribution", attribution, LayerAttribution, "a LayerAttribution")
        LayerAttribution.__init__(
            self, attribution.forward_func, attribution.layer, attribution.device_ids
        )
        if views_per_eval is not None:
            check_int("views_per_eval", views_per_eval, 1)
        self.attribution = attribution
        self.views = make_views(views)
        if not self.views:
            raise ValueError("views must have at least one view; got none.")
        self.views_per_eval = views_per_eval
        self.grid = grid
        self.n_prefix = n_prefix

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: TensorOrTuple,
        target: TargetType = None,
        additional_forward_args: object | None = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        attr_dim_summation: bool = True,
        *,
        return_clusters: bool = False,
        **kwargs: Any,
    ) -> Any:
        r"""
        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, of shape (N, C, \*spatial). The tensors of a tuple are all
                        transformed alike and must have the same spatial size.
            target (int, tuple, Tensor or list, optional): As the wrapped method's,
                        repeated for the views.
                        Default: None
            additional_forward_args (Any, optional): As the wrapped method's. Tensors with N
                        examples are repeated for the views; none is transformed.
                        Default: None
            attribute_to_layer_input (bool, optional): As the wrapped method's.
                        Default: False
            relu_attributions (bool, optional): Whether to apply a ReLU to the mean.
                        Default: False
            attr_dim_summation (bool, optional): As the wrapped method's.
                        Default: True
            return_clusters (bool, optional): Whether to return the clusters of the first view,
                        if the wrapped method has clusters. They need no further pass.
                        Default: False
            **kwargs: Further arguments of the wrapped method. ``baselines`` are transformed
                        like the inputs. Other tensors are passed on as they are, and must
                        then be the same at all positions if a view moves positions. With
                        ``baselines`` that are tensors, and with tensors that have a value for
                        each example, views are explained one at a time.

        Returns:
            **attributions** or a tuple of **attributions**, **clusters**:

            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        Of the shape and type that the wrapped method returns, detached.
            - **clusters** (*Clusters*, returned if return_clusters=True):
                        Those of the first view, by default the input itself. Their maps are
                        brought back onto the input; their sum is not the mean over the views.

        Raises:

            TypeError: If inputs are no tensors or the wrapped method returns none.
            ValueError: If an argument does not fit the views or the wrapped method; the
                        message names it. For ``return_convergence_delta``: each view has its
                        own score. For ``return_clusters``, if the wrapped method has none.

        Examples::

            >>> cam = TestTimeAugmentation(ClusteredLayerCAM(net, net.conv4))
            >>> attr = cam.attribute(input, target=3)  # mean over image and mirror image
            >>> gradcam = TestTimeAugmentation(
            ...     LayerGradCam(net, net.conv4), ("identity", "hflip+zoom(1.15)")
            ... )
        """
        formatted = inputs if isinstance(inputs, tuple) else (inputs,)
        self._check(formatted, kwargs)
        takes = inspect.signature(self.attribution.attribute).parameters
        if return_clusters and "return_clusters" not in takes:
            raise ValueError(
                "return_clusters=True is not supported: the wrapped method, "
                f"{type(self.attribution).__name__}, has no clusters."
            )
        # Methods differ in what they take: only what was given is passed on.
        if attribute_to_layer_input:
            kwargs["attribute_to_layer_input"] = True
        if not attr_dim_summation:
            kwargs["attr_dim_summation"] = False
        mean, is_tuple = MeanMaps(), False
        clusters: Clusters | None = None
        for shown in self._batches(formatted, kwargs):
            arguments = {
                **kwargs,
                **_repeated(target, additional_forward_args, len(formatted[0]), len(shown)),
            }
            if "baselines" in kwargs:
                arguments["baselines"] = shown[0].like_inputs(kwargs["baselines"])
            stacked = _format_output(isinstance(inputs, tuple), stack_views(shown, formatted))
            if return_clusters and clusters is None:
                # The first call has the first view.
                result, found = self.attribution.attribute(
                    stacked, return_clusters=True, **arguments
                )
                clusters = self._clusters(found, shown[0])
            else:
                result = self.attribution.attribute(stacked, **arguments)
            is_tuple = isinstance(result, tuple)
            self._add(mean, result, shown)
        attributions = mean.result()
        if relu_attributions:
            attributions = tuple(map(torch.relu, attributions))
        formatted_mean = _format_output(is_tuple, attributions)
        return formatted_mean if clusters is None else (formatted_mean, clusters)

    def has_convergence_delta(self) -> bool:
        """Return False: the views have different scores."""
        return False

    @property
    def multiplies_by_inputs(self) -> bool:
        """As the wrapped method."""
        return bool(self.attribution.multiplies_by_inputs)

    def _batches(self, inputs: Tensors, kwargs: Mapping[str, Any]) -> Iterator[list[ShownInputs]]:
        """Yield the views of each call: consecutive ones that show inputs of one size."""
        limit = self.views_per_eval or len(self.views)
        if differs_by_view(kwargs, len(inputs[0])):
            limit = 1
        batch: list[ShownInputs] = []
        for view in self.views:
            shown = ShownInputs(view, inputs)
            if batch and (len(batch) == limit or shown.sizes != batch[0].sizes):
                yield batch
                batch = []
            batch.append(shown)
        yield batch

    def _add(self, mean: MeanMaps, result: Any, batch: list[ShownInputs]) -> None:
        tensors = result if isinstance(result, tuple) else (result,)
        n = len(batch) * len(batch[0].inputs[0])
        parts = []
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    "attribution must return a Tensor or a tuple of Tensors; got "
                    f"{type(tensor).__name__}."
                )
            if tensor.shape[:1] != (n,):
                raise ValueError(
                    f"attribution must return one map for each of {n} examples; got shape "
                    f"{tuple(tensor.shape)}."
                )
            parts.append(tensor.detach().chunk(len(batch)))
        with torch.no_grad():
            for shown, maps in zip(batch, zip(*parts, strict=True), strict=True):
                mean.add(maps, partial(self._back, shown=shown), shown.view.name)

    def _clusters(self, clusters: Clusters, shown: ShownInputs) -> Clusters:
        """Return the clusters of a call's first view, with maps of the input."""
        clusters = clusters.first(len(shown.inputs[0]))
        maps: Any = clusters.maps
        is_tuple, mean = isinstance(maps, tuple), MeanMaps()
        with torch.no_grad():
            back = partial(self._back, shown=shown)
            mean.add(maps if is_tuple else (maps,), back, shown.view.name)
        return replace(clusters, maps=_format_output(is_tuple, mean.result()))

    def _back(self, maps: Tensor, shown: ShownInputs) -> Tensor:
        if self.grid is None:
            if shown.view.spatial_dims and maps.dim() != shown.inputs[0].dim():
                raise ValueError(
                    f"view {shown.view.name!r} moves positions, but an attribution of shape "
                    f"{tuple(maps.shape)} is no map of inputs of shape "
                    f"{tuple(shown.inputs[0].shape)}. For tokens (N, c, T), give grid "
                    "and n_prefix to TestTimeAugmentation."
                )
            return shown.back(maps)
        grid = tuple(self.grid)
        if shown.is_turned:
            grid = (*grid[:-2], grid[-1], grid[-2])
        patches = shown.back(tokens_to_map(maps, grid, self.n_prefix))
        return torch.cat([maps[:, :, : self.n_prefix], patches.flatten(2)], 2)

    def _check(self, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if kwargs.get("return_convergence_delta"):
            raise ValueError(
                "return_convergence_delta=True is not supported by TestTimeAugmentation: each view "
                "has a score of its own. Call the wrapped method itself."
            )
        for tensor in inputs:
            check_type("inputs", tensor, Tensor, "a Tensor or a tuple of Tensors")
        if not inputs or inputs[0].dim() == 0 or len(inputs[0]) == 0:
            raise ValueError("inputs must hold at least one example, in dimension 0; got none.")
        sizes = [(len(tensor), *tensor.shape[2:]) for tensor in inputs]
        if len(set(sizes)) > 1:
            raise ValueError(
                "The tensors of inputs must have the same spatial size, since views transform all "
                f"alike; got {[tuple(tensor.shape) for tensor in inputs]}. What is not to be "
                "transformed belongs in additional_forward_args."
            )
        moving = [view.name for view in self.views if view.spatial_dims]
        n_spatial = inputs[0].dim() - 2
        if moving and self.grid is not None and len(self.grid) != n_spatial:
            raise ValueError(
                f"grid={tuple(self.grid)} must have one number for each of the inputs' {n_spatial} "
                f"spatial dimensions, which view {moving[0]!r} moves."
            )
        for name, tensor in tensors_of(kwargs):
            if moving and name != "baselines" and self._is_map(tensor, n_spatial):
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}: values that differ by position "
                    f"cannot follow view {moving[0]!r}. Give one value for each channel."
                )

    def _is_map(self, tensor: Tensor, n_spatial: int) -> bool:
        """Whether a tensor that broadcasts to the layer has values for each position."""
        if self.grid is None:
            return any(size > 1 for size in tensor.shape[-n_spatial:])
        # Channels are the last dimension of some layers of tokens, and the middle one of others.
        return sum(size > 1 for size in tensor.shape[-2:]) > 1


def _repeated(
    target: TargetType, additional_forward_args: object | None, n: int, n_views: int
) -> dict[str, Any]:
    """Return the arguments among these two that are given, for each of the views."""
    found: dict[str, Any] = {}
    if target is not None:
        found["target"] = _expand_target(target, n_views)
    if additional_forward_args is not None:
        found["additional_forward_args"] = repeat_arguments(additional_forward_args, n, n_views)
    return found
