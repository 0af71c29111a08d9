"""What a comparison could not do, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from captum_clustered.comparison.result import Comparison


def left_out(comparison: Comparison, names: list[str]) -> list[tuple[str, str]]:
    """
    Once for each image, or for each method and reason.

    Args:

        comparison (Comparison): Whose failures they are.
        names (list): What its images are called.

    Returns:
        list[tuple[str, str]]: What is missing, and why.
    """
    found: dict[tuple[str, str], None] = {}
    for row in comparison.failures.itertuples():
        reason = f"{row.error}: {row.message}" if row.message else str(row.error)
        if row.method:
            what = f"{row.method}, {row.metric}" if row.metric else row.method
            found[what, reason] = None
        elif pd.isna(row.image):
            found["further images", reason] = None
        else:
            found[names[row.image], reason] = None
    return list(found)
