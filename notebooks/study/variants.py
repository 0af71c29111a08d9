"""Variants of Clustered-CAM that the grid compares and that are not in the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr import LayerActivation, LayerAttribution
from captum.log import log_usage
from sklearn.cluster import KMeans
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM

SEED = 0


class PositiveClusters(LayerAttribution):
    """
    Clustered-CAM from the clusters whose ablation lowers the score, without the others.

    It is not in the library: its maps are more stable, but average drop at 50% is worse.
    """

    def __init__(
        self, forward_func: Callable[..., Tensor], layer: nn.Module, **kwargs: Any
    ) -> None:
        """
        Args:

            forward_func, layer, **kwargs: As for ClusteredLayerCAM.
        """
        super().__init__(forward_func, layer)
        self.cam = ClusteredLayerCAM(forward_func, layer, **kwargs)

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Tensor, **kwargs: Any) -> Tensor:
        """Return the maps, (N, 1, height, width)."""
        _, clusters = self.cam.attribute(inputs, return_clusters=True, **kwargs)
        is_positive = (clusters.importances > 0)[..., None, None]
        return (clusters.maps * is_positive).sum(1, keepdim=True)


class Centered:
    """K-means of centered feature maps: by correlation instead of cosine similarity."""

    def __init__(self, n_clusters: int) -> None:
        self.n_clusters = n_clusters

    def __call__(self, rows: Tensor) -> Any:
        """Return the labels (C,) of feature maps (C, P)."""
        centered = F.normalize(rows - rows.mean(1, keepdim=True), dim=1)
        return _kmeans(self.n_clusters, centered).labels_

    def __repr__(self) -> str:
        return f"Centered({self.n_clusters})"


class RawRows(LayerAttribution):
    """Clustered-CAM with k-means of the feature maps, without scaling them to unit length."""

    def __init__(
        self, forward_func: Callable[..., Tensor], layer: nn.Module, n_clusters: int = 10
    ) -> None:
        """
        Args:

            forward_func, layer: As for ClusteredLayerCAM.
            n_clusters (int, optional): Number of clusters.
        """
        super().__init__(forward_func, layer)
        self.n_clusters = n_clusters

    @log_usage(part_of_slo=True)
    def attribute(
        self, inputs: Tensor, target: Any = None, attribute_to_layer_input: bool = False
    ) -> Tensor:
        """Return the maps, (N, 1, height, width)."""
        maps = _activations(self, inputs, attribute_to_layer_input)
        found = []
        for image, rows, wanted in zip(inputs, maps.flatten(2), target, strict=True):
            labels = torch.as_tensor(_kmeans(self.n_clusters, rows).labels_).long()
            cam = ClusteredLayerCAM(self.forward_func, self.layer, clusterer=labels)
            found.append(cam.attribute(image[None], int(wanted), None, attribute_to_layer_input))
        return torch.cat(found)


class SoftClusters(LayerAttribution):
    r"""
    Clustered-CAM with soft clusters: a channel belongs more to a cluster with a nearer center.

    Channel c belongs to cluster j with the share p_jc, a softmax of -\|r_c - m_j\|^2 / (t s) over
    the centers m_j of k-means, with s the mean of the squared distance to the nearest center.
    Ablation of cluster j removes the share p_jc of each channel. The map is that of the density
    scaling.
    """

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        layer: nn.Module,
        n_clusters: int = 10,
        temperature: float = 0.25,
    ) -> None:
        """
        Args:

            forward_func, layer: As for ClusteredLayerCAM.
            n_clusters (int, optional): Number of clusters.
            temperature (float, optional): The softness t; towards 0 clusters become hard. An
                        isotropic Gaussian mixture of rows of P positions has 2 / P.
        """
        super().__init__(forward_func, layer)
        self.n_clusters = n_clusters
        self.temperature = temperature

    @log_usage(part_of_slo=True)
    def attribute(
        self, inputs: Tensor, target: Any = None, attribute_to_layer_input: bool = False
    ) -> Tensor:
        """Return the maps, (N, 1, height, width)."""
        maps = _activations(self, inputs, attribute_to_layer_input)
        shares = torch.stack([self._shares(rows) for rows in maps.flatten(2)])
        scores = [
            self._score(inputs, target, attribute_to_layer_input, kept[..., None, None])
            for kept in (torch.ones_like(shares[:, 0]), *(1 - shares).unbind(1))
        ]
        drops = torch.stack([scores[0] - score for score in scores[1:]], 1)
        clusters = (shares @ maps.abs().flatten(2)).view(*shares.shape[:2], *maps.shape[2:])
        mass = clusters.sum((2, 3)).clamp(min=torch.finfo(clusters.dtype).tiny)
        return (clusters * (drops / mass)[..., None, None]).sum(1, keepdim=True)

    def _shares(self, rows: Tensor) -> Tensor:
        """Return the shares p (k, C) of feature maps (C, P)."""
        unit = F.normalize(rows, dim=1)
        centers = torch.as_tensor(_kmeans(self.n_clusters, unit).cluster_centers_)
        distance = torch.cdist(centers.to(unit), unit).square()
        return torch.softmax(-distance / (self.temperature * distance.amin(0).mean()), 0)

    def _score(self, inputs: Tensor, target: Tensor, at_input: bool, kept: Tensor) -> Tensor:
        if at_input:
            handle: Any = self.layer.register_forward_pre_hook(lambda _, args: (args[0] * kept,))
        else:
            handle = self.layer.register_forward_hook(lambda _, args, output: output * kept)
        try:
            with torch.no_grad():
                output = self.forward_func(inputs)
        finally:
            handle.remove()
        return output.gather(1, target[:, None])[:, 0]


def _activations(method: LayerAttribution, inputs: Tensor, at_input: bool) -> Tensor:
    """Return the feature maps of the layer, (N, C, height, width)."""
    maps: Tensor = LayerActivation(method.forward_func, method.layer).attribute(
        inputs, attribute_to_layer_input=at_input
    )
    return maps.detach()


def _kmeans(n_clusters: int, rows: Tensor) -> Any:
    """Fit scikit-learn's k-means on the CPU, for feature maps on any device."""
    return KMeans(n_clusters, n_init=1, random_state=SEED).fit(rows.numpy(force=True))
