"""K-means on many examples at once, on the device where the data is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Lloyd's inertia moves by less than 0.2 % after this many iterations on feature maps.
MAX_ITER = 20
# How often to look whether any row still changes its center; from then on none would.
CHECK_EVERY = 4
# Candidates for each seed, as in scikit-learn's greedy k-means++; two are 1 % better
# than one, more add nothing that is worth their time.
N_CANDIDATES = 2


def kmeans(rows: Tensor, n_clusters: int, seeds: Sequence[int], n_init: int = 1) -> Tensor:
    """
    Labels of each example's rows under k-means with greedy k-means++ seeding.

    All examples, seeds and restarts run together. The random numbers are drawn on the
    CPU from generators of our own and shared by all examples, so that an example's
    labels depend neither on its companions in the batch, up to rounding, nor on the global
    generator, and nothing waits for the device.

    Args:

        rows (Tensor): Points to cluster, shape (N, C, P), float32 or float64.
        n_clusters (int): Number of clusters k. A cluster may stay empty where an
                    example has fewer than k distinct rows. With k >= C each row is a
                    cluster of its own.
        seeds (sequence of int): One independent clustering for each of the R seeds.
        n_init (int): Restarts of each clustering; the one of least inertia counts.
                    Default: 1

    Returns:
        Tensor: Labels in 0..min(k, C)-1, shape (R, N, C), dtype int64.
    """
    n_examples, n_rows, _ = rows.shape
    if n_clusters >= n_rows:
        own = torch.arange(n_rows, device=rows.device)
        return own.expand(len(seeds), n_examples, n_rows)
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
    points = _with_ones(rows)
    # Without a copy of the rows, which would cost more than the sums.
    square = torch.linalg.vector_norm(points[..., :-1], dim=2).square()
    centers = _seeded(points, square, uniforms)
    labels, inertia = _lloyd(points, square, centers)
    if n_init == 1:
        return labels.transpose(0, 1)
    shape = (n_examples, len(seeds), n_init)
    best = inertia.view(shape).argmin(2)
    chosen = best[..., None, None].expand(-1, -1, 1, n_rows)
    return labels.view(*shape, n_rows).gather(2, chosen).squeeze(2).transpose(0, 1)


def _with_ones(rows: Tensor) -> Tensor:
    """
    The rows around their mean, and behind each a one: points (N, C, P + 1).

    The products that take nearly all of the time then do two more things at once: a number
    in the last place of the other factor is added to each product, and sums of points end
    in how many they are. Around the mean, since squared distances are formed from products,
    which are precise only near the origin.
    """
    n_examples, n_rows, width = rows.shape
    points = rows.new_empty(n_examples, n_rows, width + 1)
    torch.sub(rows, rows.mean(1, keepdim=True), out=points[..., :-1])
    points[..., -1] = 1
    return points


def _seeded(points: Tensor, square: Tensor, uniforms: Tensor) -> Tensor:
    """
    Greedy k-means++ (Arthur and Vassilvitskii 2007): centers (N, runs, k, P + 1).

    Args:

        points (Tensor): See _with_ones.
        square (Tensor): Their squared lengths (N, C), without the one.
        uniforms (Tensor): Numbers in [0, 1) that decide, shape (runs, k).
    """
    n_examples, n_rows, width = points.shape
    n_runs, n_clusters = uniforms.shape
    uniforms = uniforms.to(points.device, non_blocking=True)
    # Candidates of one seed are spread evenly, so that one uniform number serves all.
    offsets = torch.arange(N_CANDIDATES, device=points.device) / N_CANDIDATES
    shares = (uniforms[..., None] + offsets) % 1
    # Where each example begins among all points.
    start = torch.arange(0, n_examples * n_rows, n_rows, device=points.device)[:, None, None]
    all_points, all_squares = points.view(-1, width), square.view(-1)
    lengths, turned = square[:, None], points.transpose(1, 2)

    def distances(index: Tensor) -> Tensor:
        """Squared, (N, runs, T, C), from the points of these numbers (N, runs, T)."""
        place = (index + start).flatten()
        # |x - y|^2 = |x|^2 + (x.(-2 y) + |y|^2)
        factor = all_points.index_select(0, place).view(n_examples, -1, width).mul_(-2)
        factor[..., -1] = all_squares.index_select(0, place).view(n_examples, -1)
        found = torch.baddbmm(lengths, factor, turned)
        return found.clamp_(min=0).view(*index.shape, n_rows)

    first = (uniforms[:, 0] * n_rows).long().clamp(max=n_rows - 1)
    chosen = [first[:, None].expand(n_examples, n_runs, 1)]
    distance = distances(chosen[0]).squeeze(2)
    for step in range(1, n_clusters):
        cdf = distance.cumsum(2, dtype=torch.float64)
        index = torch.searchsorted(cdf, shares[:, step] * cdf[..., -1:], right=True)
        index.clamp_(max=n_rows - 1)
        reached = torch.minimum(distances(index), distance[:, :, None])
        best = reached.sum(3).argmin(2, keepdim=True)
        distance = reached.gather(2, best[..., None].expand(-1, -1, 1, n_rows)).squeeze(2)
        chosen.append(index.gather(2, best))
    place = (torch.cat(chosen, 2) + start).flatten()
    return all_points.index_select(0, place).view(n_examples, n_runs, n_clusters, width)


def _lloyd(points: Tensor, square: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """
    Labels (N, runs, C) and inertia (N, runs) after Lloyd's iterations.

    Args:

        points (Tensor): See _with_ones.
        square (Tensor): Their squared lengths (N, C), without the one.
        centers (Tensor): Points to begin with, (N, runs, k, P + 1); they are moved.
    """
    n_examples, n_rows, _ = points.shape
    n_runs, n_clusters = centers.shape[1:3]
    flat = centers.view(n_examples, n_runs * n_clusters, -1)
    means, bias = flat[..., :-1], flat[..., -1]
    sums = torch.empty_like(flat)
    total, size = sums[..., :-1], sums[..., -1:]
    scores, member, old = points.new_empty(3, n_examples, n_runs, n_clusters, n_rows)
    flat_scores, turned = scores.flatten(1, 2), points.transpose(1, 2)
    for step in range(MAX_ITER + 1):
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the nearest center has the largest score.
        torch.mul(torch.linalg.vecdot(means, means), -0.5, out=bias)
        torch.bmm(flat, turned, out=flat_scores)
        top = scores.amax(2, keepdim=True)
        # Comparing with the maximum is several times faster than argmax, and in the type that
        # the sums need there is nothing to convert. A row between two equal centers belongs
        # to both here, and to the first in the labels.
        torch.eq(scores, top, out=member)
        # On an accelerator the comparison would wait for the device; there the
        # iterations run to their end, in which a converged example keeps its labels.
        is_checked = points.device.type == "cpu" and step % CHECK_EVERY == CHECK_EVERY - 1
        if step == MAX_ITER or (is_checked and torch.equal(member, old)):
            break
        torch.bmm(member.flatten(1, 2), points, out=sums)
        # To the mean, as a step: a center without members stays where it is.
        difference = torch.addcmul(total, size, means, value=-1)
        means.addcdiv_(difference, size.clamp_(min=1))
        member, old = old, member
    inertia = square.sum(1)[:, None] - 2 * top.sum((2, 3))
    # Numbers as floating point, whose minimum is found a hundred times faster. Rows that are
    # not finite have no nearest center, which the caller finds out later.
    number = torch.arange(n_clusters, device=points.device, dtype=points.dtype)[:, None]
    return torch.where(member > 0, number, n_clusters - 1).amin(2).long(), inertia
