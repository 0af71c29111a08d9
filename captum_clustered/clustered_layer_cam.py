"""The attribution method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Union

from captum._utils.common import _format_output
from captum._utils.typing import TargetType
from captum.attr import LayerAttribution
from captum.attr._utils.attribution import PerturbationAttribution
from captum.log import log_usage
from torch import Tensor
from torch.nn import Module

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._ablation.hooks import Tensors
from captum_clustered._ablation.planner import LayerBaselines
from captum_clustered._argument_checks import check_choice, check_int, is_int
from captum_clustered._clustering.clusterers import (
    Clusterer,
    ClustererType,
    FixedLabels,
    make_clusterer,
)
from captum_clustered._fit import fit_labels
from captum_clustered._maps import cluster_attribution
from captum_clustered._scalings import SCALINGS
from captum_clustered.clusters import Clusters

TensorOrTuple = Union[Tensor, tuple[Tensor, ...]]


class ClusteredLayerCAM(LayerAttribution, PerturbationAttribution):
    r"""
    Computes Clustered-CAM attribution for a chosen layer: a class activation map that
    needs no gradient.

    The layer's channels are clustered by the similarity of their feature maps. Each cluster
    is ablated (replaced by a baseline), and its map is weighted by the drop in the target
    score. All ablations run in one forward pass of the model.

    It takes the arguments of Captum's ``LayerGradCam`` and returns attributions of the same
    shape. If each channel is one cluster, ``scaling="density"``, the layer has no negative
    values, and global average pooling and a linear head follow, both methods are equal.

    For a layer A (N, C, \*spatial), baseline B, D = A - B, the score f of the target and
    a cluster j with importance d_j (its drop, f minus f with the cluster ablated, or its
    Shapley value), the attribution of channel c in cluster j is

    - ``scaling="density"``: :math:`d_j |D_c| / \sum_{c' \in j} \sum_x |D_{c'}(x)|`. Each
      cluster's importance is spread over the places where the cluster fires. The map is in
      units of the score and sums to the sum of the importances.
    - ``scaling="drop"``: :math:`d_j D_c`. A cluster also counts more if it fires strongly.

    The method is by Eskandari, Du and AlZoubi, "Clustered-CAM: Visual Explanations
    for Deep Convolutional Networks for Thyroid Nodule Ultrasound Image Classification",
    MIDL 2022. The paper leaves open how maps are clustered, into how many clusters, and
    how drops become a map; these are parameters here. Unlike in Ablation-CAM, drops are not
    divided by the score: the division has no effect on a normalized map, and a negative
    logit would invert the map.
    """

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
        Set up the method. No model is run.

        Args:

            forward_func (Callable): The forward function of the model or any
                        modification of it. Drops are measured in the score that it
                        returns: a logit, or see :mod:`captum_clustered.scores` for
                        probabilities and margins.
            layer (torch.nn.Module): Layer for which attributions are computed; usually
                        the last convolutional one. If it is called several times in a
                        forward pass, its last call is used.
            device_ids (list[int], optional): Device ID list, necessary only if
                        forward_func applies a DataParallel model.
                        Default: None
            clusterer (int, estimator, Callable or Tensor, optional): How the channels of
                        each example are clustered:

                        - an int: number of clusters for the built-in k-means
                        - an object with scikit-learn's ``fit_predict``; it is cloned for
                          each example, and its noise label -1 becomes one more cluster
                        - a callable that takes features (C, P) and returns C labels
                        - a LongTensor (C,): fixed labels, the same for all examples (a
                          tuple of them for a layer of several tensors)

                        The features of a channel are its map, flattened to P positions
                        and scaled to unit length.
                        Default: 10
            scaling (str, optional): "density" or "drop", see above.
                        Default: "density"
            importance (str, optional): "ablation": the drop in the score when the cluster
                        is ablated. "shapley": the cluster's Shapley value among all
                        clusters, exact for up to 10 clusters (2^k evaluations), else
                        sampled.
                        Default: "ablation"
            n_clusterings (int, optional): Number of clusterings, with the seeds seed,
                        seed + 1 and so on, whose attributions are averaged in the same
                        forward pass. With more clusterings the map is more stable under
                        small changes of the input. Has no effect after :meth:`fit`.
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
        self._fitted_to_layer_input = False

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
        Compute attributions of the layer, and on request their clusters.

        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, with the N examples in dimension 0 of each tensor.
            target (int, tuple, Tensor or list, optional): Output indices whose score is
                        explained, as in all of Captum: one int for all examples or a
                        list of one for each; tuples for outputs of more than two
                        dimensions; None if forward_func returns one score per example.
                        Default: None
            additional_forward_args (Any, optional): Further arguments of forward_func,
                        which are passed on after the inputs.
                        Default: None
            attribute_to_layer_input (bool, optional): Whether to attribute to the
                        layer's input instead of its output.
                        Default: False
            relu_attributions (bool, optional): Whether to apply a ReLU to the final
                        attribution, which keeps only the evidence for the target.
                        Default: False
            attr_dim_summation (bool, optional): Whether to sum over the channels.
                        Default: True
            layer_baselines (scalar, Tensor or tuple of these, optional): The values that
                        replace ablated channels; a tensor must broadcast to the layer's
                        shape. A tuple has one for each tensor of the layer.
                        Default: None (zero)
            perturbations_per_eval (int, optional): Number of ablated copies of the layer
                        that are in memory at once. If the model needs more of them, it
                        runs once for each chunk of this size. A smaller batch of inputs
                        saves memory, too, and costs nothing.
                        Default: None (all, unless they exceed 2^28 elements)
            show_progress (bool, optional): Displays the progress over the ablations.
                        Default: False
            return_convergence_delta (bool, optional): Whether to return the error of
                        completeness. Needs ``scaling="density"``.
                        Default: False
            return_clusters (bool, optional): Whether to return the clusters, their
                        importances and maps.
                        Default: False

        Returns:
            **attributions** or a tuple of **attributions**\[, **delta**\]\[, **clusters**\]:

            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        Of shape (N, 1, \*spatial), or (N, C, \*spatial) if
                        ``attr_dim_summation`` is False, detached; a tuple if the layer
                        has several tensors. In the layer's dtype, as LayerGradCam's. In
                        half precision small values are lost; ``clusters.maps`` keeps them
                        in float32.
            - **delta** (*Tensor*, returned if return_convergence_delta=True):
                        Sum of the attribution before any ReLU minus the difference
                        between the scores of the layer and of its baseline, shape (N,).
                        Zero up to rounding for ``importance="shapley"``; for "ablation"
                        it is the interaction of the clusters.
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

            >>> # ImageClassifier takes images Nx3x32x32 and returns logits Nx10. Its last
            >>> # convolutional layer conv4 has an output of Nx50x8x8.
            >>> net = ImageClassifier()
            >>> cam = ClusteredLayerCAM(net, net.conv4)
            >>> attr = cam.attribute(input, target=3)  # Nx1x8x8
            >>> upsampled_attr = LayerAttribution.interpolate(attr, (32, 32), "bilinear")
            >>> attr, clusters = cam.attribute(input, target=3, return_clusters=True)
            >>> clusters.importances  # Nx10: the drop in the score without each cluster
        """
        if return_convergence_delta:
            self._checked_clusterer()
            SCALINGS[self.scaling].check_additive()
        result = cluster_attribution(
            self,
            inputs,
            target,
            additional_forward_args,
            attribute_to_layer_input,
            layer_baselines=layer_baselines,
            perturbations_per_eval=perturbations_per_eval,
            show_progress=show_progress,
            with_baseline_score=return_convergence_delta or return_clusters,
            stacklevel=4,
        )
        attributions = result.attributions(attr_dim_summation, relu_attributions)
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
        Learn one clustering of the layer's channels for all images, so that cluster 3 means
        the same in every image. :meth:`attribute` then uses it.

        Channels are compared by all their maps on the reference inputs. Inputs are streamed:
        memory grows with the square of the number of channels, not with the number of
        images.

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
        labels = fit_labels(
            self.forward_func,
            self.layer,
            inputs,
            additional_forward_args,
            attribute_to_layer_input,
            clusterer=clusterer,
            channel_dim=self.channel_dim,
            device_ids=self._device_ids(),
            stacklevel=2,
        )
        self._fitted = FixedLabels(labels)
        self._fitted_to_layer_input = attribute_to_layer_input
        return self

    @property
    def labels_(self) -> TensorOrTuple:
        """
        A copy of the labels that :meth:`fit` has learned: LongTensor (C,), or a tuple for a
        layer of several tensors.
        """
        if self._fitted is None:
            raise AttributeError("labels_ is known after fit().")
        labels = self._fitted.labels
        return _format_output(len(labels) > 1, labels)

    def has_convergence_delta(self) -> bool:
        """Return True: attribute() takes return_convergence_delta."""
        return True

    @classmethod
    def get_name(cls) -> str:
        """Return the method's name, which Captum would spell "Clustered Layer C A M"."""
        return "Clustered Layer CAM"

    def _checked_clusterer(self) -> Clusterer:
        """Check all settings; at each call, since attributes may change."""
        if not isinstance(self.layer, Module):
            raise TypeError(f"layer must be a torch.nn.Module; got {type(self.layer).__name__}.")
        check_choice("scaling", self.scaling, SCALINGS)
        check_choice("importance", self.importance, IMPORTANCES)
        check_int("n_clusterings", self.n_clusterings, 1)
        check_int("n_samples", self.n_samples, 1)
        check_int("seed", self.seed, 0)
        if not is_int(self.channel_dim) or self.channel_dim == 0:
            raise ValueError(
                f"channel_dim={self.channel_dim!r} must be an int other than 0, which is the "
                "dimension of the examples."
            )
        return make_clusterer(self.clusterer, int(self.n_clusterings), int(self.seed))

    def _current_clusterer(self, attribute_to_layer_input: bool) -> Clusterer:
        clusterer = self._checked_clusterer()
        if self._fitted is None:
            return clusterer
        if attribute_to_layer_input != self._fitted_to_layer_input:
            raise ValueError(
                f"attribute_to_layer_input={attribute_to_layer_input}, but fit() learned clusters "
                f"with attribute_to_layer_input={self._fitted_to_layer_input}."
            )
        return self._fitted

    def _device_ids(self) -> list[int] | None:
        return self.device_ids or getattr(self.forward_func, "device_ids", None)
