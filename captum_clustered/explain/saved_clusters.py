"""Clusters of channels from files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_clustered._errors import explained, printable
from captum_clustered._storage.layout import CLUSTERS


def read_clusters(path: str | os.PathLike[str], n_channels: int | None = None) -> Tensor:
    """
    Read the cluster of each channel, as ClusteredLayerCAM takes it for ``clusterer``.

    Args:

        path (str or PathLike): One of

                    - a file of ``torch.save(cam.labels_, path)``
                    - the folder of a run with ``--fit``, or its ``clusters.json``
                    - an explanation (.npz), whose clusters then serve for every image

        n_channels (int, optional): Number of the layer's channels, to be checked.
                    Default: None

    Returns:
        Tensor: Labels, LongTensor (C,).

    Raises:

        FileNotFoundError: If there is no such file or folder.
        ValueError: If it does not hold the clusters of one layer, or of another one.
    """
    path = Path(path)
    name = printable(path)
    file = path / CLUSTERS if path.is_dir() else path
    if not file.exists():
        where = f"{name} has no {CLUSTERS}" if path.is_dir() else f"There is no file {name}"
        raise FileNotFoundError(f"clusters: {where}.")
    with explained(f"clusters: {name} cannot be read", ValueError):
        labels = torch.as_tensor(_content(file))
    if labels.dim() != 1 or not len(labels) or labels.is_floating_point() or (labels < 0).any():
        raise ValueError(
            f"clusters: {name} must hold the cluster of each channel, integers of shape (C,); it "
            f"holds {labels.dtype} of shape {tuple(labels.shape)}."
        )
    if n_channels not in (None, len(labels)):
        raise ValueError(
            f"clusters: {name} is for {len(labels)} channels; the layer has {n_channels}."
        )
    return labels.long()


def _content(file: Path) -> Any:
    if file.suffix == ".json":
        return json.loads(file.read_text(encoding="utf-8"))["clusters"]
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return arrays["labels"]
    return torch.load(file, map_location="cpu", weights_only=True)
