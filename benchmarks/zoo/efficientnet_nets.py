"""efficientnet_pytorch, whose networks have an activation that vmap cannot run."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from efficientnet_pytorch import EfficientNet

from zoo.cases import Case


def cases() -> Iterator[Case]:
    """Yield the cases of this library."""
    for name in ("efficientnet-b0", "efficientnet-b1", "efficientnet-b2"):
        yield Case(
            "efficientnet_pytorch",
            name,
            functools.partial(EfficientNet.from_name, name, num_classes=10),
            (2, 3, 64, 64),
            layer="_avg_pooling",
            at_input=True,
        )
