"""Clustered-CAM as a Captum layer attribution."""

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
from captum_clustered._ablation.model_state.model import layer_name
from captum_clustered._ablation.planner import LayerBaselines
from captum_clustered._argument_checks import check_choice, check_int, check_type, is_int
from captum_clustered._clustering.clusterers import (
    Clusterer,
    ClustererType,
    EachChannel,
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
    Clustered-CAM: a class activation map of a layer that needs no gradient.

    The layer's channels are clustered by the similarity of their feature maps. Each cluster
    is ablated (replaced by a baseline), and its map is weighted by the drop in the target
    score. For most models, all ablations run in one forward pass.

    It takes the arguments of Captum's ``LayerGradCam`` and returns attributions of the same
    shape.

    Let A (N, C, \*spatial) be the layer, B the baseline and D = A - B. The importance d_j of
    cluster j is its drop (the target score minus the score with the cluster ablated) or its
    Shapley value. The attribution of channel c in cluster j is

    - ``scaling="drop"``: :math:`d_j (m_c / M_j) D_c`, where :math:`m_c` is the mean of
      :math:`|D_c|` over the positions and :math:`M_j` the sum of :math:`m_c` over the
      cluster. Each channel gets a share of its cluster's importance and weights its map with
      it. If each channel is its own cluster, this is Ablation-CAM.
    - ``scaling="density"``: :math:`d_j |D_c| / \sum_{c' \in j} \sum_x |D_{c'}(x)|`. Each
      cluster's importance is spread over the positions where it is active. The map is in
      units of the score and sums to the sum of the importances.

    The method is by Eskandari, Du and AlZoubi, "Clustered-CAM: Visual Explanations
    for Deep Convolutional Networks for Thyroid Nodule Ultrasound Image Classification",
    MIDL 2022. The paper does not specify how maps are clustered, into how many clusters, and
    how drops become a map; these are parameters here. Unlike in Ablation-CAM, drops are not
    divided by the score, because a negative logit would invert the map.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: Module,
        device_ids: list[int] | None = None,
        *,
        clusterer: ClustererType = 10,
        scaling: str = "drop",
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
                        returns, usually a logit; :mod:`captum_clustered.scores` has
                        probabilities and margins.
            layer (torch.nn.Module): Layer for which attributions are computed; usually
                        the last convolutional one. If a forward pass calls it several
                        times, the last call is used.
            device_ids (list[int], optional): Device ID list, necessary only if
                        forward_func applies a DataParallel model.
                        Default: None
            clusterer (int, None, estimator, Callable or Tensor, optional): How the channels
                        of each example are clustered:

                        - an int: number of clusters for the built-in k-means
                        - None: each channel is its own cluster
                        - an object with scikit-learn's ``fit_predict``; it is cloned for
                          each example, and channels with the noise label -1 form one
                          more cluster
                        - a callable that takes features (C, P) and returns C labels
                        - a LongTensor (C,): fixed labels, the same for all examples (a
                          tuple of them for a layer of several tensors)

                        The features of a channel are its map, flattened to P positions
                        and scaled to unit length.
                        Default: 10
            scaling (str, optional): "drop" or "density", see above.
                        Default: "drop"
            importance (str, optional): "ablation": the drop in the score when the cluster
                        is ablated. "shapley": the cluster's Shapley value among all
                        clusters, exact for up to 10 clusters (2^k evaluations), else
                        sampled.
                        Default: "ablation"
            n_clusterings (int, optional): Number of clusterings (seeds seed, seed + 1
                        and so on) whose attributions are averaged, in the same forward
                        pass. More clusterings make the map more stable under small
                        changes of the input. Has no effect after :meth:`fit`.
                        Default: 1
            n_samples (int, optional): Number of permutations for sampled Shapley values.
                        Default: 25
            seed (int, optional): Seed of clusterings and permutations, which use no
                        global random number generator. If the model draws from torch's,
                        all ablations meet the same numbers, and no other thread's numbers
                        are repeated; a model that draws from Python's or NumPy's uses
                        these as usual.
                        Default: 0
            channel_dim (int, optional): The dimension of the layer's channels; -1 for
                        the tokens (N, T, C) of most transformers.
                        Default: 1

        Raises:

            TypeError: If ``layer`` is not a module, or ``clusterer`` has an unsupported type.
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
        # How often a forward pass called the layer last time.
        self._n_calls: int | None = None
        # Whether the model was found to draw random numbers in evaluation mode.
        self._can_draw: bool | None = None
        self.clusterer = clusterer
        self._check_settings()
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
        Compute attributions of the layer and, on request, its clusters.

        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions are
                        computed, with the N examples in dimension 0 of each tensor.
            target (int, tuple, Tensor or list, optional): Output indices whose score is
                        explained, as everywhere in Captum: one index for all examples or
                        a list with one per example. An index is an int, or a tuple for
                        outputs of more than two dimensions. None if forward_func returns
                        one score per example.
                        Default: None
            additional_forward_args (Any, optional): Further arguments of forward_func,
                        passed after the inputs.
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
            perturbations_per_eval (int, optional): Maximum number of ablated copies of
                        the layer in memory at once. If the model needs more of them, it
                        runs once for each chunk of this size. A smaller batch of inputs
                        also saves memory, at no extra cost.
                        Default: None (all, unless they need much memory)
            show_progress (bool, optional): Whether to show the progress over ablations.
                        Default: False
            return_convergence_delta (bool, optional): Whether to return by how much the
                        attribution misses the change in the score. Needs
                        ``scaling="density"``.
                        Default: False
            return_clusters (bool, optional): Whether to return the clusters, their
                        importances and maps.
                        Default: False

        Returns:
            **attributions** or a tuple of **attributions**\[, **delta**\]\[, **clusters**\]:

            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        Of shape (N, 1, \*spatial), or (N, C, \*spatial) if
                        ``attr_dim_summation`` is False, detached; a tuple if the layer
                        has several tensors, where one that occurs twice counts once.
                        They have the layer's dtype, like those of LayerGradCam. Half
                        precision loses small values; ``clusters.maps`` keeps them in
                        float32.
            - **delta** (*Tensor*, returned if return_convergence_delta=True):
                        Sum of the attribution before any ReLU, minus the drop in the
                        score when the whole layer is ablated; shape (N,). Zero up to
                        rounding for ``importance="shapley"``; for "ablation" it measures
                        the interaction of the clusters.
            - **clusters** (*Clusters*, returned if return_clusters=True):
                        See :class:`Clusters`.

        Raises:

            TypeError: If inputs are not tensors, or forward_func does not return a tensor.
            ValueError: If an argument does not fit the others, the model or the layer;
                        if the layer is not reached or has values that are not finite.

        Warns:

            UserWarning: If the model is in training mode and its output depends on that.
            UserWarning: If the model cannot run under :func:`torch.func.vmap`. Then it
                        runs once for each ablation, with the same result.
            UserWarning: If the shape of the layer says that ``channel_dim`` is another one.

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
            self._check_settings()
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
            # This method, attribute, Captum's log_usage, the user.
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
        Learn one clustering of the layer's channels. :meth:`attribute` then uses it for all
        images, instead of ``clusterer``, so that cluster 3 has the same channels in every image.

        Channels are compared by all their maps on the reference inputs. Inputs are streamed:
        memory grows with the square of the number of channels, not with the number of
        images.

        Args:

            inputs (Tensor, tuple[Tensor, ...] or iterable): Reference inputs: one batch,
                        or an iterable of batches such as a DataLoader or a list. A tuple
                        is one batch of a model with several inputs. A batch is what
                        :meth:`attribute` takes, or a list whose first item is that, such
                        as the [images, labels] of a DataLoader. Batches must be on the
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
                        is not reached, or ``clusterer`` is None or fixed labels.
            TypeError: If a batch is neither a tensor nor a tuple of tensors.

        Examples::

            >>> cam = ClusteredLayerCAM(net, net.conv4).fit(train_loader)
            >>> torch.save(cam.labels_, "clusters.pt")
            >>> cam = ClusteredLayerCAM(net, net.conv4, clusterer=torch.load("clusters.pt"))
        """
        clusterer = self._check_settings()
        if isinstance(clusterer, (EachChannel, FixedLabels)):
            given = "None" if isinstance(clusterer, EachChannel) else "fixed labels"
            raise ValueError(
                f"clusterer is {given}, so fit() has nothing to learn: use a number of clusters, "
                "an estimator or a callable."
            )
        labels = fit_labels(
            self, clusterer, inputs, additional_forward_args, attribute_to_layer_input, stacklevel=2
        )
        self._fitted = FixedLabels(labels)
        self._fitted_to_layer_input = attribute_to_layer_input
        return self

    @property
    def labels_(self) -> TensorOrTuple:
        """A copy of the labels that :meth:`fit` learned: LongTensor (C,), or a tuple of them."""
        if self._fitted is None:
            raise AttributeError("labels_ is available only after fit().")
        labels = tuple(label.clone() for label in self._fitted.labels)
        return _format_output(len(labels) > 1, labels)

    def __repr__(self) -> str:
        """Say in one line which layer is explained and how."""
        clusterer: Any = self._fitted.labels if self._fitted else self.clusterer
        if isinstance(clusterer, (Tensor, tuple)):
            labels = clusterer if isinstance(clusterer, tuple) else (clusterer,)
            clusterer = f"labels of {' and '.join(str(len(each)) for each in labels)} channels"
        return (
            f"{type(self).__name__}({layer_name(self.forward_func, self.layer)}, "
            f"clusterer={' '.join(str(clusterer).split())}, scaling={self.scaling!r}, "
            f"importance={self.importance!r}, n_clusterings={self.n_clusterings})"
        )

    def has_convergence_delta(self) -> bool:
        """Return whether :meth:`attribute` has a delta with this ``scaling``."""
        return SCALINGS[self.scaling].is_additive

    @classmethod
    def get_name(cls) -> str:
        """Return the method's name, which Captum would spell "Clustered Layer C A M"."""
        return "Clustered Layer CAM"

    def _check_settings(self) -> Clusterer:
        """Check the settings, which may change between calls, and return the clusterer."""
        check_type("layer", self.layer, Module, "a torch.nn.Module")
        check_choice("scaling", self.scaling, SCALINGS)
        check_choice("importance", self.importance, IMPORTANCES)
        check_int("n_clusterings", self.n_clusterings, 1)
        check_int("n_samples", self.n_samples, 1)
        check_int("seed", self.seed, 0)
        if not is_int(self.channel_dim) or self.channel_dim == 0:
            raise ValueError(
                f"channel_dim={self.channel_dim!r} must be a nonzero int: dimension 0 holds the "
                "examples."
            )
        return make_clusterer(self.clusterer, int(self.n_clusterings), int(self.seed))

    def _current_clusterer(self, attribute_to_layer_input: bool) -> Clusterer:
        clusterer = self._check_settings()
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
