"""K-means on many examples at once, on the device where the data is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Lloyd's inertia moves by less than 0.2 % after this many iterations on feature maps.
MAX_ITER = 20
# Iterations between two looks whether any channel still changes its cluster.
CHECK_EVERY = 4
# Candidates for each center, as in scikit-learn's greedy k-means++: two are 1 % better than
# one, and more do not pay.
N_CANDIDATES = 2
# Devices on which sums of distances are less precise.
NO_FLOAT64 = ("mps",)


def kmeans(features: Tensor, n_clusters: int, seeds: Sequence[int], n_init: int = 1) -> Tensor:
    """
    Cluster the channels of each example by k-means with greedy k-means++ seeding.

    All examples, seeds and restarts run together. Random numbers are drawn on the CPU from
    private generators and shared by all examples. So an example's labels depend neither on the
    rest of the batch, up to rounding, nor on the global generator; and the CPU never waits for
    the device.

    Args:

        features (Tensor): Shape (N, C, P), float32 or float64.
        n_clusters (int): Number of clusters k. A cluster stays empty if an example has fewer
                    than k distinct channels. With k >= C each channel is one cluster.
        seeds (sequence of int): R seeds, of which each makes one clustering.
        n_init (int): Restarts of each clustering; the one of least inertia is returned.
                    Default: 1

    Returns:
        Tensor: Labels in 0..min(k, C)-1, shape (R, N, C), dtype int64.
    """
    n_examples, n_channels, _ = features.shape
    if n_clusters >= n_channels:
        own = torch.arange(n_channels, device=features.device)
        return own.expand(len(seeds), n_examples, n_channels)
    uniforms = torch.cat(
        [
            torch.rand(
                n_init,
                n_clusters,
                dtype=torch.float64,
                generator=torch.Generator().manual_seed(seed),
                device="cpu",
            )
            for seed in seeds
        ]
    )
    points = _with_ones(features)
    # vector_norm makes no copy, which would cost more than the sums.
    square = torch.linalg.vector_norm(points[..., :-1], dim=2).square()
    centers = _seeded(points, square, uniforms)
    labels, inertia = _lloyd(points, square, centers)
    if n_init == 1:
        return labels.transpose(0, 1)
    shape = (n_examples, len(seeds), n_init)
    best = inertia.view(shape).argmin(2)
    chosen = best[..., None, None].expand(-1, -1, 1, n_channels)
    return labels.view(*shape, n_channels).gather(2, chosen).squeeze(2).transpose(0, 1)


def _with_ones(features: Tensor) -> Tensor:
    """
    Return the features minus their mean, with a one appended to each: points (N, C, P + 1).

    The matrix products take nearly all of the time. With the ones, they also add a bias (the
    last entry of the other factor) and count points (the last entry of a sum). The mean is
    subtracted because distances are computed from products, which are precise near 0 only.
    """
    n_examples, n_channels, width = features.shape
    points = features.new_empty(n_examples, n_channels, width + 1)
    torch.sub(features, features.mean(1, keepdim=True), out=points[..., :-1])
    points[..., -1] = 1
    return points


def _seeded(points: Tensor, square: Tensor, uniforms: Tensor) -> Tensor:
    """
    Choose centers (N, runs, k, P + 1) by greedy k-means++ (Arthur and Vassilvitskii 2007).

    Args:

        points (Tensor): See _with_ones.
        square (Tensor): Their squared lengths (N, C), without the one.
        uniforms (Tensor): Random numbers in [0, 1), shape (runs, k).
    """
    n_examples, n_channels, width = points.shape
    n_runs, n_clusters = uniforms.shape
    wide = torch.float32 if points.device.type in NO_FLOAT64 else torch.float64
    uniforms = uniforms.to(points.device, wide, non_blocking=True)
    # The candidates of one center are spread evenly from one random number.
    offsets = torch.arange(N_CANDIDATES, device=points.device) / N_CANDIDATES
    shares = (uniforms[..., None] + offsets) % 1
    # The first point of each example among all points.
    start = n_channels * torch.arange(n_examples, device=points.device)[:, None, None]
    all_points, all_squares = points.view(-1, width), square.view(-1)
    lengths, turned = square[:, None], points.transpose(1, 2)

    def distances(index: Tensor) -> Tensor:
        """Squared distances (N, runs, T, C) of all points to those of an index (N, runs, T)."""
        place = (index + start).flatten()
        # |x - y|^2 = |x|^2 + (x.(-2 y) + |y|^2)
        factor = all_points.index_select(0, place).view(n_examples, -1, width).mul_(-2)
        factor[..., -1] = all_squares.index_select(0, place).view(n_examples, -1)
        found = torch.baddbmm(lengths, factor, turned)
        return found.clamp_(min=0).view(*index.shape, n_channels)

    first = (uniforms[:, 0] * n_channels).long().clamp(max=n_channels - 1)
    chosen = [first[:, None].expand(n_examples, n_runs, 1)]
    distance = distances(chosen[0]).squeeze(2)
    for step in range(1, n_clusters):
        cdf = distance.cumsum(2, dtype=wide)
        index = torch.searchsorted(cdf, shares[:, step] * cdf[..., -1:], right=True)
        index.clamp_(max=n_channels - 1)
        reached = torch.minimum(distances(index), distance[:, :, None])
        best = reached.sum(3).argmin(2, keepdim=True)
        distance = reached.gather(2, best[..., None].expand(-1, -1, 1, n_channels)).squeeze(2)
        chosen.append(index.gather(2, best))
    place = (torch.cat(chosen, 2) + start).flatten()
    return all_points.index_select(0, place).view(n_examples, n_runs, n_clusters, width)


def _lloyd(points: Tensor, square: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return labels (N, runs, C) and inertia (N, runs) after Lloyd's iterations.

    Args:

        points (Tensor): See _with_ones.
        square (Tensor): Their squared lengths (N, C), without the one.
        centers (Tensor): The first centers (N, runs, k, P + 1); changed in place.
    """
    n_examples, n_channels, _ = points.shape
    n_runs, n_clusters = centers.shape[1:3]
    flat = centers.view(n_examples, n_runs * n_clusters, -1)
    means, bias = flat[..., :-1], flat[..., -1]
    sums = torch.empty_like(flat)
    total, size = sums[..., :-1], sums[..., -1:]
    scores, member, old = points.new_empty(3, n_examples, n_runs, n_clusters, n_channels)
    flat_scores, turned = scores.flatten(1, 2), points.transpose(1, 2)
    for step in range(MAX_ITER + 1):
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the nearest center has the largest score.
        torch.mul(torch.linalg.vecdot(means, means), -0.5, out=bias)
        torch.bmm(flat, turned, out=flat_scores)
        top = scores.amax(2, keepdim=True)
        # Comparing with the maximum is several times faster than argmax, and its result needs
        # no conversion for the sums. A channel with two nearest centers belongs to both here,
        # and to the first one in the labels.
        torch.eq(scores, top, out=member)
        # On an accelerator the comparison would wait for the device. There all iterations
        # run; a converged example keeps its labels.
        is_checked = points.device.type == "cpu" and step % CHECK_EVERY == CHECK_EVERY - 1
        if step == MAX_ITER or (is_checked and torch.equal(member, old)):
            break
        torch.bmm(member.flatten(1, 2), points, out=sums)
        # A step to the mean; a center without members stays where it is.
        difference = torch.addcmul(total, size, means, value=-1)
        means.addcdiv_(difference, size.clamp_(min=1))
        member, old = old, member
    inertia = square.sum(1)[:, None] - 2 * top.sum((2, 3))
    # In floating point, the minimum is found a hundred times faster. Channels that are not
    # finite have no nearest center; the caller reports them later.
    number = torch.arange(n_clusters, device=points.device, dtype=points.dtype)[:, None]
    return torch.where(member > 0, number, n_clusters - 1).amin(2).long(), inertia
