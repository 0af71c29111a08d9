"""K-means on many examples at once, on the device where the data is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Lloyd's inertia moves by less than 0.2 % after this many iterations on feature maps.
MAX_ITER = 20
# How often to look whether anything still moves; further iterations would change nothing.
CHECK_EVERY = 4
# Candidates for each seed, as in scikit-learn's greedy k-means++; two are 1 % better
# than one, more add nothing that is worth their time.
N_CANDIDATES = 2


def kmeans(rows: Tensor, n_clusters: int, seeds: Sequence[int], n_init: int = 1) -> Tensor:
    """
    Labels of each example's rows under k-means with greedy k-means++ seeding.

    All examples, seeds and restarts run together. The random numbers are drawn on the
    CPU from generators of our own and shared by all examples, so that an example's
    labels depend neither on its companions in the batch nor on the global generator,
    and nothing waits for the device.

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
    # Distances are formed from products, which are precise only near the origin.
    rows = rows - rows.mean(1, keepdim=True)
    uniforms = torch.cat(
        [
            torch.rand(
                n_init,
                n_clusters,
                dtype=torch.float64,
                generator=torch.Generator().manual_seed(seed),
            )
            for seed in seeds
        ]
    )
    # Without a copy of the rows, which would cost more than the sums.
    square = torch.linalg.vector_norm(rows, dim=2).square()
    centres = _seeded(rows, square, uniforms)
    labels, inertia = _lloyd(rows, square, centres)
    if n_init == 1:
        return labels.transpose(0, 1)
    shape = (n_examples, len(seeds), n_init)
    best = inertia.view(shape).argmin(2)
    chosen = best[..., None, None].expand(-1, -1, 1, n_rows)
    return labels.view(*shape, n_rows).gather(2, chosen).squeeze(2).transpose(0, 1)


def _seeded(rows: Tensor, square: Tensor, uniforms: Tensor) -> Tensor:
    """
    Greedy k-means++ (Arthur and Vassilvitskii 2007): centres (N, runs, k, P).

    Args:

        rows (Tensor): Shape (N, C, P).
        square (Tensor): Their squared lengths (N, C).
        uniforms (Tensor): Numbers in [0, 1) that decide, shape (runs, k).
    """
    n_examples, n_rows, _ = rows.shape
    square = square[:, None, None]
    uniforms = uniforms.to(rows.device, non_blocking=True)
    example = torch.arange(n_examples, device=rows.device)[:, None, None]
    # Candidates of one seed are spread evenly, so that one uniform number serves all.
    offsets = torch.arange(N_CANDIDATES, device=rows.device) / N_CANDIDATES
    shares = (uniforms[..., None] + offsets) % 1

    first = (uniforms[:, 0] * n_rows).long().clamp(max=n_rows - 1)
    centres = [rows[:, first]]
    distance = _distances(rows, square, centres[0][:, :, None])[:, :, 0]
    for step in range(1, uniforms.shape[1]):
        cdf = distance.cumsum(2, dtype=torch.float64)
        index = torch.searchsorted(cdf, shares[:, step] * cdf[..., -1:], right=True).clamp(
            max=n_rows - 1
        )
        candidates = rows[example, index]
        reached = torch.minimum(_distances(rows, square, candidates), distance[:, :, None])
        best = reached.sum(3).argmin(2)[..., None, None]
        distance = reached.gather(2, best.expand(-1, -1, 1, n_rows)).squeeze(2)
        centres.append(candidates.gather(2, best.expand(-1, -1, 1, rows.shape[2])).squeeze(2))
    return torch.stack(centres, 2)


def _distances(rows: Tensor, square: Tensor, points: Tensor) -> Tensor:
    """Squared distances (N, runs, T, C) from points (N, runs, T, P) to the rows."""
    products = (points.flatten(1, 2) @ rows.transpose(1, 2)).view(*points.shape[:3], -1)
    norms = points.square().sum(3, keepdim=True)
    return (square + norms - 2 * products).clamp(min=0)


def _lloyd(rows: Tensor, square: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (N, runs, C) and inertia (N, runs) after Lloyd's iterations; see _seeded."""
    n_examples, n_rows, _ = rows.shape
    n_runs, n_clusters, width = centres.shape[1:]
    flat = (n_examples, n_runs * n_clusters)
    member, old = rows.new_empty(2, n_examples, n_runs, n_clusters, n_rows)
    for step in range(MAX_ITER + 1):
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the nearest centre has the largest score.
        scores = torch.baddbmm(
            centres.square().sum(3).view(*flat, 1),
            centres.reshape(*flat, width),
            rows.transpose(1, 2),
            beta=-0.5,
        ).view(n_examples, n_runs, n_clusters, n_rows)
        top = scores.amax(2, keepdim=True)
        # Comparing with the maximum is several times faster than argmax, and in the type that
        # the sums need there is nothing to convert. A row between two equal centres belongs
        # to both here, and to the first in the labels.
        torch.eq(scores, top, out=member)
        # On an accelerator the comparison would wait for the device; there the
        # iterations run to their end, which leaves a converged example as it is.
        is_checked = rows.device.type == "cpu" and step % CHECK_EVERY == CHECK_EVERY - 1
        if step == MAX_ITER or (is_checked and torch.equal(member, old)):
            break
        size = member.sum(3, keepdim=True)
        means = torch.bmm(member.view(*flat, n_rows), rows).view_as(centres) / size.clamp(min=1)
        centres = torch.where(size > 0, means, centres)
        member, old = old, member
    inertia = square.sum(1)[:, None] - 2 * top.sum((2, 3))
    # Numbers as floating point, whose minimum is found a hundred times faster. Rows that are
    # not finite have no nearest centre, which the caller finds out later.
    number = torch.arange(n_clusters, device=rows.device, dtype=rows.dtype)[:, None]
    return torch.where(member > 0, number, n_clusters - 1).amin(2).long(), inertia
