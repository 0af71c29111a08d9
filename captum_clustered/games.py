"""Which coalitions of groups to evaluate, and how their scores make importances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Up to so many players the 2^k coalitions are all evaluated.
MAX_EXACT_PLAYERS = 10


@dataclass(frozen=True)
class Game:
    """
    A cooperative game among the K groups of channels of each example.

    The value v(T) of a coalition T is the score with the groups of T kept and all
    others ablated. Importances are linear in the values:
    ``importance = sum over T of weights[T] * (v(T) - v(all groups))``.

    Attributes:

        coalitions (Tensor): Groups kept, bool of shape (M, N or 1, K), without the full
                    and the empty coalition.
        weights (Tensor): Shape (N or 1, K, 1 + M): first the weight of the empty
                    coalition, then those of ``coalitions``.
    """

    coalitions: Tensor
    weights: Tensor

    def importances(self, gains: Tensor) -> Tensor:
        """Importances (N, K) from v(T) - v(all), shape (1 + M, N), the empty one first."""
        # Not a matrix product, which TF32 settings could make coarse.
        return (self.weights.to(gains) * gains.T[:, None]).sum(2)


def leave_one_out(n_players: int) -> Game:
    """Ablation: a group's importance is the score's fall when it alone is ablated."""
    keep = ~torch.eye(n_players, dtype=torch.bool)
    weights = torch.cat([torch.zeros(n_players, 1), -torch.eye(n_players)], 1)
    return Game(keep[:, None], weights[None].double())


def shapley(n_players: int, present: Tensor | None, n_samples: int, seed: int) -> Game:
    """
    Shapley values (Shapley 1953), with v(empty) the score of the baseline.

    Exact for up to 10 non-empty groups; above, sampled with permutations and their
    reverses (antithetic), decided for each example by itself.

    Args:

        n_players (int): Number of groups K, empty ones included.
        present (Tensor or None): Which groups are not empty, bool (N, K) on the CPU;
                    unused and None where ``n_players`` allows the exact game.
        n_samples (int): Number of permutations, the reversed ones included.
        seed (int): With the number of players, all that permutations depend on.
    """
    if n_players <= MAX_EXACT_PLAYERS or present is None:
        return _exact(n_players)
    games = [
        _embedded(
            _exact(len(players))
            if len(players) <= MAX_EXACT_PLAYERS
            else _sampled(len(players), n_samples, seed),
            players,
            n_players,
        )
        for players in (row.nonzero().squeeze(1) for row in present)
    ]
    size = max(len(game.coalitions) for game in games)
    games = [_padded(game, size) for game in games]
    return Game(
        torch.cat([game.coalitions for game in games], 1),
        torch.cat([game.weights for game in games]),
    )


def sampled_size(n_players: int, n_samples: int) -> int:
    """Number of coalitions of a sampled game, to plan a forward pass with."""
    return n_samples * (n_players - 1)


def _exact(n: int) -> Game:
    codes = torch.arange(1, 2**n - 1)
    keep = (codes[:, None] >> torch.arange(n)) & 1 == 1
    # |S|! (n - |S| - 1)! / n! for the step from S to S with the player.
    step = torch.tensor(
        [1 / (n * math.comb(n - 1, size)) for size in range(n)], dtype=torch.float64
    )
    size = keep.sum(1)
    joined = torch.where(keep, step[(size - 1).clamp(min=0)][:, None], -step[size][:, None])
    empty = -step[:1].expand(n) if n else step[:0]
    return Game(keep[:, None], torch.cat([empty[:, None], joined.T], 1)[None])


def _sampled(n: int, n_samples: int, seed: int) -> Game:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(n, generator=generator) for _ in range((n_samples + 1) // 2)]
    orders = [order for pair in drawn for order in (pair, pair.flip(0))][:n_samples]
    keep = torch.zeros(len(orders), n - 1, n, dtype=torch.bool)
    weights = torch.zeros(n, 1 + len(orders) * (n - 1), dtype=torch.float64)
    for i, order in enumerate(orders):
        first = 1 + i * (n - 1)
        for position, player in enumerate(order.tolist()):
            # The player joins those before it; the full coalition has weight 0 (its
            # gain is 0 by definition).
            keep[i, position:, player] = True
            weights[player, first + position - 1 if position else 0] -= 1 / len(orders)
            if position < n - 1:
                weights[player, first + position] += 1 / len(orders)
    return Game(keep.flatten(0, 1)[:, None], weights[None])


def _embedded(game: Game, players: Tensor, n_players: int) -> Game:
    """The game of some players among all, the others kept and of no importance."""
    keep = torch.ones(len(game.coalitions), 1, n_players, dtype=torch.bool)
    keep[:, :, players] = game.coalitions
    weights = torch.zeros(1, n_players, game.weights.shape[2], dtype=game.weights.dtype)
    weights[:, players] = game.weights
    return Game(keep, weights)


def _padded(game: Game, size: int) -> Game:
    """The game with full coalitions of weight 0 at its end."""
    extra = size - len(game.coalitions)
    keep = torch.nn.functional.pad(game.coalitions, (0, 0, 0, 0, 0, extra), value=True)
    return Game(keep, torch.nn.functional.pad(game.weights, (0, extra)))
