"""Methods of the ``grad-cam`` package as layer attributions."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from captum.attr import LayerAttribution
from captum.log import log_usage
from torch import Tensor
from torch.nn import Identity, Module

from captum_clustered.comparison.forward import CountedForward, Forward
from captum_clustered.comparison.registry import MethodInfo
from captum_clustered.scores import ScoreWrapper, model_of


def peers_installed() -> bool:
    """Return whether the package grad-cam is installed."""
    return importlib.util.find_spec("pytorch_grad_cam") is not None


class PeerCAM(LayerAttribution):
    r"""
    A method of the ``grad-cam`` package (pytorch-grad-cam) with Captum's interface.

    It works on a deep copy of the model, so the user's model and gradients do not change.
    The layer of the copy passes on a clone, because later in-place operations would change
    the activations that grad-cam stores. It explains the score of ``forward_func``:
    wrappers of :mod:`captum_clustered.scores` are applied to the copy too. The map has the
    layer's size and its sign, before grad-cam clips, scales and enlarges it. The weights
    are those of grad-cam. AblationCAM divides by the score, which reverses the map where
    the score is negative, and ablates layers with negative values by -1e7.
    """

    def __init__(self, forward_func: Forward, layer: Module, cam: str = "GradCAM++") -> None:
        r"""
        Args:

            forward_func (Callable): A module, or a module wrapped by functions of
                        :mod:`captum_clustered.scores`.
            layer (torch.nn.Module): A layer of it with one output tensor, called once in a
                        forward pass.
            cam (str, optional): "GradCAM++", "LayerCAM", "EigenCAM", "ScoreCAM" or
                        "AblationCAM".
                        Default: "GradCAM++"

        Raises:

            ImportError: If grad-cam is not installed.
            ValueError: If cam is unknown, forward_func is not a module or layer is not in
                        it.

        Examples::

            >>> cam = PeerCAM(net, net.layer4, "LayerCAM")
            >>> attribution = cam.attribute(torch.rand(2, 3, 224, 224), target=0)
            >>> attribution.shape
            torch.Size([2, 1, 7, 7])
        """
        super().__init__(forward_func, layer)
        if cam not in PEERS:
            raise ValueError(f"cam={cam!r} must be one of {', '.join(map(repr, PEERS))}.")
        if not peers_installed():
            raise ImportError(
                f"{cam} comes from the package grad-cam, which is not installed. Install "
                "captum_clustered[peers]."
            )
        model = model_of(forward_func)
        if model is None:
            raise ValueError(
                f"forward_func must be a torch.nn.Module for {cam}, which works on a copy of it; "
                f"got {type(forward_func).__name__}."
            )
        names = [name for name, module in model.named_modules() if module is layer]
        if not names:
            raise ValueError(f"layer must be a module of forward_func for {cam}; it is not.")
        self.cam = cam
        self._model = model
        self._layer_name = names[0]
        self._cams: dict[bool, Any] = {}

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Tensor,
        target: int | Tensor,
        additional_forward_args: None = None,
        attribute_to_layer_input: bool = False,
    ) -> Tensor:
        r"""
        Compute the maps.

        Args:

            inputs (Tensor): Images of shape (N, channels, \*spatial).
            target (int or Tensor): Class, or one class for each image.
            additional_forward_args (None, optional): Not supported by grad-cam.
                        Default: None
            attribute_to_layer_input (bool, optional): As in Captum.
                        Default: False

        Returns:
            Tensor: Of shape (N, 1, \*spatial of the layer).

        Raises:

            ValueError: If there are additional_forward_args, or the layer is called
                        several times in a forward pass.
        """
        if additional_forward_args is not None:
            raise ValueError("additional_forward_args must be None: grad-cam does not take any.")
        targets = torch.as_tensor(target).expand(len(inputs)).tolist()
        try:
            maps = self._run(inputs, targets, attribute_to_layer_input)
        except BaseException:
            # The copy of the model may be left changed.
            self._cams.clear()
            raise
        return torch.as_tensor(maps, device=inputs.device).unsqueeze(1)

    def _run(self, inputs: Tensor, targets: list[int], at_input: bool) -> Any:
        if at_input not in self._cams:
            self._cams[at_input] = self._make(at_input)
        cam = self._cams[at_input]
        original: Callable[..., Any] = type(cam).get_cam_image.__get__(cam)
        raw: list[Any] = []

        def get_cam_image(*args: Any, **kwargs: Any) -> Any:
            if len(cam.activations_and_grads.activations) != 1:
                raise ValueError(
                    f"layer is called {len(cam.activations_and_grads.activations)} times in a "
                    f"forward pass; {self.cam} needs one call."
                )
            raw.append(original(*args, **kwargs))
            return raw[-1]

        cam.get_cam_image = get_cam_image
        outputs = importlib.import_module("pytorch_grad_cam.utils.model_targets")
        try:
            # Two methods show a progress bar per image that cannot be switched off.
            with contextlib.redirect_stderr(io.StringIO()), torch.enable_grad():
                cam(inputs.detach(), [outputs.ClassifierOutputTarget(index) for index in targets])
        finally:
            del cam.get_cam_image
            cam.activations_and_grads.clear()
            # Otherwise it keeps the graph of its last forward pass.
            cam.outputs = None
        return raw[0]

    def _make(self, at_input: bool) -> Any:
        model = _ScoredCopy(self._model, self.forward_func)
        probe = _replace(model, self._layer_name, at_input)
        module = importlib.import_module("pytorch_grad_cam")
        kwargs = {"ablation_layer": module.AblationLayer()} if self.cam == "AblationCAM" else {}
        return getattr(module, _CLASSES[self.cam][0])(model=model, target_layers=[probe], **kwargs)


class _ScoredCopy(Module):
    """A deep copy of a model that returns the scores of a forward function."""

    def __init__(self, model: Module, forward_func: Forward) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        # Layers of frozen models have gradients too.
        for parameter in self.model.parameters():
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_()
        self.transforms: list[Callable[[Tensor], Tensor]] = []
        self.counters: list[CountedForward] = []
        while isinstance(forward_func, ScoreWrapper):
            self.transforms.insert(0, forward_func.transform)
            if isinstance(forward_func, CountedForward):
                self.counters.append(forward_func)
            forward_func = forward_func.forward_func

    def forward(self, inputs: Tensor) -> Tensor:
        for counter in self.counters:
            counter.count(inputs)
        # grad-cam runs models several times on one tensor, which they may change in place.
        output: Tensor = self.model(inputs.clone())
        for transform in self.transforms:
            output = transform(output)
        return output


class _LayerWithProbe(Module):
    """A layer with an identity for hooks at its output or input, safe from in-place changes."""

    def __init__(self, layer: Module, at_input: bool) -> None:
        super().__init__()
        self.layer = layer
        self.probe = Identity()
        self.at_input = at_input

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.at_input:
            first, *others = args
            return self.layer(self.probe(first).clone(), *others, **kwargs)
        return self.probe(self.layer(*args, **kwargs)).clone()


def _replace(model: _ScoredCopy, name: str, at_input: bool) -> Module:
    """Wrap a layer of the copied model, and return the identity for hooks."""
    layer = model.model.get_submodule(name)
    wrapped = _LayerWithProbe(layer, at_input)
    # A module may be registered under several names.
    for module in list(model.modules()):
        for key, child in module._modules.items():
            if child is layer:
                module._modules[key] = wrapped
    return wrapped.probe


# Method -> its class in pytorch_grad_cam, and what it is.
_CLASSES = {
    "GradCAM++": ("GradCAMPlusPlus", "gradients weighted by their squares and cubes"),
    "LayerCAM": ("LayerCAM", "activations times positive gradients at each position"),
    "EigenCAM": ("EigenCAM", "first principal component of the activations"),
    "ScoreCAM": ("ScoreCAM", "channels weighted by the score they keep"),
    "AblationCAM": ("AblationCAM", "channels weighted by their relative drop"),
}
PEERS = {
    name: MethodInfo(
        # "AblationCAM" alone is this package's, in one pass.
        f"{name} (grad-cam)" if name == "AblationCAM" else name,
        partial(PeerCAM, cam=name),
        "grad-cam",
        meaning,
        is_slow=name in ("ScoreCAM", "AblationCAM"),
    )
    for name, (_, meaning) in _CLASSES.items()
}
