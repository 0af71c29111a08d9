"""
A run on disk: a manifest and one Parquet file per chunk, which is a fixed slice of the items.

A file has one row per item, explained or not, so the files that exist record what is done.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from captum_clustered._storage.atomic import (
    read_json_object,
    remove_unfinished,
    write_json,
    write_whole,
)
from captum_clustered._storage.layout import CHUNKS, CLUSTERS, ERRORS, LOCK, MANIFEST

PREFIX = "chunk-"
FORMAT = 1
# Keys in a chunk's file: a hash of the run that it belongs to, and of its bytes before the footer.
SETTINGS_HASH = b"captum_clustered.settings"
CONTENT_HASH = b"captum_clustered.content"
# A killed process' readers may hold its lock until they notice, which takes torch's up to 5 s.
LOCK_SECONDS = 8.0

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
    """What a run computes."""

    settings: dict[str, Any]  # all that must be the same for its chunks to belong together
    n_items: int
    batch_size: int  # items in each batch but the last
    chunk_size: int  # items in each chunk but the last: whole batches
    threads: int  # torch's threads, which the last bits of a CPU's sums depend on
    attribution_shape: list[int]  # of one image
    input_shape: list[int]  # of one image
    made_with: dict[str, str] = field(default_factory=dict)  # versions and the kind of device

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-self.n_items // self.chunk_size)

    @property
    def hash(self) -> str:
        """Hash of everything that a chunk's numbers depend on."""
        content = {**vars(self), "made_with": None, "format": FORMAT}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def items_of(self, chunk: int) -> range:
        """Return the items of a chunk."""
        return range(self.n_items)[chunk * self.chunk_size : (chunk + 1) * self.chunk_size]

    def batches_of(self, chunk: int) -> list[range]:
        """Return the items of each batch of a chunk."""
        items = self.items_of(chunk)
        return [items[i : i + self.batch_size] for i in range(0, len(items), self.batch_size)]


class RunStore:
    """The folder of a run. Methods that write raise an OSError if they cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """
        Hold the folder until the block or the process ends; make it if it is not there.

        Raises RuntimeError if another run holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK, timeout=LOCK_SECONDS)
        try:
            # Some network file systems have no locks.
            with suppress(NotImplementedError):
                lock.acquire()
        except Timeout as error:
            raise RuntimeError(
                f"another run is writing into {self.folder}: wait for it, or choose another folder."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def read_manifest(self) -> Manifest | None:
        """Return the manifest or None; raise a ValueError if it is damaged or of another format."""
        path = self.folder / MANIFEST
        if not path.exists():
            return None
        # No object is as bad as one without entries.
        content = read_json_object(path) or {}
        try:
            version = content.pop("format")
            content.pop("hash")
            manifest = Manifest(**content)
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is damaged or not the manifest of a run; choose another folder."
            ) from error
        if version != FORMAT:
            raise ValueError(
                f"{path} has format {version}; this version reads and writes format {FORMAT}."
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Begin a run."""
        (self.folder / CHUNKS).mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "hash": manifest.hash, **vars(manifest)}
        write_json(self.folder / MANIFEST, content, indent=1)

    def read_clusters(self, manifest: Manifest) -> Tensor | None:
        """Return the clusters that a run has fitted, or None if there are none of this run."""
        path = self.folder / CLUSTERS
        content = read_json_object(path) if path.exists() else None
        if content is None or content.get("settings") != manifest.hash:
            return None
        return torch.tensor(content["clusters"])

    def write_clusters(self, clusters: Tensor, manifest: Manifest) -> None:
        """Store the clusters that a run has fitted."""
        content = {"settings": manifest.hash, "clusters": clusters.tolist()}
        write_json(self.folder / CLUSTERS, content)

    def remove_unfinished(self) -> None:
        """Remove what a dead process was writing; no other process may be writing here."""
        remove_unfinished(self.folder / CHUNKS, PREFIX)
        for name in (MANIFEST, CLUSTERS, ERRORS):
            remove_unfinished(self.folder, name)

    def path(self, chunk: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / CHUNKS / f"{PREFIX}{chunk:07d}.parquet"

    def write(self, chunk: int, rows: Sequence[Mapping[str, Any]], manifest: Manifest) -> None:
        """Write a chunk, whole or not at all; a row maps names of ``SCHEMA`` to values."""
        file = io.BytesIO()
        # Dictionaries of numbers that hardly repeat would be larger than the numbers.
        options = {"compression": "zstd", "use_dictionary": ["error"]}
        with pq.ParquetWriter(file, SCHEMA, **options) as writer:
            writer.write_table(pa.Table.from_pylist(list(rows), SCHEMA))
            hashes = {SETTINGS_HASH: manifest.hash, CONTENT_HASH: _hash(file.getvalue())}
            writer.add_key_value_metadata(hashes)
        write_whole(self.path(chunk), file.getvalue())

    def read(
        self, chunk: int, manifest: Manifest, columns: Sequence[str] | None = None
    ) -> pa.Table | None:
        """Return columns of a chunk (None: all), or None unless it is whole and of this run."""
        names = None if columns is None else list(dict.fromkeys(["index", *columns]))
        try:
            content = self.path(chunk).read_bytes()
            # From memory and by this thread: Arrow's own threads sometimes abort a process that
            # has torch when it ends.
            file = pq.ParquetFile(pa.BufferReader(content))
            found = file.metadata.metadata or {}
            # The bytes that are hashed end where the footer begins.
            end = len(content) - 8 - file.metadata.serialized_size
            if found.get(SETTINGS_HASH) != manifest.hash.encode():
                return None
            if found.get(CONTENT_HASH) != _hash(content[:end]).encode():
                return None
            if not file.schema_arrow.equals(SCHEMA):
                return None
            table = file.read(names, use_threads=False)
        except (FileNotFoundError, pa.ArrowException, OSError, ValueError, KeyError):
            return None
        if table["index"].to_pylist() != list(manifest.items_of(chunk)):
            return None
        return table if columns is None else table.select(list(columns))

    def missing(self, manifest: Manifest, retry_errors: bool = False) -> Iterator[int]:
        """Yield the chunks that are not there, and with ``retry_errors`` those with errors."""
        for chunk in range(manifest.n_chunks):
            table = self.read(chunk, manifest, ["error"])
            if table is None or (retry_errors and table["error"].null_count < len(table)):
                yield chunk


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
