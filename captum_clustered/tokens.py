"""Attributions of token sequences as spatial maps."""

from __future__ import annotations

import math

from torch import Tensor

from captum_clustered._argument_checks import check_type
from captum_clustered._layer_shapes import token_grid

__all__ = ["token_grid", "tokens_to_map"]


def tokens_to_map(attribution: Tensor, grid: tuple[int, ...], n_prefix: int = 0) -> Tensor:
    r"""
    Arrange the attribution of a transformer's patch tokens as a spatial map.

    The attribution may come from any method whose last dimension is the tokens.

    Args:

        attribution (Tensor): Attribution of a token sequence, shape (N, c, T); (N, 1, T)
                    is what ``ClusteredLayerCAM(..., channel_dim=-1)`` returns for a
                    layer of shape (N, T, C).
        grid (tuple[int, ...]): Patches in each spatial dimension, e.g. (14, 14).
        n_prefix (int, optional): Number of tokens before the patches, such as the class
                    token, which the map leaves out.
                    Default: 0

    Returns:
        Tensor: Attribution of shape (N, c, \*grid).

    Raises:

        TypeError: If ``grid`` is not a tuple.
        ValueError: If T is not ``n_prefix`` plus the product of ``grid``.

    Examples::

        >>> # torchvision's ViT-B/16: one class token, then 14 x 14 patches.
        >>> layer = vit.encoder.layers[-1].ln_1
        >>> cam = ClusteredLayerCAM(vit, layer, channel_dim=-1)
        >>> attribution = cam.attribute(x, target=281)  # (N, 1, 197)
        >>> heatmap = tokens_to_map(attribution, (14, 14), n_prefix=1)  # (N, 1, 14, 14)
    """
    check_type("grid", grid, (tuple, list), "a tuple such as (14, 14)")
    patches = math.prod(grid)
    if attribution.dim() != 3 or n_prefix < 0 or attribution.shape[2] != n_prefix + patches:
        raise ValueError(
            f"attribution must have shape (N, c, T) with T = {n_prefix} prefix + {patches} patch "
            f"tokens for grid={tuple(grid)} and n_prefix={n_prefix}; got "
            f"{tuple(attribution.shape)}."
        )
    return attribution[:, :, n_prefix:].reshape(*attribution.shape[:2], *grid)
