"""Small pictures of images, masks, maps and clusters, for figures and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
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
    The clusters behind one method's maps of n images, of several clusterings those of the first.

    Of more than ``MOST_CLUSTERS``, those with the largest absolute importance are stored.
    """

    importance: str  # its name in IMPORTANCES
    n_runs: int  # clusterings that the method averages
    n_clusters: NDArray[np.int64]  # all that are not empty, (n,); 0 where the method failed
    maps: NDArray[np.float32]  # the parts of the clusters in the method's map, (n, k, h, w)
    ranges: NDArray[np.float32]  # of each map before it was shrunk, (n, k, 2)
    importances: NDArray[np.float32]  # (n, k)
    sizes: NDArray[np.int64]  # numbers of channels, (n, k); 0 if there is no cluster

    @classmethod
    def of(
        cls,
        n_images: int,
        parts: list[tuple[list[int], ClusterAttribution]],
        small: Callable[[Tensor], Tensor],
    ) -> KeptClusters:
        """
        Collect the clusters of n images from the attributions of the images of some indices.

        ``small`` shrinks maps (N, k, height, width) to the stored size.
        """
        found = [(some, *_most_important(result)) for some, result in parts]
        # Images may differ in their number of clusters.
        k = max(sizes.shape[1] for *_, sizes, _ in found)

        def of_all(values: list[Tensor]) -> NDArray[Any]:
            kept = values[0].new_zeros(n_images, k, *values[0].shape[2:])
            for (some, *_), value in zip(found, values, strict=True):
                kept[some, : value.shape[1]] = value
            return kept.cpu().numpy()

        n_clusters = np.zeros(n_images, np.int64)
        for some, *_, counts in found:
            n_clusters[some] = counts.cpu()
        return cls(
            parts[0][1].importance.name,
            parts[0][1].n_clusterings,
            n_clusters,
            of_all([small(maps) for _, maps, *_ in found]),
            of_all([torch.stack(maps.flatten(2).aminmax(dim=2), 2) for _, maps, *_ in found]),
            of_all([importances for _, _, importances, *_ in found]),
            of_all([sizes for *_, sizes, _ in found]),
        )

    def arrays(self, prefix: str) -> dict[str, Any]:
        """Return all arrays, under names that start with the prefix."""
        return {f"{prefix}{name}": np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, arrays: Mapping[str, Any], prefix: str) -> KeptClusters:
        """Return what :meth:`arrays` gave."""
        values = {each.name: arrays[prefix + each.name] for each in fields(cls)}
        values["importance"] = str(values["importance"])
        values["n_runs"] = int(values["n_runs"])
        return cls(**values)


@dataclass(frozen=True)
class GalleryImage:
    """An image of the gallery."""

    number: int  # in the data
    picture: NDArray[np.uint8]  # the original image or the network's input, (H, W, 1 or 3)
    maps: dict[str, NDArray[np.float32]]  # of the methods that did not fail
    mask: NDArray[np.bool_] | None = None
    # Its label, prediction, probability of the prediction, and target.
    facts: dict[str, Any] = field(default_factory=dict)
    seen: Seen = WHOLE  # the part of the picture that the network saw


