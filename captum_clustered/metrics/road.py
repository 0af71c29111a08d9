"""Remove and debias: what is lost with a map's pixels when no edges give them away."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from captum._utils.typing import TargetType
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from captum_clustered.metrics._confidence import confidence, confidence_of_variants
from captum_clustered.metrics._masking import explanation_mask, is_number, pixel_ranks


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
    Change of the class probability when pixels are removed by noisy linear imputation.

    Each share of the pixels is removed in turn, those where the map is largest (MoRF,
    most relevant first) or smallest (LeRF, least relevant first). A removed pixel becomes
    the mean of its neighbors, as the solution of a sparse linear system, plus normal
    noise: a network cannot tell the removed region by its edges, as it can with a
    constant filling. Rong et al., "A consistent and efficient evaluation strategy for
    attribution methods", ICML 2022. With d(share) the probability after the removal minus
    p, before it, the result is the mean over the shares of

    - ``"morf"``: d under MoRF, in [-1, 1]; lower is better,
    - ``"lerf"``: d under LeRF, in [-1, 1]; higher is better,
    - ``"combined"``: ``(lerf - morf) / 2``, in [-0.5, 0.5]; higher is better, and a random
      order is 0 in expectation. Multiplied by 2 it compares to accuracies.

    Only the order of the pixels counts, so keeping everything earns nothing: a constant
    map removes the same pixels in both orders and is exactly 0 in the combination. A
    Gaussian in the middle of the image does well on images with an object there. Small
    removed regions are imputed nearly perfectly, which hides the loss of fine detail.

    Args:

        forward_func (Callable): Returns probabilities, as in :func:`average_drop`.
        inputs (Tensor): Shape (N, channels, height, width); two spatial dimensions only.
        attributions (Tensor): Shape (N, c, \*spatial) of any size; ReLU'd and interpolated
                    to the input. Equal pixels are taken in reading order.
        target (int, tuple, Tensor or list, optional): As in Captum.
                    Default: None
        additional_forward_args (Any, optional): As in Captum; tensors with N entries are
                    repeated along with the examples.
                    Default: None
        shares (sequence of float, optional): The shares of pixels to remove, each between
                    0 and 1 and rounded to whole pixels, of which one must remain.
                    Default: (0.2, 0.4, 0.6, 0.8)
        noise (float, optional): Standard deviation of the noise, in units of the inputs.
                    Default: 0.01
        seed (int, optional): Of the noise, which is drawn once, on the CPU, and is the
                    same for all examples, shares and orders. Torch's global generator is
                    left alone.
                    Default: 0
        order (str, optional): "combined", "morf" or "lerf".
                    Default: "combined"
        max_examples_per_batch (int, optional): The largest number of perturbed inputs in
                    one forward pass; bounds the memory. It may be smaller than N.
                    Default: None (all at once)

    Returns:
        Tensor: ROAD of each example, shape (N,).

    Raises:

        TypeError: If inputs or attributions are no tensor, inputs no floating-point
                    numbers, or shares no sequence of numbers.
        ValueError: If forward_func returns no probabilities, if the shapes do not go
                    together or inputs have other than two spatial dimensions, if
                    attributions are not finite, or if target, shares, noise, seed, order
                    or max_examples_per_batch is not one of the accepted values.

    Examples::

        >>> # net takes images and returns logits.
        >>> attr = ClusteredLayerCAM(net, net.conv).attribute(input, target=1)
        >>> road(scores.probability(net), input, attr, target=1).shape
        torch.Size([2])
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

        after = confidence_of_variants(
            forward_func,
            variant,
            len(removals),
            inputs,
            target,
            additional_forward_args,
            max_examples_per_batch,
        )
        means = after.view(len(inputs), len(directions), len(counts)).mean(2)
        if order == "combined":
            most, least = means.unbind(1)
            return (least - most) / 2
        before = confidence(forward_func, inputs, target, additional_forward_args)
        return means[:, 0] - before


def _counts(inputs: Tensor, shares: Sequence[float]) -> list[int]:
    if inputs.dim() != 4:
        raise ValueError(
            "road needs inputs of shape (N, channels, height, width), as the imputation is "
            f"two-dimensional; got {tuple(inputs.shape)}."
        )
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must be of a floating-point dtype; got {inputs.dtype}.")
    n_pixels = inputs[0, 0].numel()
    if not isinstance(shares, Iterable):
        raise TypeError(f"shares={shares!r} must be a sequence of shares.")
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
    """Whether the largest values go first, for each order that is to be run."""
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
