"""Remove and debias: the loss of probability when pixels are replaced by imputation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from captum._utils.typing import TargetType
from torch import Tensor

from captum_clustered.metrics._confidence import confidence, confidence_of_variants
from captum_clustered.metrics._masking import explanation_mask, is_number, pixel_ranks
from captum_clustered.metrics._registry import metric

__all__ = ["road"]

# Half of the offsets of the eight neighbors and their weights; the others are opposite.
_NEIGHBORS = (((0, 1), 1 / 6), ((1, 0), 1 / 6), ((1, 1), 1 / 12), ((1, -1), 1 / 12))


@metric(
    "ROAD",
    direction="higher",
    meaning="`(p without the least relevant pixels - p without the most relevant) / 2`, removed "
    "by noisy imputation; 0 is expected of a random map",
    values="-0.5 to 0.5",
    won_by="a Gaussian in the middle",
    is_slow=True,
    defaults=(),
)
def road(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: TargetType = None,
    additional_forward_args: Any = None,
    *,
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = 0.01,
    seed: int = 0,
    order: Literal["combined", "morf", "lerf"] = "combined",
    max_examples_per_batch: int | None = None,
) -> Tensor:
    r"""
    Compute the change of the probability when pixels are removed by noisy imputation.

    Each share of the pixels is removed in turn: those where the map is largest (MoRF,
    most relevant first) or smallest (LeRF, least relevant first). A removed pixel becomes
    the weighted mean of its neighbors, found by solving a sparse linear system, plus
    normal noise. So the network cannot recognize the removed region by its edges. Rong et
    al., "A consistent and efficient evaluation strategy for attribution methods", ICML
    2022. With d the probability after the removal minus the one before, the result is the
    mean over the shares of

    - ``"morf"``: d under MoRF, in [-1, 1]; lower is better,
    - ``"lerf"``: d under LeRF, in [-1, 1]; higher is better,
    - ``"combined"``: ``(lerf - morf) / 2``, in [-0.5, 0.5]; higher is better, and 0 is
      expected of a random order. Twice this value compares to differences of accuracies.

    Only the order of the pixels matters. A constant map removes the same pixels in both
    orders, so its combination is exactly 0. Small removed regions are imputed nearly
    perfectly, which hides the loss of fine detail.

    Args:

        shares (sequence of float, optional): Shares of pixels to remove, each between 0
                    and 1 and rounded to whole pixels, of which one must remain.
                    Default: (0.2, 0.4, 0.6, 0.8)
        noise (float, optional): Standard deviation of the noise, in units of the inputs.
                    Default: 0.01
        seed (int, optional): Seed of the noise. It is drawn once, on the CPU, and is the
                    same for all examples, shares and orders. Torch's global generator is
                    not used.
                    Default: 0
        order (str, optional): "combined", "morf" or "lerf".
                    Default: "combined"

    Returns:
        Tensor: ROAD of each example, shape (N,).
    """
    with torch.no_grad():
        mask = explanation_mask(attributions, inputs)
        counts = _counts(inputs, shares)
        directions = _directions(order)
        field = _noise(inputs, noise, seed)
        ranks = [pixel_ranks(mask, descending) for descending in directions]
        removals = [(rank, count) for rank in ranks for count in counts]
        impute = LinearImputation(*inputs.shape[2:])

        def variant(examples: Tensor, variants: Tensor) -> Tensor:
            images = []
            for example, index in zip(examples.tolist(), variants.tolist(), strict=True):
                rank, count = removals[index]
                removed = (rank[example, 0] < count).to(inputs.device)
                image = impute(inputs[example], removed)
                images.append(torch.where(removed, image + field, image))
            return torch.stack(images)

        model = (forward_func, inputs, target, additional_forward_args)
        after = confidence_of_variants(*model, variant, len(removals), max_examples_per_batch)
        means = after.view(len(inputs), len(directions), len(counts)).mean(2)
        if order == "combined":
            most, least = means.unbind(1)
            return (least - most) / 2
        return means[:, 0] - confidence(*model)


def _counts(inputs: Tensor, shares: Sequence[float]) -> list[int]:
    if inputs.dim() != 4:
        raise ValueError(
            "road needs inputs of shape (N, channels, height, width), as its imputation is "
            f"two-dimensional; got {tuple(inputs.shape)}."
        )
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must be of a floating-point dtype; got {inputs.dtype}.")
    n_pixels = inputs[0, 0].numel()
    if not isinstance(shares, Iterable):
        raise TypeError(f"shares={shares!r} must be a sequence of numbers between 0 and 1.")
    shares = list(shares)
    if not all(map(is_number, shares)):
        raise TypeError(f"shares={shares!r} must be numbers between 0 and 1.")
    counts = [round(share * n_pixels) if 0 < share < 1 else n_pixels for share in shares]
    if not counts or max(counts) == n_pixels:
        raise ValueError(
            f"shares={shares!r} must be at least one share between 0 and 1, each of which "
            f"leaves one of the {n_pixels} pixels."
        )
    return counts


def _directions(order: str) -> tuple[bool, ...]:
    """Return whether the largest values go first, for each order to run."""
    directions = {"combined": (True, False), "morf": (True,), "lerf": (False,)}
    if not isinstance(order, str) or order not in directions:
        raise ValueError(f"order={order!r} must be 'combined', 'morf' or 'lerf'.")
    return directions[order]


def _noise(inputs: Tensor, noise: float, seed: int) -> Tensor:
    if not is_number(noise) or not 0 <= noise < float("inf"):
        raise ValueError(f"noise={noise!r} must be a standard deviation of at least 0.")
    try:
        generator = torch.Generator().manual_seed(operator.index(seed))
    except (TypeError, RuntimeError, ValueError, OverflowError):
        raise ValueError(f"seed={seed!r} must be an int of 64 bits.") from None
    return (noise * torch.randn(inputs.shape[1:], generator=generator, device="cpu")).to(inputs)


class LinearImputation:
    """
    The linear imputation of ROAD, without its noise.

    Each removed pixel is the weighted mean of its eight neighbors, without those beyond the
    edge. Removed neighbors are unknown too, which gives a sparse linear system.
    """

    def __init__(self, height: int, width: int) -> None:
        self.system = _laplacian(height, width)

    def __call__(self, image: Tensor, removed: Tensor) -> Tensor:
        """Impute the pixels of an image (channels, height, width) where ``removed`` is true."""
        from scipy.sparse.linalg import splu  # type: ignore[import-untyped]

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


def _laplacian(height: int, width: int) -> Any:
    """Return the weighted Laplacian of the grid of pixels, a csr_matrix."""
    from scipy import sparse  # type: ignore[import-untyped]

    index = np.arange(height * width).reshape(height, width)
    first, second, weights = [], [], []
    for (down, right), weight in _NEIGHBORS:
        here = index[: height - down, max(0, -right) : width - max(0, right)].ravel()
        there = index[down:, max(0, right) : width + min(0, right)].ravel()
        first += [here, there]
        second += [there, here]
        weights.append(np.full(2 * here.size, weight))
    places = (np.concatenate(first), np.concatenate(second))
    neighbors = sparse.csr_matrix((np.concatenate(weights), places), shape=(index.size,) * 2)
    return (sparse.diags(np.asarray(neighbors.sum(1)).ravel()) - neighbors).tocsr()
