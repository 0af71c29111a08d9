"""The attribution method."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Union

import numpy as np
import torch
from captum._utils.common import (
    _format_output,
    _run_forward,
    _select_targets,
)
from captum._utils.progress import progress
from captum._utils.typing import TargetType
from captum.attr import LayerAttribution
from captum.attr._utils.attribution import PerturbationAttribution
from captum.log import log_usage
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.hooks import Tensors, layer_name, tap
from captum_clustered._ablation.loop import replay
from captum_clustered._ablation.model import ModelState
from captum_clustered._ablation.planner import (
    LayerBaselines,
    Plan,
    check_evaluation,
    check_finite,
    check_layer,
)
from captum_clustered._ablation.precision import without_autocast
from captum_clustered._ablation.recorder import Recorder
from captum_clustered._ablation.request import Evaluation, PlanError, Task, not_reached, per_example
from captum_clustered._ablation.torch_settings import eager_mode
from captum_clustered._ablation.vmap_pass import single_pass
from captum_clustered._clustering.channel_gram import ChannelGram
from captum_clustered._clustering.clusterers import (
    Clusterer,
    ClustererType,
    FixedLabels,
    make_clusterer,
)
from captum_clustered._clustering.features import channel_first
from captum_clustered._maps import SCALINGS, Result
from captum_clustered.clusters import Clusters

TensorOrTuple = Union[Tensor, tuple[Tensor, ...]]
# Restarts of k-means where it runs once for all images.
FIT_RESTARTS = 10


class ClusteredLayerCAM(LayerAttribution, PerturbationAttribution):
    r"""
    Computes Clustered-CAM attribution for a chosen layer: a class activation map that
    needs no gradient.

    The layer's channels are clustered by the similarity of their feature maps. Each cluster
    is ablated (replaced by a baseline), and the cluster's map counts as much as the
    score of the target falls. All ablations run in one forward pass of the model.

    It takes what Captum's ``LayerGradCam`` takes and gives attributions of the same
    shape. With each channel a cluster of its own, ``scaling="density"``, a layer without
    negative values, global average pooling and a linear head, both are equal.

    For a layer A (N, C, \*spatial), baseline B, D = A - B, the score f of the target and
    a cluster j whose importance is d_j (its drop, f minus f with the cluster ablated, or its
    Shapley value), the attribution of channel c in cluster j is

    - ``scaling="density"``: :math:`d_j |D_c| / \sum_{c' \in j} \sum_x |D_{c'}(x)|`. Each
      cluster's importance is spread over where the cluster fires: the map is in units of the
      score and sums to the sum of the importances.
    - ``scaling="drop"``: :math:`d_j D_c`, which weighs a cluster also by how strongly it
      fires.

    The method is that of Eskandari, Du and AlZoubi, "Clustered-CAM: Visual Explanations
    for Deep Convolutional Networks for Thyroid Nodule Ultrasound Image Classification",
    MIDL 2022. The paper leaves open how maps are clustered, into how many clusters, and
    how drops become a map: these choices are ours, and all of them are parameters.
    Weights are never divided by the score, unlike Ablation-CAM's: the division cancels
    in a normalized map, and a negative logit would turn the map around.
    """

    _on_result: Callable[[Result], None] | None = None

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: Module,
        device_ids: list[int] | None = None,
        *,
        clusterer: ClustererType = 10,
        scaling: str = "density",
        importance: str = "ablation",
        n_clusterings: int = 1,
        n_samples: int = 25,
        seed: int = 0,
        channel_dim: int = 1,
    ) -> None:
        r"""
        Args:

            forward_func (Callable): The forward function of the model or any
                        modification of it. Which score it returns (logit, probability,
                        margin: see :mod:`captum_clustered.scores`) is what drops are
                        measured in.
            layer (torch.nn.Module): Layer for which attributions are computed; usually
                        the last convolutional one. If it is called several times in a
                        forward pass, its last call counts.
            device_ids (list[int], optional): Device ID list, necessary only if
                        forward_func applies a DataParallel model.
                        Default: None
            clusterer (int, estimator, Callable or Tensor, optional): How channels are
                        clustered, for each example by itself:

                        - an int: number of clusters for the built-in k-means
                        - an object with scikit-learn's ``fit_predict``; it is cloned for
                          each example, and its noise label -1 makes one more cluster
                        - a callable that takes rows (C, P) and returns C labels
                        - a LongTensor (C,): fixed labels, the same for all examples (a
                          tuple of them for a layer of several tensors)

                        Rows are the feature maps, flattened and scaled to unit length.
                        Default: 10
            scaling (str, optional): "density" or "drop", see above.
                        Default: "density"
            importance (str, optional): "ablation": what the score loses without the
                        cluster. "shapley": the cluster's Shapley value among all clusters,
                        exact for up to 10 clusters (2^k evaluations), else sampled.
                        Default: "ablation"
            n_clusterings (int, optional): Number of clusterings with seeds seed, seed + 1...
                        whose attributions are averaged, in the same forward pass. More
                        make the map more stable under small changes of the input. It
                        has no effect on clusters learned by :meth:`fit`.
                        Default: 1
            n_samples (int, optional): Number of permutations for sampled Shapley values.
                        Default: 25
            seed (int, optional): Seed of clusterings and permutations. Global random
                        number generators are neither used nor changed.
                        Default: 0
            channel_dim (int, optional): The layer's dimension of channels; -1 for the
                        (N, T, C) tokens of most transformers.
                        Default: 1

        Raises:

            TypeError: If ``layer`` is no module or ``clusterer`` of no accepted kind.
            ValueError: If another argument is not one of the values above.
        """
        LayerAttribution.__init__(self, forward_func, layer, device_ids)
        PerturbationAttribution.__init__(self, forward_func)
        self.scaling = scaling
        self.importance = importance
        self.n_clusterings = n_clusterings
        self.n_samples = n_samples
        self.seed = seed
        self.channel_dim = channel_dim
        self.clusterer = clusterer
        self._checked_clusterer()
        self._fitted: FixedLabels | None = None
        self._fitted_at_input = False

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
        layer_baselines: LayerBaselines = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        return_convergence_delta: bool = False,
        return_clusters: bool = False,
    ) -> Any:
        r"""
        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, with the N examples in dimension 0 of each tensor.
            target (int, tuple, Tensor or list, optional): Output indices whose score is
                        explained, as in all of Captum: an int or a tensor with one
                        integer for all examples, a list of integers or a 1D tensor with
                        one for each, a tuple or a list of tuples for outputs of more
                        than two dimensions, None if forward_func returns one score for
                        each example.
                        Default: None
            additional_forward_args (Any, optional): Further arguments of forward_func,
                        which are passed on after the inputs.
                        Default: None
            attribute_to_layer_input (bool, optional): Whether to attribute to the
                        layer's input instead of its output.
                        Default: False
            relu_attributions (bool, optional): Whether to apply a ReLU to the final
                        attribution, which leaves what speaks for the target.
                        Default: False
            attr_dim_summation (bool, optional): Whether to sum over the channels.
                        Default: True
            layer_baselines (scalar, Tensor or tuple of these, optional): What ablated
                        channels are replaced by; a tensor must broadcast to the layer's
                        shape. A tuple has one for each tensor of the layer.
                        Default: None (zero)
            perturbations_per_eval (int, optional): Number of ablations in one forward
                        pass, to bound memory: behind the layer, the batch grows by this
                        factor. Further forward passes leave out what comes in front of
                        the layer (hooks there see tensors without values), unless it
                        draws random numbers or is not made of torch's functions.
                        Default: None (all, unless the layer's share exceeds 2^28
                        elements)
            show_progress (bool, optional): Displays the progress over the ablations.
                        Default: False
            return_convergence_delta (bool, optional): Whether to return by how much the
                        attribution misses completeness. Needs ``scaling="density"``.
                        Default: False
            return_clusters (bool, optional): Whether to return the clusters, their
                        importances and maps.
                        Default: False

        Returns:
            **attributions** or a tuple of **attributions**\[, **delta**\]\[, **clusters**\]:

            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        Of shape (N, 1, \*spatial), or (N, C, \*spatial) if
                        ``attr_dim_summation`` is False, detached; a tuple if the layer
                        has several tensors. In the layer's dtype, as LayerGradCam's: in
                        half precision small values are lost, and ``clusters.maps``, in
                        float32, keep them.
            - **delta** (*Tensor*, returned if return_convergence_delta=True):
                        Sum of the attribution before any ReLU minus the score's
                        difference between the layer and its baseline, shape (N,). Zero
                        up to rounding for ``importance="shapley"``; for "ablation" it
                        is the interaction of the clusters.
            - **clusters** (*Clusters*, returned if return_clusters=True):
                        See :class:`Clusters`.

        Raises:

            TypeError: If inputs are no tensors or forward_func returns none.
            ValueError: If an argument does not fit the others, the model or the layer;
                        the message names it. If the layer is not reached or has values
                        that are not finite.

        Warns:

            UserWarning: If the model is in training mode and that makes a difference.
            UserWarning: If the model cannot run under :func:`torch.func.vmap`. Then it
                        runs once for each ablation, with the same result.

        Examples::

            >>> # ImageClassifier takes a single input tensor of images Nx3x32x32 and
            >>> # returns an Nx10 tensor of logits. Its last convolutional layer conv4
            >>> # has an output of Nx50x8x8.
            >>> net = ImageClassifier()
            >>> cam = ClusteredLayerCAM(net, net.conv4)
            >>> input = torch.randn(2, 3, 32, 32)
            >>> # Attribution of class 3, of shape Nx1x8x8
            >>> attr = cam.attribute(input, 3)
            >>> # Upsampled to the size of the input
            >>> upsampled_attr = LayerAttribution.interpolate(attr, (32, 32), "bilinear")
            >>> # The clusters of channels and how far the score falls without each
            >>> attr, clusters = cam.attribute(input, 3, return_clusters=True)
            >>> clusters.importances  # (N, 10)
        """
        inputs, n_examples = _check_inputs(inputs)
        if perturbations_per_eval is not None:
            _check_int("perturbations_per_eval", perturbations_per_eval, 1)
        clusterer = self._clustering(attribute_to_layer_input)
        scaling = SCALINGS[self.scaling]
        if return_convergence_delta and not scaling.is_additive:
            additive = " or ".join(repr(s.name) for s in SCALINGS.values() if s.is_additive)
            raise ValueError(
                f"return_convergence_delta=True needs scaling={additive}: with scaling="
                f"{self.scaling!r} the attribution is not in units of the score."
            )
        name = layer_name(self.forward_func, self.layer)
        state = ModelState(self.forward_func, self.layer, inputs)
        with torch.no_grad(), eager_mode():
            plan = Plan(
                n_examples=n_examples,
                clusterer=clusterer,
                n_clusterings=1 if self._fitted else self.n_clusterings,
                importance=IMPORTANCES[self.importance],
                n_samples=self.n_samples,
                seed=self.seed,
                channel_dim=self.channel_dim,
                layer_baselines=layer_baselines,
                wants_empty=return_convergence_delta or return_clusters,
                layer_name=name,
            )
            bar = _ProgressBar(f"{self.get_name()} attribution") if show_progress else None
            task = Task(
                score=lambda: self._score(
                    state, inputs, target, additional_forward_args, n_examples
                ),
                layer=self.layer,
                at_input=attribute_to_layer_input,
                plan=plan,
                n_rows=plan.expected_rows,
                perturbations_per_eval=perturbations_per_eval,
                forward_func=self.forward_func,
                progress=bar.show if bar else _no_progress,
            )
            try:
                evaluation = self._evaluate(task)
            finally:
                if bar:
                    bar.close()
            state.warn_if_training(stacklevel=3)
            with without_autocast(evaluation.scores):
                result = Result(evaluation, scaling)
                if self._on_result is not None:
                    self._on_result(result)
                attributions = result.attributions(attr_dim_summation)
                if not all(torch.isfinite(attribution).all() for attribution in attributions):
                    check_evaluation(evaluation, name)
                if relu_attributions:
                    attributions = tuple(map(torch.relu, attributions))
                output: list[Tensor | Tensors | Clusters] = [
                    _format_output(len(attributions) > 1, attributions)
                ]
                if return_convergence_delta:
                    output.append(result.delta())
                if return_clusters:
                    output.append(result.clusters())
        return tuple(output) if len(output) > 1 else output[0]

    def fit(
        self,
        inputs: TensorOrTuple | Iterable[Any],
        additional_forward_args: object | None = None,
        attribute_to_layer_input: bool = False,
    ) -> ClusteredLayerCAM:
        r"""
        Learns one clustering of the layer's channels for all images, so that cluster 3 means
        the same in every image; :meth:`attribute` uses it from then on.

        Channels are compared by all their maps on the reference inputs at once. Inputs
        are streamed: memory grows with the square of the number of channels, not with
        the number of images.

        Args:

            inputs (Tensor, tuple[Tensor, ...] or iterable): Reference inputs: one batch,
                        or an iterable of batches such as a DataLoader. A batch is what
                        :meth:`attribute` takes, or a list whose first item is that (what
                        a DataLoader of (image, label) yields). Batches must be on the
                        model's device. Images may differ in size between batches.
            additional_forward_args (Any, optional): As in :meth:`attribute`, the same
                        for all batches.
                        Default: None
            attribute_to_layer_input (bool, optional): As in :meth:`attribute`, where it
                        then must have the same value.
                        Default: False

        Returns:
            ClusteredLayerCAM: self, with the attribute ``labels_``: LongTensor (C,), a
            tuple for a layer of several tensors. It can be saved with ``torch.save`` and
            given to another instance as ``clusterer``.

        Raises:

            ValueError: If there is no input, the number of channels changes, the layer
                        is not reached, or ``clusterer`` already is fixed labels.
            TypeError: If a batch is no tensor or tuple of tensors.

        Examples::

            >>> cam = ClusteredLayerCAM(net, net.conv4).fit(train_loader)
            >>> torch.save(cam.labels_, "clusters.pt")
            >>> cam = ClusteredLayerCAM(net, net.conv4, clusterer=torch.load("clusters.pt"))
        """
        clusterer = self._checked_clusterer()
        if isinstance(clusterer, FixedLabels):
            raise ValueError("fit() has nothing to learn: clusterer is fixed labels.")
        name = layer_name(self.forward_func, self.layer)
        grams: list[ChannelGram] = []
        batches = [inputs] if isinstance(inputs, (Tensor, tuple)) else inputs
        if not isinstance(batches, Iterable):
            raise TypeError(
                "inputs must be a Tensor, a tuple of Tensors or an iterable of batches; got "
                f"{type(inputs).__name__}."
            )
        with torch.no_grad(), eager_mode():
            for batch in batches:
                tensors = self._layer_tensors(
                    batch, additional_forward_args, attribute_to_layer_input
                )
                grams = grams or [ChannelGram() for _ in tensors]
                if len(grams) != len(tensors):
                    raise ValueError(f"layer {name} changed its number of tensors between batches.")
                for gram, tensor in zip(grams, tensors, strict=True):
                    maps = channel_first(tensor, self.channel_dim)
                    if gram.n_channels not in (None, maps.shape[1]):
                        raise ValueError(
                            f"layer {name} has {maps.shape[1]} channels on one batch and "
                            f"{gram.n_channels} on those before: all must have the same."
                        )
                    with without_autocast(maps):
                        gram.add(maps)
            if not grams:
                raise ValueError("fit() needs at least one batch in inputs; there was none.")
            labels = tuple(
                clusterer(gram.rows()[None], index, FIT_RESTARTS)[0][0, 0]
                for index, gram in enumerate(grams)
            )
        self._fitted = FixedLabels(labels)
        self._fitted_at_input = attribute_to_layer_input
        return self

    @property
    def labels_(self) -> TensorOrTuple:
        """
        The clusters that :meth:`fit` has learned, a copy: LongTensor (C,), or a tuple for a
        layer of several tensors.
        """
        if self._fitted is None:
            raise AttributeError("labels_ is known after fit().")
        labels = self._fitted.labels
        return _format_output(len(labels) > 1, labels)

    def has_convergence_delta(self) -> bool:
        """Returns True: attribute() takes return_convergence_delta."""
        return True

    @classmethod
    def get_name(cls) -> str:
        """The method's name, which Captum would spell "Clustered Layer C A M"."""
        return "Clustered Layer CAM"

    @contextmanager
    def _watched(self) -> Iterator[list[Result]]:
        """
        Puts what attribute() comes to into a list, for a while.

        Unlike return_clusters, it evaluates nothing more: to the last bit, attributions and
        costs are those of a call that nobody watches.
        """
        seen: list[Result] = []
        self._on_result = seen.append
        try:
            yield seen
        finally:
            del self._on_result

    def _checked_clusterer(self) -> Clusterer:
        """Refuses settings that do not fit; at each call, since attributes may change."""
        if not isinstance(self.layer, Module):
            raise TypeError(f"layer must be a torch.nn.Module; got {type(self.layer).__name__}.")
        _check_choice("scaling", self.scaling, SCALINGS)
        _check_choice("importance", self.importance, IMPORTANCES)
        _check_int("n_clusterings", self.n_clusterings, 1)
        _check_int("n_samples", self.n_samples, 1)
        _check_int("seed", self.seed, 0)
        if not _is_int(self.channel_dim) or self.channel_dim == 0:
            raise ValueError(
                f"channel_dim={self.channel_dim!r} must be an int other than 0, which is the "
                "dimension of the examples."
            )
        return make_clusterer(self.clusterer, int(self.n_clusterings), int(self.seed))

    def _clustering(self, attribute_to_layer_input: bool) -> Clusterer:
        clusterer = self._checked_clusterer()
        if self._fitted is None:
            return clusterer
        if attribute_to_layer_input != self._fitted_at_input:
            raise ValueError(
                f"attribute_to_layer_input={attribute_to_layer_input}, but fit() learned clusters "
                f"with attribute_to_layer_input={self._fitted_at_input}."
            )
        return self._fitted

    def _score(
        self,
        state: ModelState,
        inputs: Tensors,
        target: TargetType,
        additional_forward_args: object,
        n_examples: int,
    ) -> Tensor:
        with state.restored():
            output = _run_forward(self.forward_func, inputs, None, additional_forward_args)
        if not isinstance(output, Tensor):
            raise TypeError(
                f"forward_func must return a tensor; got {type(output).__name__}. Wrap the model "
                "in a function that returns the scores."
            )
        try:
            selected = _select_targets(output, target)
        except torch.cuda.OutOfMemoryError:
            raise
        except (AssertionError, IndexError, RuntimeError) as error:
            raise ValueError(
                f"target={target!r} does not fit the output of forward_func, of shape "
                f"{tuple(output.shape)}: {error}"
            ) from error
        return per_example(selected, n_examples)

    def _evaluate(self, task: Task) -> Evaluation:
        """The single pass, or the replay where the model cannot do that."""
        # DataParallel runs replicas in threads, out of vmap's reach.
        device_ids = self._device_ids()
        failure = ""
        cause: Exception | None = None
        if device_ids is None or len(device_ids) < 2:
            try:
                return single_pass(task)
            except (torch.cuda.OutOfMemoryError, MemoryError):
                raise
            except PlanError as error:
                cause = error.cause
            except Exception as error:  # noqa: BLE001
                # Whether this is vmap's failure or the user's shows in the replay, which
                # raises the latter again.
                failure = f"{type(error).__name__}: {error}"
        if cause is not None:
            # Out here, so that the user sees the exception alone.
            raise cause
        evaluation = replay(task, device_ids)
        if failure:
            warnings.warn(
                f"{self.get_name()} ran the model once for each ablation instead of once in all, "
                f"because it cannot run under torch.func.vmap ({failure}).",
                stacklevel=4,
            )
        return evaluation

    def _device_ids(self) -> list[int] | None:
        return self.device_ids or getattr(self.forward_func, "device_ids", None)

    def _layer_tensors(
        self, batch: Any, additional_forward_args: object, attribute_to_layer_input: bool
    ) -> Tensors:
        """The layer's tensors on one batch of fit()."""
        first = batch[0] if isinstance(batch, list) and batch else batch
        inputs, n_examples = _check_inputs(first)
        name = layer_name(self.forward_func, self.layer)
        seen = Recorder()
        state = ModelState(self.forward_func, self.layer, inputs)
        with tap(self.layer, attribute_to_layer_input, seen.record), state.restored():
            _run_forward(self.forward_func, inputs, None, additional_forward_args)
        if not seen.tensors:
            raise not_reached(self.forward_func, self.layer)
        state.warn_if_training(stacklevel=3)
        tensors = seen.gathered(self._device_ids())
        check_layer(tensors, n_examples, self.channel_dim, name)
        check_finite(tensors, name)
        return tensors


class _ProgressBar:
    """Captum's progress bar over the ablations, whose number is known late."""

    def __init__(self, description: str) -> None:
        self._bar: Any = None
        self._description = description

    def show(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = progress(desc=self._description, total=total)
            self._done = 0
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _no_progress(done: int, total: int) -> None:
    pass


def _check_inputs(inputs: Any) -> tuple[Tensors, int]:
    formatted = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in formatted:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"inputs must be a Tensor or a tuple of Tensors; got {type(tensor).__name__}."
            )
    if not formatted or formatted[0].dim() == 0 or len(formatted[0]) == 0:
        raise ValueError("inputs must hold at least one example, in dimension 0; got none.")
    return formatted, len(formatted[0])


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        accepted = " or ".join(map(repr, choices))
        raise ValueError(f"{name}={value!r} must be {accepted}.")


def _check_int(name: str, value: int, minimum: int) -> None:
    if not _is_int(value) or value < minimum:
        raise ValueError(f"{name}={value!r} must be an int of at least {minimum}.")


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
