"""The data sets by the names that commands have for them."""

from __future__ import annotations

from collections.abc import Callable

from captum_clustered.data.base import MaskedImages
from captum_clustered.data.bus_bra import BUSBRA
from captum_clustered.data.ddti import DDTI
from captum_clustered.data.image_table import ImageTable
from captum_clustered.data.tn5000 import TN5000

__all__ = ["DATASETS"]

DATASETS: dict[str, Callable[..., MaskedImages]] = {
    "busbra": BUSBRA,
    "ddti": DDTI,
    "tn5000": TN5000,
    "table": ImageTable,
}
