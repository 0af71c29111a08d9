"""
Results on disk: one Parquet file for each chunk of the data, and a manifest.

A chunk is a fixed slice of the data and its file has a row for each of its items, explained
or not. So a file says everything about its items, and which items are done is the same as
which files are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from captum_clustered._storage.atomic import remove_unfinished, write_whole

MANIFEST = "manifest.json"
CLUSTERS = "clusters.json"
ERRORS = "errors.csv"
CHUNKS = "chunks"
PREFIX = "chunk-"
FORMAT = 1
# Under which a chunk's file says what it is a part of, and what its columns add up to: the
# checksums that Parquet has do not cover everything.
SETTINGS_HASH = b"captum_clustered.settings"
CONTENT_HASH = b"captum_clustered.content"

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("prediction", pa.int32()),
        pa.field("target", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("baseline_score", pa.float32()),
        pa.field("importances", pa.list_(pa.float32())),
        pa.field("sizes", pa.list_(pa.int32())),
        pa.field("scale", pa.float32()),
        pa.field("attribution", pa.list_(pa.float16())),
    ]
)


@dataclass(frozen=True)
class Manifest:
    """
    What a run is of.

    Attributes:

        settings (dict): All that must be the same for its chunks to belong together.
        n_items (int): Number of items.
        batch_size (int): Items in each batch but the last.
        chunk_size (int): Items in each chunk but the last, a multiple of batch_size.
        threads (int): Of torch, on which the last bits of a CPU's sums depend.
        attribution_shape (list[int]): Of one image's attribution.
        input_shape (list[int]): Of one image's input.
        made_with (dict): Versions and the kind of device.
    """

    settings: dict[str, Any]
    n_items: int
    batch_size: int
    chunk_size: int
    threads: int
    attribution_shape: list[int]
    input_shape: list[int]
    made_with: dict[str, str] = field(default_factory=dict)

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-self.n_items // self.chunk_size)

    @property
    def hash(self) -> str:
        """Of everything that a chunk's numbers depend on."""
        content = {**vars(self), "made_with": None, "format": FORMAT}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def items_of(self, chunk: int) -> range:
        """The items of a chunk."""
        return range(self.n_items)[chunk * self.chunk_size : (chunk + 1) * self.chunk_size]

    def batches_of(self, chunk: int) -> list[range]:
        """The items of each batch of a chunk."""
        items = self.items_of(chunk)
        return [items[i : i + self.batch_size] for i in range(0, len(items), self.batch_size)]


class Store:
    """
    A folder of a run.

    Args:

        folder (Path): Where it is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read_manifest(self) -> Manifest | None:
        """
        The manifest, or None if there is none.

        Raises:

            ValueError: If it is of another format or damaged.
        """
        path = self.folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content.pop("format")
            content.pop("hash")
            manifest = Manifest(**content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged or not the manifest of a run; choose another folder."
            ) from error
        if version != FORMAT:
            raise ValueError(
                f"{path} is of format {version}; this version reads and writes format {FORMAT}."
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """
        Begins a run.

        Raises:

            OSError: If the folder cannot be written to.
        """
        (self.folder / CHUNKS).mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "hash": manifest.hash, **vars(manifest)}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.folder / MANIFEST, text.encode())

    def remove_unfinished(self) -> None:
        """Removes what a process that died was writing; no other may be writing here."""
        remove_unfinished(self.folder / CHUNKS, PREFIX)
        for name in (MANIFEST, CLUSTERS, ERRORS):
            remove_unfinished(self.folder, name)

    def path(self, chunk: int) -> Path:
        """The file of a chunk."""
        return self.folder / CHUNKS / f"{PREFIX}{chunk:07d}.parquet"

    def write(self, chunk: int, rows: Sequence[Mapping[str, Any]], manifest: Manifest) -> None:
        """
        Writes a chunk, whole or not at all.

        Args:

            chunk (int): Its number.
            rows (sequence): A mapping by the names of ``SCHEMA`` for each of its items, in
                        their order.
            manifest (Manifest): Of the run.

        Raises:

            OSError: If it cannot be written.
        """
        table = pa.Table.from_pylist(list(rows), SCHEMA)
        metadata = {SETTINGS_HASH: manifest.hash.encode(), CONTENT_HASH: _hash(table)}
        table = table.replace_schema_metadata(metadata)
        sink = pa.BufferOutputStream()
        # Numbers that hardly repeat: a dictionary of them would be larger than they are.
        pq.write_table(
            table, sink, compression="zstd", use_dictionary=["error"], write_page_checksum=True
        )
        write_whole(self.path(chunk), sink.getvalue().to_pybytes())

    def read(
        self, chunk: int, manifest: Manifest, columns: Sequence[str] | None = None
    ) -> pa.Table | None:
        """
        A chunk, or None if there is none that is whole and of this run.

        Args:

            chunk (int): Its number.
            manifest (Manifest): Of the run.
            columns (sequence of str, optional): Names of ``SCHEMA``.
                        Default: None (all, and whether they are what was written is checked)
        """
        names = None if columns is None else list(dict.fromkeys(["index", *columns]))
        try:
            # From memory and by this thread: Arrow's own, for reading and for decoding, abort
            # now and then a process that has torch when it ends.
            content = pa.BufferReader(self.path(chunk).read_bytes())
            file = pq.ParquetFile(content, page_checksum_verification=True)
            table = file.read(names, use_threads=False)
        except (FileNotFoundError, pa.ArrowException, OSError, ValueError, KeyError):
            return None
        metadata = table.schema.metadata or {}
        if metadata.get(SETTINGS_HASH) != manifest.hash.encode():
            return None
        if table["index"].to_pylist() != list(manifest.items_of(chunk)):
            return None
        if columns is not None:
            return table.select(list(columns))
        is_whole = table.schema.equals(SCHEMA) and metadata.get(CONTENT_HASH) == _hash(table)
        return table if is_whole else None

    def missing(self, manifest: Manifest, retry_errors: bool = False) -> Iterator[int]:
        """The chunks that are still to be computed, or again if they have errors."""
        for chunk in range(manifest.n_chunks):
            table = self.read(chunk, manifest)
            if table is None or (retry_errors and table["error"].null_count < len(table)):
                yield chunk


def _hash(table: pa.Table) -> bytes:
    """Of what is in a table, however it is laid out in memory."""
    found = hashlib.sha256()
    for column in table.columns:
        array = column.combine_chunks()
        found.update(array.is_valid().to_numpy(zero_copy_only=False).tobytes())
        if pa.types.is_list(array.type):
            found.update(pc.list_value_length(array).drop_null().to_numpy().tobytes())
            array = array.flatten()
        values = array.drop_null()
        if pa.types.is_string(array.type):
            found.update("\0".join(values.to_pylist()).encode())
        else:
            found.update(values.to_numpy().tobytes())
    return found.hexdigest().encode()
