"""Explaining a whole data set, in steps that survive the end of the process."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_clustered import ClusteredLayerCAM
from captum_clustered._errors import one_line
from captum_clustered._storage.atomic import write_whole
from captum_clustered._storage.fingerprints import hash_names
from captum_clustered.dataset_run.batch_size import choose_batch_size, default_budget
from captum_clustered.dataset_run.description import describe_method, made_with
from captum_clustered.dataset_run.devices import device_of
from captum_clustered.dataset_run.engine import Engine, Job, threads
from captum_clustered.dataset_run.explaining import (
    LABEL,
    PREDICTION,
    RESOLUTIONS,
    Explainer,
    Settings,
)
from captum_clustered.dataset_run.loading import BatchReader, in_threads, read_item
from captum_clustered.dataset_run.local import LocalEngine
from captum_clustered.dataset_run.lock import only_writer
from captum_clustered.dataset_run.reading import Run, read_clusters
from captum_clustered.dataset_run.store import CLUSTERS, ERRORS, Manifest, Store

# Of a chunk, if nothing is said: about so many items, in whole batches.
CHUNK_ITEMS = 512
# How many items may be unreadable before the first that is not.
MAX_UNREADABLE = 1000
# How many that can be read may be impossible to explain: after so many it is the settings.
MAX_UNEXPLAINED = 8
# A row beside its map and its clusters.
ROW_BYTES = 64
ALL = "all"
# Threads that read ahead while clusters are learned.
FIT_READERS = 2


def explain_dataset(
    cam: ClusteredLayerCAM,
    dataset: Any,
    out: str | os.PathLike[str],
    *,
    target: str | int = PREDICTION,
    attribute_to_layer_input: bool = False,
    resolution: str = "layer",
    names: Sequence[str] | None = None,
    fit: str | int | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    chunk_size: int | None = None,
    about: Mapping[str, Any] | None = None,
    retry_errors: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    r"""
    Explains all images of a data set and stores the results in a folder, chunk by chunk.

    If the process ends, however it ends, the same call goes on where it stopped, and the
    result is the same to the last bit as that of a call that was not disturbed. Batches are
    fixed slices of the data, and their size is kept with the results.

    An item that cannot be read or explained does not stop the others: it gets a row with
    the reason, which :meth:`Run.errors` and ``errors.csv`` list.

    Args:

        cam (ClusteredLayerCAM): The method with the model, which must return a score for
                    each class, (N, n_classes), and be in evaluation mode on its device.
        dataset (Dataset): Its items are a tensor, one image's input, or a tuple whose first
                    entry is that and whose second is the label: what torchvision's data
                    sets give with ``transform=ToTensor()``. Inputs must be of one shape.
        out (str or PathLike): Folder for the results, made if it is not there.
        target (str or int, optional): The class that is explained: "prediction", the one
                    with the largest score; "label", the item's; or a number.
                    Default: "prediction"
        attribute_to_layer_input (bool, optional): As in ``ClusteredLayerCAM.attribute``.
                    Default: False
        resolution (str, optional): Whether maps are stored in the "layer"'s size or
                    interpolated to the "input"'s.
                    Default: "layer"
        names (sequence of str, optional): Of the items. Another order or other names are
                    another data set.
                    Default: None (their numbers)
        fit (str or int, optional): Learn one clustering of channels first, as
                    :meth:`ClusteredLayerCAM.fit` does, from "all" items or from so many of
                    them, spread evenly. A cluster then means the same in all images, which
                    :func:`cluster_summary` needs.
                    Default: None (as ``cam`` says)
        batch_size (int, optional): Images in each batch.
                    Default: None (what fits into ``memory``, at most 64; on going on, that
                    of the first call)
        memory (int, optional): What the network may use for a batch, in bytes.
                    Default: None (1 GiB on a CPU, half of what is free on a GPU)
        chunk_size (int, optional): Items in each file, a multiple of ``batch_size``. What is
                    lost when the process ends is less than a chunk.
                    Default: None (about 512; on going on, that of the first call)
        about (mapping, optional): What else must be the same for results to belong
                    together, such as how images are prepared; values that JSON has.
                    Default: None
        retry_errors (bool, optional): Compute chunks with errors again: for data that could
                    not be reached for a while.
                    Default: False
        engine (Engine, optional): What computes: :class:`LocalEngine` or
                    :class:`RayEngine`. Not part of what must be the same.
                    Default: None (this process, reading images in between)
        progress (Callable, optional): Called as progress(done, total) with numbers of items.
                    Default: None

    Returns:
        Run: The results.

    Raises:

        ValueError: If an argument is not one of the values above, there is no item that can
                    be read, the engine cannot compute where the model is, or the folder holds
                    a run of something else; the message names what differs.
        RuntimeError: If another process is writing into the folder.
        OSError: If the folder cannot be written to or its disk is too small or full; what is
                    there stays as it is.

    Warns:

        UserWarning: If the folder's run was begun with other versions or on another device,
                    so that the last bits may differ.

    Examples::

        >>> cam = ClusteredLayerCAM(net, net.conv4)
        >>> dataset = torchvision.datasets.ImageFolder("scans", transform=ToTensor())
        >>> run = explain_dataset(cam, dataset, "out", target="label", fit=1000)
        >>> maps = run.attributions(run.table(["scale", "attribution"]))  # (n, 8, 8)
    """
    settings = _settings(target, attribute_to_layer_input, resolution)
    sizes = _Sizes(batch_size, chunk_size, memory)
    n_items = len(dataset)
    if n_items == 0:
        raise ValueError("dataset must hold at least one item; it is empty.")
    if names is not None and len(names) != n_items:
        raise ValueError(f"names has {len(names)} entries for {n_items} items of the dataset.")
    names = names or _Numbers(n_items)
    n_fit = _n_fit(fit, n_items)
    device = device_of(cam)
    given = {
        **describe_method(cam),
        **vars(settings),
        "fit": n_fit,
        "data": hash_names(names),
        # As JSON gives it back.
        **json.loads(json.dumps(dict(about or {}))),
    }
    engine = engine or LocalEngine()
    made = made_with(engine.device_name(cam))
    store = Store(Path(out))
    with only_writer(store.folder):
        stored = store.read_manifest()
        if stored is not None:
            _check_same(stored, given, n_items, sizes, store.folder)
            _warn_if_otherwise_made(stored, made)
        n_threads = stored.threads if stored is not None else torch.get_num_threads()
        with threads(n_threads):
            trial = _Trial(cam, settings, dataset, n_items, device)
            if stored is None:
                manifest = _begin(trial, given, n_items, sizes, n_threads, made)
                store.write_manifest(manifest)
            else:
                manifest = stored
            store.remove_unfinished()
            missing = list(store.missing(manifest, retry_errors))
            _check_space(manifest, missing, trial.row_bytes, store.folder)
            counter = _Counter(manifest, missing, progress)
            if missing:
                if n_fit:
                    cam = _fitted(cam, settings, dataset, n_fit, manifest, store.folder)
                job = Job(cam, settings, dataset, names, manifest, store.folder)
                engine.run(job, missing, counter.advance)
        result = Run(store.folder)
        _write_errors(result)
    return result


@dataclass(frozen=True)
class _Sizes:
    """What the caller says about sizes; None leaves it to us."""

    batch_size: int | None
    chunk_size: int | None
    memory: int | None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}={value!r} must be an int of at least 1.")


class _Trial:
    """The first image that can be explained: settings that cannot work fail here."""

    def __init__(
        self,
        cam: ClusteredLayerCAM,
        settings: Settings,
        dataset: Any,
        n_items: int,
        device: torch.device,
    ) -> None:
        self.device = device
        self._explainer = Explainer(cam, settings, device)
        row = self._first(_readable(dataset, settings, n_items))
        self.map_shape = self._explainer.map_shape
        self.row_bytes = ROW_BYTES + sum(np.asarray(value).nbytes for value in row.values())

    def batch_size(self, budget: int) -> int:
        """What fits into the memory."""
        return choose_batch_size(self._explain, self.example, budget)

    def _first(self, items: Iterator[tuple[Tensor, int | None]]) -> dict[str, Any]:
        """Takes the first that can be explained for the example and returns its row."""
        failed: Exception | None = None
        for self.example, self._label in itertools.islice(items, MAX_UNEXPLAINED):
            try:
                return self._explain(self.example[None])[0]
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001
                failed = failed or error
        assert failed is not None  # noqa: S101 - there is one that can be read
        raise failed

    def _explain(self, inputs: Tensor) -> list[dict[str, Any]]:
        return self._explainer.explain(inputs, [self._label] * len(inputs))


def _begin(
    trial: _Trial,
    given: dict[str, Any],
    n_items: int,
    sizes: _Sizes,
    n_threads: int,
    made: dict[str, str],
) -> Manifest:
    """The manifest of a new run."""
    budget = sizes.memory or default_budget(trial.device)
    batch_size = sizes.batch_size or trial.batch_size(budget)
    chunk_size = sizes.chunk_size or batch_size * max(1, CHUNK_ITEMS // batch_size)
    if chunk_size % batch_size:
        raise ValueError(f"chunk_size={chunk_size} must be a multiple of batch_size={batch_size}.")
    return Manifest(
        settings=given,
        n_items=n_items,
        batch_size=batch_size,
        chunk_size=chunk_size,
        threads=n_threads,
        attribution_shape=trial.map_shape,
        input_shape=list(trial.example.shape),
        made_with=made,
    )


class _Numbers(Sequence[str]):
    """The names of items that have none."""

    def __init__(self, n_items: int) -> None:
        self._n_items = n_items

    def __len__(self) -> int:
        return self._n_items

    def __getitem__(self, index: Any) -> Any:
        return str(range(self._n_items)[index])


class _Counter:
    """Tells how many items are done."""

    def __init__(
        self,
        manifest: Manifest,
        missing: Sequence[int],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._total = manifest.n_items
        self._done = self._total - sum(len(manifest.items_of(chunk)) for chunk in missing)
        self._progress = progress
        self.advance(0)

    def advance(self, n_items: int) -> None:
        self._done += n_items
        if self._progress is not None:
            self._progress(self._done, self._total)


def _settings(target: Any, attribute_to_layer_input: bool, resolution: str) -> Settings:
    is_class = isinstance(target, int) and not isinstance(target, bool) and target >= 0
    if target not in (PREDICTION, LABEL) and not is_class:
        raise ValueError(f"target={target!r} must be 'prediction', 'label' or a class's number.")
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution={resolution!r} must be 'layer' or 'input'.")
    return Settings(target, bool(attribute_to_layer_input), resolution)


def _n_fit(fit: Any, n_items: int) -> int:
    if fit is None:
        return 0
    if fit == ALL:
        return n_items
    if not isinstance(fit, int) or isinstance(fit, bool) or fit < 1:
        raise ValueError(f"fit={fit!r} must be 'all' or the number of items to learn from.")
    return min(fit, n_items)


def _check_same(
    stored: Manifest, given: Mapping[str, Any], n_items: int, sizes: _Sizes, folder: Path
) -> None:
    before = {**stored.settings, "number of items": stored.n_items}
    now = {**given, "number of items": n_items}
    for name in ("batch_size", "chunk_size"):
        # Not given means as before.
        if getattr(sizes, name) is not None:
            before[name], now[name] = getattr(stored, name), getattr(sizes, name)
    differences = [
        f"{name} was {before.get(name, 'not given')} and is {now.get(name, 'not given')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise ValueError(
            f"{folder} holds a run with other settings: {'; '.join(differences)}. Choose another "
            "folder, or the same settings to go on."
        )


def _warn_if_otherwise_made(stored: Manifest, now: Mapping[str, str]) -> None:
    differences = [
        f"{name} {before} and now {now.get(name)}"
        for name, before in stored.made_with.items()
        if before != now.get(name)
    ]
    if differences:
        warnings.warn(
            f"The run was begun with {', '.join(differences)}: the last bits of what is added may "
            "differ from what a run in one piece would give.",
            stacklevel=3,
        )


def _readable(
    dataset: Any, settings: Settings, n_items: int
) -> Iterator[tuple[Tensor, int | None]]:
    """
    The first items that can be read, by which settings and memory are tried.

    Raises:

        ValueError: If there is none.
    """
    first, found = "", False
    for index in range(min(n_items, MAX_UNREADABLE)):
        try:
            item = read_item(dataset, index, settings.target == LABEL)
        except Exception as error:  # noqa: BLE001
            first = first or one_line(error)
            continue
        found = True
        yield item
    if not found:
        raise ValueError(
            f"dataset has no item that can be read among its first {min(n_items, MAX_UNREADABLE)}; "
            f"of the first: {first}"
        )


def _check_space(manifest: Manifest, missing: Sequence[int], row_bytes: int, folder: Path) -> None:
    """
    Raises:

        OSError: If the disk is too small for what is missing.
    """
    n_missing = sum(len(manifest.items_of(chunk)) for chunk in missing)
    needed, free = n_missing * row_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{n_missing} images need about {needed / 1e9:.3g} GB ({row_bytes} bytes each), and "
            f"{free / 1e9:.3g} GB are free",
            str(folder),
        )


def _fitted(
    cam: ClusteredLayerCAM,
    settings: Settings,
    dataset: Any,
    n_fit: int,
    manifest: Manifest,
    folder: Path,
) -> ClusteredLayerCAM:
    """The method with clusters that were learned once and are kept with the results."""
    fitted = copy(cam)
    clusters = read_clusters(folder, manifest)
    if clusters is None:
        clusters = _fit(fitted, settings, dataset, n_fit, manifest)
        content = {"settings": manifest.hash, "clusters": clusters.tolist()}
        write_whole(folder / CLUSTERS, json.dumps(content).encode())
    # Read or learned, the same; and clusters that do not change need no average.
    fitted = copy(cam)
    fitted.clusterer, fitted.n_clusterings = clusters, 1
    return fitted


def _fit(
    cam: ClusteredLayerCAM, settings: Settings, dataset: Any, n_fit: int, manifest: Manifest
) -> Tensor:
    device, size = device_of(cam), manifest.batch_size
    items = np.linspace(0, manifest.n_items - 1, n_fit).round().astype(int).tolist()
    reader = BatchReader(dataset, tuple(manifest.input_shape))
    slices = [items[start : start + size] for start in range(0, n_fit, size)]
    batches = in_threads(reader, slices, FIT_READERS)
    inputs = (batch.inputs.to(device) for batch in batches if batch.inputs is not None)
    labels = cam.fit(inputs, attribute_to_layer_input=settings.attribute_to_layer_input).labels_
    # A layer of several tensors has been refused by then.
    return labels if isinstance(labels, Tensor) else labels[0]


def _write_errors(run: Run) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["item", "error"])
    writer.writerows(run.errors())
    write_whole(run.folder / ERRORS, text.getvalue().encode("utf-8", errors="surrogateescape"))
