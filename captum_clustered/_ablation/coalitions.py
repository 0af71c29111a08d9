"""Which coalitions of clusters to evaluate, and how their scores make importances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# Up to so many players the 2^k coalitions are all evaluated.
MAX_EXACT_PLAYERS = 10
# Games are made on the CPU, whatever torch's default device is.
CPU = torch.device("cpu")


class Game(Protocol):
    """
    A cooperative game among the K clusters of channels of each example.

    The value v(T) of a coalition T is the score with the clusters of T kept and all
    others ablated.
    """

    @property
    def coalitions(self) -> Tensor:
        """Clusters kept, bool (M, N or 1, K), without the full and the empty coalition."""
        ...

    def importances(self, gains: Tensor) -> Tensor:
        """Importances (N, K) from v(T) - v(all), shape (1 + M, N), the empty one first."""
        ...


class LeaveOneOut:
    """
    Ablation: a cluster's importance is the score's fall when it alone is ablated.

    Args:

        n_players (int): Number of clusters K.
    """

    def __init__(self, n_players: int) -> None:
        self.coalitions = ~torch.eye(n_players, dtype=torch.bool, device=CPU)[:, None]

    def importances(self, gains: Tensor) -> Tensor:
        """The falls, whatever the empty coalition is worth."""
        return -gains[1:].T


@dataclass(frozen=True)
class LinearGame:
    """
    A game whose importances are weighted sums of the values.

    Attributes:

        coalitions (Tensor): As in :class:`Game`.
        weights (Tensor): Shape (N or 1, K, 1 + M): first the weight of the empty
                    coalition, then those of ``coalitions``. The full coalition's is not
                    needed, since its gain is zero.
    """

    coalitions: Tensor
    weights: Tensor

    def importances(self, gains: Tensor) -> Tensor:
        """The weighted sums."""
        # Not a matrix product, which TF32 settings could make coarse.
        return (self.weights.to(gains) * gains.T[:, None]).sum(2)


def shapley(n_players: int, present: Tensor | None, n_samples: int, seed: int) -> LinearGame:
    """
    Shapley values (Shapley 1953), with v(empty) the score of the baseline.

    Exact for up to 10 non-empty clusters; above, sampled with permutations and their
    reverses (antithetic), decided for each example by itself.

    Args:

        n_players (int): Number of clusters K, empty ones included.
        present (Tensor or None): Which clusters are not empty, bool (N, K) on the CPU;
                    unused and None where ``n_players`` allows the exact game.
        n_samples (int): Number of permutations, the reversed ones included.
        seed (int): With the number of players, all that permutations depend on.
    """
    if n_players <= MAX_EXACT_PLAYERS or present is None:
        return _exact(n_players)
    # Examples with the same clusters share a game, most often all of them.
    patterns, example = present.unique(dim=0, return_inverse=True)
    games = [
        _embedded(
            _exact(len(players))
            if len(players) <= MAX_EXACT_PLAYERS
            else _sampled(len(players), n_samples, seed),
            players,
            n_players,
        )
        for players in (row.nonzero().squeeze(1) for row in patterns)
    ]
    if len(games) == 1:
        return games[0]
    size = max(len(game.coalitions) for game in games)
    games = [_padded(games[i], size) for i in example.tolist()]
    return LinearGame(
        torch.cat([game.coalitions for game in games], 1),
        torch.cat([game.weights for game in games]),
    )


def sampled_size(n_players: int, n_samples: int) -> int:
    """Number of coalitions of a sampled game, to plan a forward pass with."""
    return n_samples * (n_players - 1)


def _exact(n: int) -> LinearGame:
    codes = torch.arange(1, 2**n - 1, device=CPU)
    keep = (codes[:, None] >> torch.arange(n, device=CPU)) & 1 == 1
    # |S|! (n - |S| - 1)! / n! for the step from S to S with the player.
    step = torch.tensor(
        [1 / (n * math.comb(n - 1, size)) for size in range(n)],
        dtype=torch.float64,
        device=CPU,
    )
    size = keep.sum(1)
    joined = torch.where(keep, step[(size - 1).clamp(min=0)][:, None], -step[size][:, None])
    empty = -step[:1].expand(n) if n else step[:0]
    return LinearGame(keep[:, None], torch.cat([empty[:, None], joined.T], 1)[None])


def _sampled(n: int, n_samples: int, seed: int) -> LinearGame:
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randperm(n, generator=generator, device=CPU) for _ in range((n_samples + 1) // 2)
    ]
    orders = [order for pair in drawn for order in (pair, pair.flip(0))][:n_samples]
    keep = torch.zeros(len(orders), n - 1, n, dtype=torch.bool, device=CPU)
    weights = torch.zeros(n, 1 + len(orders) * (n - 1), dtype=torch.float64, device=CPU)
    for i, order in enumerate(orders):
        first = 1 + i * (n - 1)
        for position, player in enumerate(order.tolist()):
            # The player joins those before it; the full coalition has weight 0 (its
            # gain is 0 by definition).
            keep[i, position:, player] = True
            weights[player, first + position - 1 if position else 0] -= 1 / len(orders)
            if position < n - 1:
                weights[player, first + position] += 1 / len(orders)
    return LinearGame(keep.flatten(0, 1)[:, None], weights[None])


def _embedded(game: LinearGame, players: Tensor, n_players: int) -> LinearGame:
    """The game of some players among all, the others kept and of no importance."""
    keep = torch.ones(len(game.coalitions), 1, n_players, dtype=torch.bool, device=CPU)
    keep[:, :, players] = game.coalitions
    weights = torch.zeros(1, n_players, game.weights.shape[2], dtype=game.weights.dtype, device=CPU)
    weights[:, players] = game.weights
    return LinearGame(keep, weights)


def _padded(game: LinearGame, size: int) -> LinearGame:
    """The game with full coalitions of weight 0 at its end."""
    extra = size - len(game.coalitions)
    keep = torch.nn.functional.pad(game.coalitions, (0, 0, 0, 0, 0, extra), value=True)
    return LinearGame(keep, torch.nn.functional.pad(game.weights, (0, extra)))
