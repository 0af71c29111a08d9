"""The results of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from captum_clustered._storage.layout import MANIFEST
from captum_clustered.dataset_run.store import SCHEMA, Manifest, RunStore


class Run:
    r"""
    The results of :func:`explain_dataset`, finished or not.

    They are Parquet files with one row per item, ``chunks/*.parquet``, which other programs
    can read too. The columns:

    - ``index``, ``item``: number and name of the item.
    - ``error``: the reason why there is no result, else null. With an error, all columns
      below but the label are null.
    - ``label``: the item's class in the data set, null if it has none.
    - ``prediction``, ``target``: the class with the largest score and the explained class.
    - ``score``, ``baseline_score``: the target's score, and with the whole layer ablated.
    - ``importances``, ``sizes``: lists with one number per cluster of channels, see
      :class:`captum_clustered.Clusters`.
    - ``scale``, ``attribution``: the map's largest absolute value, and the map divided by it:
      a list of height * width values in half precision, row by row.

    Args:

        folder (str or PathLike): The run's folder.

    Attributes:

        manifest (Manifest): What the run computes.

    Raises:

        FileNotFoundError: If there is no run.
        ValueError: If its manifest is damaged or of another version.

    Examples::

        >>> run = Run("out")
        >>> table = run.table(["item", "score", "scale", "attribution"])
        >>> maps = run.attributions(table)  # (n_items, 7, 7), NaN where there is an error
        >>> for item, reason in run.errors():
        ...     print(item, reason)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._store = RunStore(self.folder)
        manifest = self._store.read_manifest()
        if manifest is None:
            raise FileNotFoundError(
                f"{self.folder} is not a folder of `run`: it has no {MANIFEST}."
            )
        self.manifest: Manifest = manifest

    def __repr__(self) -> str:
        """Say in one line where it is and what it holds."""
        manifest = self.manifest
        settings = ", ".join(
            f"{k} {manifest.settings.get(k)}" for k in ("model", "layer", "target")
        )
        return f"Run({str(self.folder)!r}: {manifest.n_items} items, {settings})"

    @property
    def is_complete(self) -> bool:
        """Whether all chunks exist; their content is not checked."""
        return all(self._store.path(c).exists() for c in range(self.manifest.n_chunks))

    @property
    def has_shared_clusters(self) -> bool:
        """Whether cluster 3 is of the same channels in all images."""
        settings = self.manifest.settings
        return bool(settings["fit"]) or str(settings["clusterer"]).startswith(
            ("each", "fixed", "fitted")
        )

    @property
    def cluster_labels(self) -> Tensor | None:
        """The fitted cluster of each channel, LongTensor (C,), or None."""
        return self._store.read_clusters(self.manifest)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """
        Yield the chunks that exist, in the order of the items.

        Args:

            columns (sequence of str, optional): Their names.
                        Default: None (all)

        Raises:

            ValueError: If a column is unknown, or a chunk is damaged.
        """
        _check_columns(columns)
        for chunk in range(self.manifest.n_chunks):
            table = self._store.read(chunk, self.manifest, columns)
            if table is not None:
                yield table
            elif self._store.path(chunk).exists():
                raise ValueError(
                    f"{self._store.path(chunk)} is damaged or cannot be read; start the run again "
                    "with the same settings to compute it."
                )

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all chunks that exist as one table; see :meth:`tables`."""
        _check_columns(columns)
        schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(c) for c in columns])
        tables = [table.replace_schema_metadata(None) for table in self.tables(columns)]
        return pa.concat_tables([schema.empty_table(), *tables])

    def errors(self) -> list[tuple[str, str]]:
        """Return the name of each item without a result, and the reason."""
        return [
            (row["item"], row["error"])
            for table in self.tables(["item", "error"])
            for row in table.filter(table["error"].is_valid()).to_pylist()
        ]

    def attributions(self, table: pa.Table) -> npt.NDArray[np.float32]:
        r"""
        Return the maps of a table with the columns ``scale`` and ``attribution``.

        Returns:
            array: (n_rows, \*spatial); NaN where there is an error.
        """
        shape = tuple(self.manifest.attribution_shape)
        maps = np.full((len(table), int(np.prod(shape))), np.nan, np.float32)
        good = table["attribution"].is_valid().to_numpy()
        if good.any():
            flat = table["attribution"].combine_chunks().flatten().to_numpy()
            scale = table["scale"].drop_null().to_numpy()
            maps[good] = flat.reshape(good.sum(), -1).astype(np.float32) * scale[:, None]
        return maps.reshape(len(table), *shape)


def _check_columns(columns: Sequence[str] | None) -> None:
    unknown = set(columns or ()) - set(SCHEMA.names)
    if unknown:
        raise ValueError(
            f"columns has {sorted(unknown)}; a run has {', '.join(map(repr, SCHEMA.names))}."
        )
