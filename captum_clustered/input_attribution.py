"""Layer attributions as attributions of the input."""

from __future__ import annotations

from typing import Any, Union

from captum.attr import LayerAttribution
from captum.attr._utils.attribution import Attribution
from captum.log import log_usage
from torch import Tensor

from captum_clustered._argument_checks import check_type

TensorOrTuple = Union[Tensor, tuple[Tensor, ...]]
# torch's interpolation mode by the number of spatial dimensions.
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class InputAttribution(Attribution):
    r"""
    Adapter that gives any layer attribution the shape of the input.

    Captum's ``infidelity``, ``sensitivity_max`` and visualization expect one value for each
    element of the input. Given the ``attribute`` of a ``LayerAttribution``,
    ``sensitivity_max`` mistakes a batch for a tuple: with one example its result is silently
    wrong, with two it raises. This adapter sums the layer's attribution over its channels,
    interpolates it to the input's spatial size and repeats it over the input's channels.
    """

    def __init__(
        self, layer_attribution: LayerAttribution, interpolate_mode: str | None = None
    ) -> None:
        r"""
        Set up the adapter.

        Args:

            layer_attribution (LayerAttribution): Any layer attribution method whose
                        result is (N, c, \*spatial), such as ``ClusteredLayerCAM`` or
                        Captum's ``LayerGradCam``.
            interpolate_mode (str, optional): Mode of
                        :func:`torch.nn.functional.interpolate`.
                        Default: None ("linear", "bilinear" or "trilinear", by the number
                        of spatial dimensions)

        Raises:

            TypeError: If ``layer_attribution`` is not a LayerAttribution.
        """
        what = "a LayerAttribution"
        check_type("layer_attribution", layer_attribution, LayerAttribution, what)
        Attribution.__init__(self, layer_attribution.forward_func)
        self.layer_attribution = layer_attribution
        self.interpolate_mode = interpolate_mode

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: TensorOrTuple, *args: Any, **kwargs: Any) -> Any:
        r"""
        Compute the layer's attribution and interpolate it to the inputs.

        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, each of shape (N, channels, \*spatial) with as many
                        spatial dimensions as the layer.
            *args, **kwargs: Other arguments of the layer attribution's ``attribute``,
                        except ``return_clusters``.

        Returns:
            **attributions** or a tuple of **attributions**, **delta**:

            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        Contiguous, of the inputs' shape; a tuple if inputs is a tuple.
            - **delta** (*Tensor*, returned if return_convergence_delta=True):
                        The delta of the layer's attribution, not of the interpolated one.

        Raises:

            ValueError: If the layer has several tensors, or its attribution does not
                        have the dimensions of the inputs.

        Examples::

            >>> cam = InputAttribution(ClusteredLayerCAM(net, net.conv4))
            >>> attr = cam.attribute(input, target=3)  # shape of input
            >>> infid = infidelity(net, perturb, input, attr, target=3, normalize=True)
            >>> sens = sensitivity_max(cam.attribute, input, target=3)
        """
        if kwargs.get("return_clusters"):
            raise ValueError(
                "return_clusters=True is not supported by InputAttribution: clusters belong to "
                "the layer. Call the layer attribution itself."
            )
        result = self.layer_attribution.attribute(inputs, *args, **kwargs)
        if kwargs.get("return_convergence_delta"):
            attribution, delta = result
            return self._as_input(attribution, inputs), delta
        return self._as_input(result, inputs)

    def has_convergence_delta(self) -> bool:
        """Return whether the layer attribution has a convergence delta."""
        return bool(self.layer_attribution.has_convergence_delta())

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the layer attribution multiplies by its inputs."""
        return bool(self.layer_attribution.multiplies_by_inputs)

    def _as_input(self, attribution: TensorOrTuple, inputs: TensorOrTuple) -> TensorOrTuple:
        if isinstance(attribution, tuple):
            if len(attribution) != 1:
                raise ValueError(
                    f"layer_attribution returned {len(attribution)} tensors; InputAttribution "
                    "supports layers with a single tensor."
                )
            attribution = attribution[0]
        if isinstance(inputs, tuple):
            return tuple(like_input(attribution, each, self.interpolate_mode) for each in inputs)
        return like_input(attribution, inputs, self.interpolate_mode)


def like_input(attribution: Tensor, tensor: Tensor, mode: str | None = None) -> Tensor:
    """Return a layer's attribution in the shape of an input, see :class:`InputAttribution`."""
    if attribution.dim() != tensor.dim() or attribution.dim() - 2 not in LINEAR:
        raise ValueError(
            f"The layer's attribution has shape {tuple(attribution.shape)}, which cannot be "
            f"interpolated to an input of shape {tuple(tensor.shape)}: both must be "
            "(N, channels, *spatial) with the same one to three spatial dimensions. Pass "
            "other inputs as additional_forward_args; arrange tokens with tokens_to_map."
        )
    summed = attribution.detach().sum(1, keepdim=True)
    mode = mode or LINEAR[summed.dim() - 2]
    resized = LayerAttribution.interpolate(summed, tuple(tensor.shape[2:]), mode)
    return resized.expand_as(tensor).contiguous()