@dataclass
class Pictures:
    """
    Pictures of the n compared images of a batch; empty unless images are 2-D.

    The images are the original ones or, if these are not known, the network's inputs, each of its
    own size, (height, width, 1 or 3). The others are by method; those that failed on all images
    are missing.
    """

    images: list[NDArray[np.uint8]] | None = None
    masks: list[NDArray[np.bool_]] | None = None
    seen: list[Seen] = field(default_factory=list)  # the part of each image that the network saw
    are_originals: bool = False
    # With their signs, (n, h, w), NaN where the method failed; their ranges before they were
    # shrunk, (n, 2); and the clusters of methods that have clusters.
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    ranges: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    clusters: dict[str, KeptClusters] = field(default_factory=dict)

    def start(self, batch: ImageBatch) -> None:
        """Take the images and their masks."""
        if batch.inputs.dim() != 4:
            return
        self.images = [_small_picture(stretched(image)) for image in batch.inputs]
        if batch.masks is not None:
            self.masks = [_small_mask(mask[0]) for mask in batch.masks]
        self.seen = [WHOLE] * len(batch)

    def show(self, originals: list[Original | None]) -> None:
        """Take the original images instead of the inputs, if all of them are known."""
        known = [original for original in originals if original is not None]
        if self.images is None or len(known) < len(self.images):
            return
        pictures = [torch.from_numpy(each.picture).movedim(2, 0) / 255 for each in known]
        self.images = [_small_picture(picture) for picture in pictures]
        masks = [torch.from_numpy(each.mask) for each in known if each.mask is not None]
        self.masks = [_small_mask(mask) for mask in masks] or None
        self.seen = [each.seen for each in known]
        self.are_originals = True

    def add(self, method: str, indices: list[int], maps: Tensor) -> None:
        """Take a method's maps (N, 1, height, width) of some of the images."""
        if self.images is None:
            return
        maps = maps.detach().float()
        extremes = torch.stack(maps.flatten(1).aminmax(dim=1), 1)
        self.maps[method] = self._of_all(indices, shrunk(maps, MAP_SIDE)[:, 0])
        self.ranges[method] = self._of_all(indices, extremes)

    def add_clusters(
        self, method: str, parts: list[tuple[list[int], ClusterAttribution | None]]
    ) -> None:
        """Take the clusters behind a method's maps of some of the images, if there are any."""
        known = [(indices, result) for indices, result in parts if result is not None]
        if self.images is None or not known:
            return
        self.clusters[method] = KeptClusters.of(
            len(self.images), known, lambda maps: shrunk(maps, MAP_SIDE)
        )

    def gallery(self, images: list[dict[str, Any]]) -> list[GalleryImage]:
        """Return those images of the batch that belong to the gallery; their facts are given."""
        if self.images is None:
            return []
        return [
            GalleryImage(
                facts["image"],
                self.images[i],
                {name: maps[i] for name, maps in self.maps.items() if not np.isnan(maps[i]).all()},
                None if self.masks is None else self.masks[i],
                facts,
                self.seen[i],
            )
            for i, facts in enumerate(images)
            if facts["image"] < N_GALLERY
        ]

    def _of_all(self, indices: list[int], values: Tensor) -> NDArray[np.float32]:
        n = 0 if self.images is None else len(self.images)
        found = np.full((n, *values.shape[1:]), np.nan, np.float32)
        found[indices] = values.cpu().numpy()
        return found

    def write(self, file: IO[bytes]) -> None:
        """Write everything as arrays (.npz)."""
        arrays: dict[str, Any] = {"methods": np.array(list(self.maps), dtype=np.str_)}
        if self.images is not None:
            arrays |= {"seen": np.array(self.seen), "are_originals": np.array(self.are_originals)}
        # Numbers, because names of methods may hold letters that an archive does not accept.
        for kind in ("images", "masks", "maps", "ranges"):
            found = getattr(self, kind) or []
            found = found.values() if isinstance(found, dict) else found
            arrays |= {f"{kind}_{i}": values for i, values in enumerate(found)}
        for i, method in enumerate(self.maps):
            if method in self.clusters:
                arrays |= self.clusters[method].arrays(f"clusters_{i}_")
        np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Pictures:
        """Read what :meth:`write` has written; raise ValueError if it is anything else."""
        try:
            # np.load does not close a damaged file that it opened itself.
            with path.open("rb") as file, np.load(file) as arrays:
                methods = dict(enumerate(arrays["methods"].tolist()))
                if "seen" not in arrays:
                    return cls()
                seen = arrays["seen"].tolist()
                n, has_masks = range(len(seen)), "masks_0" in arrays
                return cls(
                    [arrays[f"images_{i}"] for i in n],
                    [arrays[f"masks_{i}"] for i in n] if has_masks else None,
                    [tuple(each) for each in seen],
                    bool(arrays["are_originals"]),
                    {method: arrays[f"maps_{i}"] for i, method in methods.items()},
                    {method: arrays[f"ranges_{i}"] for i, method in methods.items()},
                    {
                        method: KeptClusters.read(arrays, f"clusters_{i}_")
                        for i, method in methods.items()
                        if f"clusters_{i}_maps" in arrays
                    },
                )
        except (ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged or holds no pictures of a batch.") from error


def _most_important(result: ClusterAttribution) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return maps, importances and sizes of the clusters to store, and their number."""
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
    return (
        maps[rows, kept].float(),
        importances[rows, kept].float(),
        sizes[rows, kept],
        (sizes > 0).sum(1),
    )


def _small_picture(picture: Tensor) -> NDArray[np.uint8]:
    """Return a picture (channels, height, width) in [0, 1] as bytes, gray ones in one channel."""
    small = shrunk(picture[None], SIDE)
    return as_bytes(small[:, :1] if (small == small[:, :1]).all() else small)[0]


def _small_mask(mask: Tensor) -> NDArray[np.bool_]:
    small = shrunk(mask[None, None].float(), SIDE)[0, 0] >= 0.5
    return small.cpu().numpy()
