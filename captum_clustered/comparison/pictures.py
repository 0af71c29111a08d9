"""Small pictures of images, masks, maps and clusters, for figures and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_clustered._maps import ClusterAttribution
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.data._originals import Original
from captum_clustered.visualization.arrays import as_bytes, shrunk, stretched
from captum_clustered.visualization.interpolation import WHOLE, Seen

# Longer side of pictures, and of maps larger than a layer's, such as a mask's.
SIDE = 224
MAP_SIDE = 64
# Clusters stored per image. One for each channel would fill the disk.
MOST_CLUSTERS = 20
# Images in the gallery of a comparison.
N_GALLERY = 6


@dataclass(frozen=True)
class KeptClusters:
    """
    The clusters behind one method's map of an image, of several clusterings those of the first.

    Of more than ``MOST_CLUSTERS``, those with the largest absolute importance are stored.
    """

    importance: str  # its name in IMPORTANCES
    n_runs: int  # clusterings that the method averages
    n_clusters: int  # all that are not empty
    maps: NDArray[np.float32]  # their parts in the method's map, (k, h, w)
    ranges: NDArray[np.float32]  # of each map before it was shrunk, (k, 2)
    importances: NDArray[np.float32]  # (k,)
    sizes: NDArray[np.int64]  # numbers of channels, (k,); 0 if there is no cluster

    @classmethod
    def of(cls, result: ClusterAttribution) -> list[KeptClusters]:
        """Return the clusters of each image."""
        clusters = result.clusters()
        maps, importances, sizes = clusters.maps, clusters.importances, clusters.sizes
        if isinstance(maps, tuple) or isinstance(importances, tuple) or isinstance(sizes, tuple):
            raise ValueError("the layer has several tensors, whose clusters have no common map.")
        if not (torch.isfinite(maps).all() and torch.isfinite(importances).all()):
            raise ValueError("maps or importances of its clusters are not finite.")
        # Empty clusters come last.
        order = torch.where(sizes > 0, importances.abs(), -1).argsort(
            dim=1, descending=True, stable=True
        )
        kept = order[:, :MOST_CLUSTERS].sort(1).values
        rows = torch.arange(len(kept), device=kept.device)[:, None]
        maps = maps[rows, kept].float()
        ranges = torch.stack(maps.flatten(2).aminmax(dim=2), 2)
        parts = (shrunk(maps, MAP_SIDE), ranges, importances[rows, kept].float(), sizes[rows, kept])
        arrays = (part.cpu().numpy() for part in parts)
        about, counts = (result.importance.name, result.n_clusterings), (sizes > 0).sum(1).tolist()
        return [cls(*about, n, *each) for n, *each in zip(counts, *arrays, strict=True)]


@dataclass
class KeptImage:
    """
    An image in small, and the maps of the methods that did not fail.

    The picture is the original one or, if that is not known, the network's input.
    """

    picture: NDArray[np.uint8]  # (H, W, 1 or 3)
    mask: NDArray[np.bool_] | None = None  # the object, (H, W)
    seen: Seen = WHOLE  # the part of the picture that the network saw
    is_original: bool = False
    # By method: maps with their sign, (h, w), their ranges before they were shrunk, (2,), and the
    # clusters of those that have clusters.
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    ranges: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    clusters: dict[str, KeptClusters] = field(default_factory=dict)
    # In the gallery: its number in the data, label, prediction with its probability, and target.
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Its number in the data."""
        return int(self.facts["image"])


