"""Fuse the maps of several layers into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

import torch
from captum._utils.typing import TargetType
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor

from captum_clustered._argument_checks import check_choice, check_type
from captum_clustered.input_attribution import LINEAR

TensorOrTuple = Union[Tensor, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Fusion:
    """A choice of ``fusion``: how maps of equal mass become one."""

    name: str  # its key in FUSIONS and its value as an argument or option
    label: str  # what the fused map is, in captions
    fuse: Callable[[Tensor], Tensor]  # of the maps of L layers, (L, N, 1, *spatial)


FUSIONS = {
    fusion.name: fusion
    for fusion in (
        Fusion("mean", "mean", lambda maps: maps.mean(0)),
        Fusion("max", "maximum", lambda maps: maps.amax(0)),
    )
}


class MultiLayerAttribution(LayerAttribution):
    r"""
    Fuses the maps of several layers: their mean or their maximum.

    Each map is summed over its channels, interpolated to the finest grid of the layers and
    scaled, since values of different layers have different units. For each example, all maps get
    the same mass, the sum of absolute values: the mean of what they had. So the map of a single
    layer does not change, and a map that is zero stays zero.

    The class takes the place of several ``target_layers`` in the package grad-cam and of
    ``LayerCAM.fuse_cams`` in torch-cam. These scale each map to values from 0 to 1; here signs
    are kept.
    """

    def __init__(self, attributions: Sequence[LayerAttribution], fusion: str = "mean") -> None:
        r"""
        Set up the fusion.

        Args:

            attributions (Sequence[LayerAttribution]): Layer attribution methods, such as
                        ``ClusteredLayerCAM`` or Captum's ``LayerGradCam``: one for each layer,
                        all with the same forward function.
            fusion (str, optional): "mean" of the scaled maps, or "max", at each position the
                        largest of their values.
                        Default: "mean"

        Raises:

            TypeError: If ``attributions`` has something else than LayerAttributions.
            ValueError: If it has none, or ``fusion`` is unknown.
        """
        if isinstance(attributions, LayerAttribution):
            attributions = (attributions,)
        self.attributions = tuple(attributions)
        for attribution in self.attributions:
            what = "LayerAttributions, one for each layer"
            check_type("attributions", attribution, LayerAttribution, what)
        if not self.attributions:
            raise ValueError("attributions must have at least one LayerAttribution; got none.")
        check_choice("fusion", fusion, FUSIONS)
        self.fusion = fusion
        first = self.attributions[0]
        layers = [attribution.layer for attribution in self.attributions]
        LayerAttribution.__init__(self, first.forward_func, layers, first.device_ids)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: TensorOrTuple,
        target: TargetType = None,
        additional_forward_args: object | None = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        r"""
        Compute the map of each layer and fuse them.

        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, of shape (N, C, \*spatial).
            target, additional_forward_args (optional): As the wrapped methods'.
                        Default: None
            attribute_to_layer_input (bool, optional): As the wrapped methods', for all layers.
                        Default: False
            relu_attributions (bool, optional): Whether to apply a ReLU to the fused map.
                        Default: False
            **kwargs: Further arguments, which each of the wrapped methods gets.

        Returns:
            Tensor: Of shape (N, 1, \*spatial), where each spatial size is the largest of the
            layers', detached.

        Raises:

            ValueError: If a layer has several tensors, the maps cannot be interpolated, or an
                        argument asks for what belongs to one layer only: the clusters or the
                        convergence delta.

        Examples::

            >>> layers = [net.layer3, net.layer4]
            >>> cam = MultiLayerAttribution([ClusteredLayerCAM(net, layer) for layer in layers])
            >>> attr = cam.attribute(input, target=3)
            >>> gradcam = MultiLayerAttribution(
            ...     [LayerGradCam(net, layer) for layer in layers], fusion="max"
            ... )
        """
        for name in ("return_clusters", "return_convergence_delta"):
            if kwargs.pop(name, False):
                raise ValueError(
                    f"{name}=True is not supported by MultiLayerAttribution: each layer has its "
                    "own. Call one of its attributions."
                )
        # Methods differ in what they take: only what was given is passed on.
        given = {"target": target, "additional_forward_args": additional_forward_args}
        kwargs |= {name: value for name, value in given.items() if value is not None}
        if attribute_to_layer_input:
            kwargs["attribute_to_layer_input"] = True
        maps = [_map(method.attribute(_copied(inputs), **kwargs)) for method in self.attributions]
        with torch.no_grad():
            fused = self._fused(maps, inputs if isinstance(inputs, Tensor) else inputs[0])
        return fused.relu() if relu_attributions else fused

    def has_convergence_delta(self) -> bool:
        """Return False: a fused map does not sum to the score."""
        return False

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether all of the wrapped methods do."""
        return all(attribution.multiplies_by_inputs for attribution in self.attributions)

    def _fused(self, maps: list[Tensor], inputs: Tensor) -> Tensor:
        shapes = {tuple(each.shape) for each in maps}
        if len(shapes) > 1:
            n_spatial = inputs.dim() - 2
            if any(each.dim() != inputs.dim() for each in maps) or n_spatial not in LINEAR:
                raise ValueError(
                    "attributions must be of one shape, or maps (N, channels, *spatial) with the "
                    "one to three spatial dimensions of the inputs; got "
                    f"{' and '.join(map(str, sorted(shapes)))} for inputs of shape "
                    f"{tuple(inputs.shape)}."
                )
            size = tuple(
                max(sizes) for sizes in zip(*(each.shape[2:] for each in maps), strict=True)
            )
            maps = [LayerAttribution.interpolate(each, size, LINEAR[n_spatial]) for each in maps]
        stacked = torch.stack(maps)
        mass = stacked.abs().mean(tuple(range(2, stacked.dim())), keepdim=True)
        scaled = torch.where(mass > 0, stacked / mass, 0) * mass.mean(0)
        return FUSIONS[self.fusion].fuse(scaled)


def _map(attribution: Any) -> Tensor:
    """Return the sum over the channels of a layer's attribution, (N, 1, *spatial)."""
    if isinstance(attribution, tuple) and len(attribution) == 1:
        attribution = attribution[0]
    if not isinstance(attribution, Tensor):
        n_tensors = f"{len(attribution)} tensors" if isinstance(attribution, tuple) else "none"
        raise ValueError(f"Each of attributions must return one tensor; got {n_tensors}.")
    # The sum of half-precision maps would lose digits.
    wide = attribution.detach().to(torch.promote_types(attribution.dtype, torch.float32))
    return wide.sum(1, keepdim=True)


def _copied(inputs: Any) -> Any:
    """Return copies, since the model may write into its input."""
    if isinstance(inputs, tuple):
        return tuple(map(_copied, inputs))
    return inputs.detach().clone().requires_grad_(inputs.requires_grad)
