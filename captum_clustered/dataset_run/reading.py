"""The results of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from captum_clustered.dataset_run.store import CLUSTERS, SCHEMA, Manifest, Store


class Run:
    r"""
    The results of :func:`explain_dataset`, finished or not.

    They are Parquet files with a row for each item, ``chunks/*.parquet``, which other
    programs can read as well. The columns:

    - ``index``, ``item``: number and name of the item.
    - ``error``: why there is no result, null if there is one. All columns below but the
      label are then null.
    - ``label``: its class as the data say, null if they do not.
    - ``prediction``, ``target``: the class with the largest score and the one explained.
    - ``score``, ``baseline_score``: of the target, and with the whole layer ablated.
    - ``importances``, ``sizes``: lists with a number for each cluster of channels, see
      :class:`captum_clustered.Clusters`.
    - ``scale``, ``attribution``: a map's largest absolute value, and the map divided by it,
      a list of its height times width values in half precision, row after row.

    Args:

        folder (str or PathLike): Where the run is.

    Attributes:

        manifest (Manifest): What the run is of.

    Raises:

        FileNotFoundError: If there is no run.
        ValueError: If it is of another version, or its manifest is damaged.

    Examples::

        >>> run = Run("out")
        >>> table = run.table(["item", "score", "scale", "attribution"])
        >>> maps = run.attributions(table)  # (n_items, 7, 7), NaN where there is an error
        >>> for item, reason in run.errors():
        ...     print(item, reason)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._store = Store(self.folder)
        manifest = self._store.read_manifest()
        if manifest is None:
            raise FileNotFoundError(f"{self.folder} holds no run: it has no manifest.json.")
        self.manifest: Manifest = manifest

    @property
    def is_complete(self) -> bool:
        """Whether all chunks are there; does not look into them."""
        return all(self._store.path(c).exists() for c in range(self.manifest.n_chunks))

    @property
    def cluster_labels(self) -> Tensor | None:
        """The clusters that were fitted, LongTensor (C,), or None."""
        return read_clusters(self.folder, self.manifest)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """
        The chunks that are there, in the order of the items, one at a time.

        Args:

            columns (sequence of str, optional): Their names.
                        Default: None (all)

        Raises:

            ValueError: If a column is unknown, or a chunk is damaged: without it others would
                        be taken for its items.
        """
        _check_columns(columns)
        for chunk in range(self.manifest.n_chunks):
            table = self._store.read(chunk, self.manifest, columns)
            if table is not None:
                yield table
            elif self._store.path(chunk).exists():
                raise ValueError(
                    f"{self._store.path(chunk)} is damaged or cannot be read; the call or command "
                    "that made the run computes it again."
                )

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """As :meth:`tables`, in one; of an unfinished run, without the chunks to come."""
        _check_columns(columns)
        schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(c) for c in columns])
        tables = [table.replace_schema_metadata(None) for table in self.tables(columns)]
        return pa.concat_tables([schema.empty_table(), *tables])

    def errors(self) -> list[tuple[str, str]]:
        """The items without a result, and why."""
        return [
            (row["item"], row["error"])
            for table in self.tables(["item", "error"])
            for row in table.filter(table["error"].is_valid()).to_pylist()
        ]

    def attributions(self, table: pa.Table) -> npt.NDArray[np.float32]:
        r"""
        The maps of a table with the columns ``scale`` and ``attribution``.

        Returns:
            array: (n_rows, \*spatial), in units of the score; NaN where there is an error.
        """
        shape = tuple(self.manifest.attribution_shape)
        maps = np.full((len(table), int(np.prod(shape))), np.nan, np.float32)
        good = table["attribution"].is_valid().to_numpy()
        if good.any():
            flat = table["attribution"].combine_chunks().flatten().to_numpy()
            scale = table["scale"].drop_null().to_numpy()
            maps[good] = flat.reshape(good.sum(), -1).astype(np.float32) * scale[:, None]
        return maps.reshape(len(table), *shape)


def read_clusters(folder: Path, manifest: Manifest) -> Tensor | None:
    """The clusters that a run has fitted, or None if there are none of this run."""
    try:
        content = json.loads((folder / CLUSTERS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if content.get("settings") != manifest.hash:
        return None
    return torch.tensor(content["clusters"])


def _check_columns(columns: Sequence[str] | None) -> None:
    unknown = set(columns or ()) - set(SCHEMA.names)
    if unknown:
        raise ValueError(
            f"columns has {sorted(unknown)}; a run has {', '.join(map(repr, SCHEMA.names))}."
        )
