"""Removed pixels as weighted means of their neighbors."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse  # type: ignore[import-untyped]
from scipy.sparse.linalg import splu  # type: ignore[import-untyped]
from torch import Tensor

# Half of the eight neighbors' offsets and their weights; the others are opposite.
_NEIGHBOURS = (((0, 1), 1 / 6), ((1, 0), 1 / 6), ((1, 1), 1 / 12), ((1, -1), 1 / 12))


class LinearImputation:
    """
    The linear imputation of Rong et al., "A consistent and efficient evaluation strategy
    for attribution methods", ICML 2022, without its noise.

    Each removed pixel is the mean of its eight neighbors, direct ones with weight 1/6
    and diagonal ones with 1/12, those beyond the edge left out. Removed neighbors are
    unknown as well: it is a sparse linear system, with a solution as long as there is one
    pixel that is known.

    Args:

        height, width (int): The size of the images.
    """

    def __init__(self, height: int, width: int) -> None:
        self.system = _laplacian(height, width)

    def __call__(self, image: Tensor, removed: Tensor) -> Tensor:
        """
        Args:

            image (Tensor): Shape (channels, height, width).
            removed (Tensor): Booleans of shape (height, width), not all of them true.

        Returns:
            Tensor: The image with the removed pixels imputed, in its dtype and device.
        """
        missing = removed.flatten().cpu().numpy()
        if not missing.any():
            return image
        # A copy: of float64 on the CPU, numpy would see the image itself.
        values = image.flatten(1).cpu().double().clone().numpy()
        rows = self.system[np.flatnonzero(missing)]
        known = rows[:, np.flatnonzero(~missing)] @ values[:, ~missing].T
        unknown = rows[:, np.flatnonzero(missing)].tocsc()
        # Symmetric and positive definite: this ordering takes half the time of the default.
        factors = splu(
            unknown,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        values[:, missing] = factors.solve(-known).T
        return torch.from_numpy(values).to(image).view_as(image)


def _laplacian(height: int, width: int) -> sparse.csr_matrix:
    """The weighted Laplacian of the grid of pixels."""
    index = np.arange(height * width).reshape(height, width)
    first, second, weights = [], [], []
    for (down, right), weight in _NEIGHBOURS:
        here = index[: height - down, max(0, -right) : width - max(0, right)].ravel()
        there = index[down:, max(0, right) : width + min(0, right)].ravel()
        first += [here, there]
        second += [there, here]
        weights.append(np.full(2 * here.size, weight))
    places = (np.concatenate(first), np.concatenate(second))
    neighbors = sparse.csr_matrix((np.concatenate(weights), places), shape=(index.size,) * 2)
    return (sparse.diags(np.asarray(neighbors.sum(1)).ravel()) - neighbors).tocsr()
