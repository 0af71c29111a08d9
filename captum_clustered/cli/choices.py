"""Choices of options, from what the library declares."""

from __future__ import annotations

from enum import Enum

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered._maps import SCALINGS
from captum_clustered.scores import SCORES

Scaling = Enum("Scaling", [(name, name) for name in SCALINGS], type=str)  # type: ignore[misc]
Importance = Enum(  # type: ignore[misc]
    "Importance", [(name, name) for name in IMPORTANCES], type=str
)
Score = Enum("Score", [(name, name) for name in SCORES], type=str)  # type: ignore[misc]

# Defaults.
DENSITY, ABLATION, LOGIT = Scaling("density"), Importance("ablation"), Score("logit")
