"""K-means on many examples at once, on the device where the data is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# On feature maps, further iterations lower the inertia by less than 0.2 %.
MAX_ITER = 20
# Number of iterations between two checks for convergence.
CHECK_EVERY = 4
# Candidates for each center, as in scikit-learn's greedy k-means++. Two lower the inertia by 1 %;
# more are hardly better.
N_CANDIDATES = 2
# Devices that compute in float32 at most.
NO_FLOAT64 = ("mps",)


def kmeans(features: Tensor, n_clusters: int, seeds: Sequence[int], n_init: int = 1) -> Tensor:
    """
    Cluster the channels of each example by k-means with greedy k-means++ seeding.

    All examples, seeds and restarts run together. Random numbers are drawn on the CPU from
    private generators, and all examples share them. So, up to rounding, the labels of an
    example do not depend on the rest of the batch or on the global generator, and the CPU never
    waits for the device.

    Args:

        features (Tensor): Shape (N, C, P), float32 or float64.
        n_clusters (int): Number of clusters k. A cluster stays empty if an example has fewer
                    than k distinct channels. With k >= C each channel is one cluster.
        seeds (sequence of int): One seed for each of the R clusterings.
        n_init (int): Runs of each clustering; the one with the least inertia is returned.
                    Default: 1

    Returns:
        Tensor: Labels in 0..min(k, C)-1, shape (R, N, C), dtype int64.
    """
    n_examples, n_channels, _ = features.shape
    if n_clusters >= n_channels:
        labels = torch.arange(n_channels, device=features.device)
        return labels.expand(len(seeds), n_examples, n_channels)
    size = (n_init, n_clusters)
    generators = (torch.Generator().manual_seed(seed) for seed in seeds)
    uniforms = torch.cat(
        [torch.rand(size, generator=g, dtype=torch.float64, device="cpu") for g in generators]
    )
    points = _centered_with_ones(features)
    # Not square().sum(): its copy of the points would cost more than the sums.
    squares = torch.linalg.vector_norm(points[..., :-1], dim=2).square()
    labels, inertia = _lloyd(points, squares, _first_centers(points, squares, uniforms))
    if n_init == 1:
        return labels.transpose(0, 1)
    shape = (n_examples, len(seeds), n_init)
    best = inertia.view(shape).argmin(2)[..., None, None].expand(-1, -1, 1, n_channels)
    return labels.view(*shape, n_channels).gather(2, best).squeeze(2).transpose(0, 1)


def _centered_with_ones(features: Tensor) -> Tensor:
    """
    Return the features minus their mean, with a one appended to each: points (N, C, P + 1).

    The matrix products take nearly all of the time. With the ones, they also add a bias (the
    last entry of the other factor) and count points (the last entry of a sum). The mean is
    subtracted because distances computed from products are inaccurate far from the origin.
    """
    n_examples, n_channels, width = features.shape
    points = features.new_empty(n_examples, n_channels, width + 1)
    torch.sub(features, features.mean(1, keepdim=True), out=points[..., :-1])
    points[..., -1] = 1
    return points


def _first_centers(points: Tensor, squares: Tensor, uniforms: Tensor) -> Tensor:
    """
    Choose centers (N, runs, k, P + 1) by greedy k-means++ (Arthur and Vassilvitskii 2007).

    ``points`` are those of :func:`_centered_with_ones`, ``squares`` (N, C) their squared lengths
    without the ones, ``uniforms`` (runs, k) random numbers in [0, 1).
    """
    n_examples, n_channels, width = points.shape
    n_runs, n_clusters = uniforms.shape
    wide = torch.float32 if points.device.type in NO_FLOAT64 else torch.float64
    uniforms = uniforms.to(points.device, wide, non_blocking=True)
    # One random number makes all candidates of a center (runs, k, T), evenly spaced.
    offsets = torch.arange(N_CANDIDATES, device=points.device) / N_CANDIDATES
    quantiles = (uniforms[..., None] + offsets) % 1
    # The index of each example's first point among the points of all examples.
    start = n_channels * torch.arange(n_examples, device=points.device)[:, None, None]
    all_points, all_squares = points.view(-1, width), squares.view(-1)
    transposed = points.transpose(1, 2)

    def distances(index: Tensor) -> Tensor:
        """Return the squared distances (N, runs, T, C) of points ``index`` (N, runs, T) to all."""
        rows = (index + start).flatten()
        # |x - y|^2 = |x|^2 + (x.(-2 y) + |y|^2)
        factor = all_points.index_select(0, rows).view(n_examples, -1, width).mul_(-2)
        factor[..., -1] = all_squares.index_select(0, rows).view(n_examples, -1)
        squared = torch.baddbmm(squares[:, None], factor, transposed)
        return squared.clamp_(min=0).view(*index.shape, n_channels)

    first = (uniforms[:, 0] * n_channels).long().clamp(max=n_channels - 1)
    chosen = [first[:, None].expand(n_examples, n_runs, 1)]
    # Of each point to the nearest center so far.
    nearest = distances(chosen[0]).squeeze(2)
    for step in range(1, n_clusters):
        cdf = nearest.cumsum(2, dtype=wide)
        index = torch.searchsorted(cdf, quantiles[:, step] * cdf[..., -1:], right=True)
        index.clamp_(max=n_channels - 1)
        candidates = torch.minimum(distances(index), nearest[:, :, None])
        best = candidates.sum(3).argmin(2, keepdim=True)
        nearest = candidates.gather(2, best[..., None].expand(-1, -1, 1, n_channels)).squeeze(2)
        chosen.append(index.gather(2, best))
    rows = (torch.cat(chosen, 2) + start).flatten()
    return all_points.index_select(0, rows).view(n_examples, n_runs, n_clusters, width)


def _lloyd(
    points: Tensor, squares: Tensor, centers: Tensor, first_step: int = 0
) -> tuple[Tensor, Tensor]:
    """
    Return labels (N, runs, C) and inertia (N, runs) after Lloyd's iterations.

    Takes the arguments and the result of :func:`_first_centers`; changes ``centers`` in place.
    """
    n_examples, n_channels, _ = points.shape
    n_runs, n_clusters = centers.shape[1:3]
    flat = centers.view(n_examples, n_runs * n_clusters, -1)
    means, bias = flat[..., :-1], flat[..., -1]
    sums = torch.empty_like(flat)
    total, size = sums[..., :-1], sums[..., -1:]
    scores, member, old = points.new_empty(3, n_examples, n_runs, n_clusters, n_channels)
    flat_scores, transposed = scores.flatten(1, 2), points.transpose(1, 2)
    # On an accelerator, where a check would wait for the device, all iterations run on all
    # examples; they do not change the labels of one that has converged.
    active = list(range(n_examples))
    for step in range(first_step, MAX_ITER + 1):
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the nearest center has the largest score.
        torch.mul(torch.linalg.vecdot(means, means), -0.5, out=bias)
        torch.bmm(flat, transposed, out=flat_scores)
        top = scores.amax(2, keepdim=True)
        # Comparing with the maximum is several times faster than argmax, and its result needs
        # no conversion for the sums. A channel with two nearest centers belongs to both here,
        # and to the first one in the labels.
        torch.eq(scores, top, out=member)
        if step == MAX_ITER:
            break
        if points.device.type == "cpu" and step % CHECK_EVERY == CHECK_EVERY - 1:
            active = [i for i in active if not torch.equal(member[i], old[i])]
            if not active:
                break
        torch.bmm(member.flatten(1, 2), points, out=sums)
        # Move each center to the mean of its members; one without members stays.
        difference = torch.addcmul(total, size, means, value=-1)
        means.addcdiv_(difference, size.clamp_(min=1))
        if len(active) < n_examples:
            break
        member, old = old, member
    inertia = squares.sum(1)[:, None] - 2 * top.sum((2, 3))
    # The first of the nearest centers: the others count as k - 1, the largest number.
    # Floating-point numbers, whose minimum is found a hundred times faster. Channels that are not
    # finite have no nearest center; the caller reports them later.
    numbers = torch.arange(n_clusters, device=points.device, dtype=points.dtype)[:, None]
    labels = torch.where(member > 0, numbers, n_clusters - 1).amin(2).long()
    if 0 < len(active) < n_examples:
        # A batch of products is computed by all cores, separate ones are not.
        parts = points[active], squares[active], centers[active]
        labels[active], inertia[active] = _lloyd(*parts, step + 1)
    return labels, inertia
