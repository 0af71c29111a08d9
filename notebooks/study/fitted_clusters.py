"""Clusters of channels that are learned once for a network and a layer, and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerAttribution
from torch import Tensor, nn
from torch.utils.data import Dataset

from captum_clustered import ClusteredLayerCAM
from study.checkpoints import digest
from study.images import batches
from study.networks import Target

Factory = Callable[[Callable[..., Tensor], nn.Module], LayerAttribution]


def fitted_clusters(
    network: nn.Module,
    target: Target,
    dataset: Dataset[Any],
    path: Path,
    batch_size: int,
    n_clusters: int = 10,
) -> Tensor:
    """
    The clusters of :meth:`ClusteredLayerCAM.fit` on reference images, from the file if it has
    those of this network and these images.

    Args:

        network (torch.nn.Module): Of which the layer is.
        target (Target): The layer.
        dataset (Dataset): Reference images: not those that are explained.
        path (Path): File of the clusters, written if it does not have these.
        batch_size (int): Images at a time.
        n_clusters (int, optional): How many.
                    Default: 10, the library's

    Returns:
        Tensor: Cluster of each channel, LongTensor (C,).
    """
    names = {module: name for name, module in network.named_modules()}
    layer = f"{names[target.layer]} {target.at_input}"
    key = f"{digest(network)} {layer} {_images(dataset)} {n_clusters}"
    if path.is_file():
        found: dict[str, Any] = torch.load(path, weights_only=True)
        if found["key"] == key:
            labels: Tensor = found["labels"]
            return labels
    place = next(network.parameters()).device

    def images() -> Iterator[Tensor]:
        for images, *_ in batches(dataset, batch_size):
            yield images.to(place)

    cam = ClusteredLayerCAM(network, target.layer, clusterer=n_clusters)
    cam.fit(images(), attribute_to_layer_input=target.at_input)
    # Of one tensor, which both layers are.
    labels = torch.as_tensor(cam.labels_).cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save({"key": key, "labels": labels}, temporary)
    os.replace(temporary, path)
    return labels


def fitted_method(labels: Tensor) -> Factory:
    """
    A method for :func:`captum_clustered.compare` with these clusters.

    Stored batches tell functions apart by their names, so that of this one has a hash of
    the clusters: results of other clusters are not taken for its own.
    """

    def method(forward_func: Callable[..., Tensor], layer: nn.Module) -> LayerAttribution:
        return ClusteredLayerCAM(forward_func, layer, clusterer=labels)

    method.__qualname__ = (
        f"fitted {hashlib.blake2b(labels.numpy().tobytes(), digest_size=8).hexdigest()}"
    )
    return method


def _images(dataset: Any) -> str:
    """Which images, without reading them."""
    indices: list[int] = list(range(len(dataset)))
    while hasattr(dataset, "indices"):
        indices = [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    names = [str(dataset.samples[index].image) for index in indices]
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