@dataclass
class Pictures:
    """The compared images of a batch; none unless they are 2-D."""

    images: list[KeptImage] = field(default_factory=list)

    def start(self, batch: ImageBatch) -> None:
        """Take the images and their masks."""
        if batch.inputs.dim() == 4:
            self.images = [KeptImage(_small_picture(stretched(image))) for image in batch.inputs]
        masks = () if batch.masks is None else batch.masks
        for image, mask in zip(self.images, masks, strict=False):
            image.mask = _small_mask(mask[0])

    def show(self, originals: list[Original | None]) -> None:
        """Take the original images instead of the inputs, if all of them are known."""
        known = [original for original in originals if original is not None]
        if len(known) < len(originals):
            return
        for image, original in zip(self.images, known, strict=False):
            image.picture = _small_picture(torch.from_numpy(original.picture).movedim(2, 0) / 255)
            mask = original.mask
            image.mask = None if mask is None else _small_mask(torch.from_numpy(mask))
            image.seen, image.is_original = original.seen, True

    def add(self, method: str, indices: list[int], maps: Tensor) -> None:
        """Take a method's maps (N, 1, height, width) of some of the images."""
        if not self.images:
            return
        maps = maps.detach().float()
        extremes = torch.stack(maps.flatten(1).aminmax(dim=1), 1)
        small = shrunk(maps, MAP_SIDE)[:, 0]
        arrays = (part.cpu().numpy() for part in (small, extremes))
        for i, values, ends in zip(indices, *arrays, strict=True):
            self.images[i].maps[method], self.images[i].ranges[method] = values, ends

    def add_clusters(
        self, method: str, parts: list[tuple[list[int], ClusterAttribution | None]]
    ) -> None:
        """Take the clusters behind a method's maps of some of the images, if there are any."""
        if not self.images:
            return
        known = [(some, KeptClusters.of(result)) for some, result in parts if result is not None]
        for some, found in known:
            for i, kept in zip(some, found, strict=True):
                self.images[i].clusters[method] = kept

    def gallery(self, facts: list[dict[str, Any]]) -> list[KeptImage]:
        """Return those images of the batch that belong to the gallery, with facts of each."""
        pairs = zip(self.images, facts, strict=False)
        return [replace(image, facts=each) for image, each in pairs if each["image"] < N_GALLERY]

    def write(self, file: IO[bytes]) -> None:
        """Write everything as arrays (.npz)."""
        # Numbers, because names of methods may hold letters that an archive does not accept.
        methods = list(dict.fromkeys(name for image in self.images for name in image.maps))
        arrays: dict[str, Any] = {"methods": np.array(methods, dtype=np.str_)}
        arrays["n_images"] = len(self.images)
        for i, image in enumerate(self.images):
            found: dict[str, Any] = {
                name: getattr(image, name) for name in ("picture", "mask", "seen", "is_original")
            }
            for j, method in enumerate(methods):
                found |= {f"maps/{j}": image.maps.get(method)}
                found |= {f"ranges/{j}": image.ranges.get(method)}
                if method in image.clusters:
                    kept = vars(image.clusters[method])
                    found |= {f"clusters/{j}/{name}": value for name, value in kept.items()}
            arrays |= {f"{i}/{name}": value for name, value in found.items() if value is not None}
        np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Pictures:
        """Read what :meth:`write` has written; raise ValueError if it is anything else."""
        try:
            # np.load does not close a damaged file that it opened itself.
            with path.open("rb") as file, np.load(file) as arrays:
                methods = arrays["methods"].tolist()
                found = range(int(arrays["n_images"]))
                return cls([_read_image(arrays, f"{i}/", methods) for i in found])
        except (ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged or holds no pictures of a batch.") from error


def _read_image(arrays: Mapping[str, Any], prefix: str, methods: list[str]) -> KeptImage:
    numbers = {method: j for j, method in enumerate(methods) if f"{prefix}maps/{j}" in arrays}
    clusters = {}
    for method, j in numbers.items():
        place = f"{prefix}clusters/{j}/"
        if f"{place}maps" in arrays:
            kept = {each.name: arrays[place + each.name] for each in fields(KeptClusters)}
            # Numbers and texts are arrays without dimensions there.
            plain = {name: value if value.ndim else value.item() for name, value in kept.items()}
            clusters[method] = KeptClusters(**plain)
    return KeptImage(
        arrays[f"{prefix}picture"],
        arrays.get(f"{prefix}mask"),
        tuple(arrays[f"{prefix}seen"].tolist()),
        bool(arrays[f"{prefix}is_original"]),
        {method: arrays[f"{prefix}maps/{j}"] for method, j in numbers.items()},
        {method: arrays[f"{prefix}ranges/{j}"] for method, j in numbers.items()},
        clusters,
    )


def _small_picture(picture: Tensor) -> NDArray[np.uint8]:
    """Return a picture (channels, height, width) in [0, 1] as bytes, gray ones in one channel."""
    small = shrunk(picture[None], SIDE)
    return as_bytes(small[:, :1] if (small == small[:, :1]).all() else small)[0]


def _small_mask(mask: Tensor) -> NDArray[np.bool_]:
    small = shrunk(mask[None, None].float(), SIDE)[0, 0] >= 0.5
    return small.cpu().numpy()
