"""Clusters of channels that are fitted once for a network and a layer, and stored on disk."""

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
    Fit clusters on reference images, or load them if the file has those of this network and
    these images.

    Args:

        network (torch.nn.Module): The network that contains the layer.
        target (Target): The layer.
        dataset (Dataset): Reference images, which must not be the explained ones.
        path (Path): File of the clusters, rewritten if it has other clusters.
        batch_size (int): Images in a batch.
        n_clusters (int, optional): Number of clusters.
                    Default: 10, the library's default

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
    # Both layers are a single tensor, so labels_ is no tuple.
    labels = torch.as_tensor(cam.labels_).cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save({"key": key, "labels": labels}, temporary)
    os.replace(temporary, path)
    return labels


def fitted_method(labels: Tensor) -> Factory:
    """
    Return a method for :func:`captum_clustered.compare` with these clusters.

    Stored batches identify a function by its name. The name therefore contains a hash of the
    clusters, so that results of other clusters are not reused.
    """

    def method(forward_func: Callable[..., Tensor], layer: nn.Module) -> LayerAttribution:
        return ClusteredLayerCAM(forward_func, layer, clusterer=labels)

    method.__qualname__ = (
        f"fitted {hashlib.blake2b(labels.numpy().tobytes(), digest_size=8).hexdigest()}"
    )
    return method


def _images(dataset: Any) -> str:
    """Return a hash of the images' file names and transforms, without reading the images."""
    indices: list[int] = list(range(len(dataset)))
    while hasattr(dataset, "indices"):
        indices = [dataset.indices[index] for index in indices]
        dataset = dataset.dataset
    names = [str(dataset.samples[index].image) for index in indices]
    lines = [repr(dataset.transforms), *names]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()
