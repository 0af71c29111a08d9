"""Explain a whole data set in steps that survive the end of the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_clustered._argument_checks import check_int, is_int
from captum_clustered._storage.atomic import write_csv
from captum_clustered._storage.fingerprints import hash_names
from captum_clustered._storage.layout import ERRORS
from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.dataset_run.description import describe_method, device_of, made_with
from captum_clustered.dataset_run.engine import Engine, Job, LocalEngine, threads
from captum_clustered.dataset_run.explaining import PREDICTION, RunSettings
from captum_clustered.dataset_run.loading import BatchReader, in_threads
from captum_clustered.dataset_run.reading import Run
from captum_clustered.dataset_run.store import Manifest, RunStore
from captum_clustered.dataset_run.trial import Trial
from captum_clustered.views import view_names

# Default number of items in a chunk, rounded down to whole batches.
CHUNK_ITEMS = 512
ALL = "all"
# Threads that read images ahead while clusters are fitted.
FIT_READERS = 2


def explain_dataset(
    cam: ClusteredLayerCAM,
    dataset: Any,
    out: str | os.PathLike[str],
    *,
    target: str | int = PREDICTION,
    attribute_to_layer_input: bool = False,
    layer_baselines: float | None = None,
    perturbations_per_eval: int | None = None,
    views: Sequence[str] = (),
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
    Explain all images of a data set and store the results in a folder, chunk by chunk.

    If the process ends, however it ends, the same call resumes where it stopped. The result
    equals that of an undisturbed call to the last bit: batches are fixed slices of the data,
    and their size is stored with the results.

    An item that cannot be read or explained does not stop the others. Its row has the reason,
    which :meth:`Run.errors` and ``errors.csv`` list.

    Args:

        cam (ClusteredLayerCAM): The method. Its model must return one score per class,
                    (N, n_classes), and be in evaluation mode on its device.
        dataset (Dataset): Its items are a tensor (one image's input) or a tuple of a tensor
                    and a label, as torchvision's data sets give with
                    ``transform=ToTensor()``. All inputs must have the same shape.
        out (str or PathLike): Folder for the results, made if it is not there.
        target (str or int, optional): The class to explain: "prediction", the one with the
                    largest score; "label", the item's; or a class's number.
                    Default: "prediction"
        attribute_to_layer_input (bool, optional): As in ``ClusteredLayerCAM.attribute``.
                    Default: False
        layer_baselines (float, optional): The value that replaces ablated channels.
                    Default: None (zero)
        perturbations_per_eval (int, optional): As in ``ClusteredLayerCAM.attribute``.
                    Default: None
        views (Sequence[str], optional): Views that the maps are averaged over, as in
                    :class:`TestTimeAugmentation`: ("identity", "hflip"). The prediction, scores,
                    importances and sizes are those of the first view.
                    Default: () (no views)
        resolution (str, optional): Size of the stored maps: the "layer"'s, or the "input"'s
                    by interpolation.
                    Default: "layer"
        names (sequence of str, optional): Names of the items. Other names, or another
                    order, are another data set.
                    Default: None (their numbers)
        fit (str or int, optional): Fit one clustering of the channels first, as
                    :meth:`ClusteredLayerCAM.fit` does, on "all" items or on this number of
                    items, spread evenly. A cluster then means the same in all images, which
                    :func:`cluster_summary` needs.
                    Default: None (clusters as ``cam`` says)
        batch_size (int, optional): Images per batch.
                    Default: None (what fits into ``memory``, at most 64; when resuming, that
                    of the first call)
        memory (int, optional): Memory for a batch in the network, in bytes.
                    Default: None (1 GiB and at most 8 images on a CPU, where larger batches are
                    slower; half of the free memory of a GPU)
        chunk_size (int, optional): Items per file, a multiple of ``batch_size``. The end of
                    the process loses less than one chunk.
                    Default: None (about 512; when resuming, that of the first call)
        about (mapping, optional): Other settings that must be the same for results to belong
                    together, such as the preprocessing, as JSON values.
                    Default: None
        retry_errors (bool, optional): Compute chunks with errors again, for data that could
                    not be reached for a while.
                    Default: False
        engine (Engine, optional): :class:`LocalEngine` or :class:`RayEngine`. A run may be
                    resumed with another engine.
                    Default: None (``LocalEngine()``)
        progress (Callable, optional): Called as progress(done, total) with numbers of items.
                    Default: None

    Returns:
        Run: The results.

    Raises:

        ValueError: If an argument is not one of the values above, no item can be read, the
                    engine cannot compute where the model is, or the folder holds a run with
                    other settings; the message names those that differ.
        RuntimeError: If another run is writing into the folder.
        OSError: If the folder cannot be written to, or its disk is too small or full. Stored
                    results stay as they are.

    Warns:

        UserWarning: If the folder's run was begun with other versions or on another device,
                    so that the last bits may differ.

    Examples::

        >>> cam = ClusteredLayerCAM(net, net.conv4)
        >>> dataset = torchvision.datasets.ImageFolder("scans", transform=ToTensor())
        >>> run = explain_dataset(cam, dataset, "out", target="label", fit=1000)
        >>> maps = run.attributions(run.table(["scale", "attribution"]))  # (n, 8, 8)
    """
    settings = RunSettings(
        target,
        bool(attribute_to_layer_input),
        resolution,
        layer_baselines,
        perturbations_per_eval,
        view_names(views),
    )
    sizes = {"batch_size": batch_size, "chunk_size": chunk_size}
    for argument, size in {**sizes, "memory": memory}.items():
        if size is not None:
            check_int(argument, size, 1)
    n_items = len(dataset)
    if n_items == 0:
        raise ValueError("dataset must hold at least one item; it is empty.")
    # Numbers as they are: a list of 10^7 strings would take a gigabyte.
    items: Sequence[object] = range(n_items) if names is None else names
    if len(items) != n_items:
        raise ValueError(f"names has {len(items)} entries for {n_items} items of the dataset.")
    n_fit = _n_fit(fit, n_items, cam)
    given = {
        **describe_method(cam),
        **vars(settings),
        # JSON gives lists back.
        "views": list(settings.views),
        "fit": n_fit,
        "data": hash_names(items),
    }
    given |= _others(about or {}, given)
    engine, report = engine or LocalEngine(), progress or (lambda done, total: None)
    made = made_with(engine.device_name(cam))
    store = RunStore(Path(out))
    with store.only_writer():
        manifest = store.read_manifest()
        if manifest is not None:
            _check_same(manifest, given, n_items, sizes, store.folder)
            _warn_if_otherwise_made(manifest, made)
        n_threads = torch.get_num_threads() if manifest is None else manifest.threads
        with threads(n_threads):
            trial = Trial(cam, settings, dataset, n_items, device_of(cam))
            if manifest is None:
                batch_size, chunk_size = _new_sizes(batch_size, chunk_size, memory, trial)
                manifest = Manifest(
                    settings=given,
                    n_items=n_items,
                    batch_size=batch_size,
                    chunk_size=chunk_size,
                    threads=n_threads,
                    attribution_shape=trial.map_shape,
                    input_shape=list(trial.example.shape),
                    made_with=made,
                )
                store.write_manifest(manifest)
            store.remove_unfinished()
            missing = list(store.missing(manifest, retry_errors))
            done = n_items - sum(len(manifest.items_of(chunk)) for chunk in missing)
            _check_space(n_items - done, trial.row_bytes, store.folder)

            def advance(count: int) -> None:
                nonlocal done
                done += count
                report(done, n_items)

            advance(0)
            if missing:
                if n_fit:
                    cam = _fitted(cam, settings, dataset, n_fit, manifest, store)
                job = Job(cam, settings, dataset, items, manifest, store.folder)
                engine.run(job, missing, advance)
        result = Run(store.folder)
        write_csv(store.folder / ERRORS, ("item", "error"), result.errors())
    return result


def _new_sizes(
    batch_size: int | None, chunk_size: int | None, memory: int | None, trial: Trial
) -> tuple[int, int]:
    """Return the batch size and the chunk size of a new run."""
    batch_size = batch_size or trial.batch_size(memory)
    chunk_size = chunk_size or batch_size * max(1, CHUNK_ITEMS // batch_size)
    if chunk_size % batch_size:
        raise ValueError(f"chunk_size={chunk_size} must be a multiple of batch_size={batch_size}.")
    # NumPy's integers are no JSON.
    return int(batch_size), int(chunk_size)


def _others(about: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return other settings as JSON gives them back."""
    taken = sorted(set(given).intersection(about))
    if taken:
        raise ValueError(f"about has {taken}, which are settings of every run: rename them.")
    found: dict[str, Any] = json.loads(json.dumps(dict(about)))
    return found


def _n_fit(fit: Any, n_items: int, cam: ClusteredLayerCAM) -> int:
    if fit is None:
        return 0
    if cam.clusterer is None or isinstance(cam.clusterer, (Tensor, tuple)):
        given = "None" if cam.clusterer is None else "fixed labels"
        raise ValueError(f"fit={fit!r} has nothing to learn: clusterer is {given}.")
    if fit == ALL:
        return n_items
    if not is_int(fit) or fit < 1:
        raise ValueError(f"fit={fit!r} must be 'all' or the number of items to fit clusters on.")
    return min(int(fit), n_items)


def _check_same(
    stored: Manifest,
    given: Mapping[str, Any],
    n_items: int,
    sizes: Mapping[str, int | None],
    folder: Path,
) -> None:
    before = {**stored.settings, "number of items": stored.n_items}
    now = {**given, "number of items": n_items}
    for name, size in sizes.items():
        # None means as before.
        if size is not None:
            before[name], now[name] = getattr(stored, name), size
    differences = [
        f"{name} was {before.get(name, 'not given')} and is {now.get(name, 'not given')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise ValueError(
            f"{folder} holds a run with other settings: {'; '.join(differences)}. Choose another "
            "folder, or the same settings to resume."
        )


def _warn_if_otherwise_made(stored: Manifest, now: Mapping[str, str]) -> None:
    differences = [
        f"{name} {before} and now {now.get(name)}"
        for name, before in stored.made_with.items()
        if before != now.get(name)
    ]
    if differences:
        warnings.warn(
            f"The run was begun with {', '.join(differences)}: the last bits of the new results "
            "may differ from those of an uninterrupted run.",
            stacklevel=3,
        )


def _check_space(n_missing: int, row_bytes: int, folder: Path) -> None:
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
    settings: RunSettings,
    dataset: Any,
    n_fit: int,
    manifest: Manifest,
    store: RunStore,
) -> ClusteredLayerCAM:
    """Return the method with clusters that are fitted once and stored with the results."""
    clusters, fitted = store.read_clusters(manifest), copy(cam)
    if clusters is None:
        device, size = device_of(cam), manifest.batch_size
        items = np.linspace(0, manifest.n_items - 1, n_fit).round().astype(int).tolist()
        reader = BatchReader(dataset, tuple(manifest.input_shape))
        slices = [items[start : start + size] for start in range(0, n_fit, size)]
        batches = in_threads(reader, slices, FIT_READERS)
        inputs = (batch.inputs.to(device) for batch in batches if batch.inputs is not None)
        fitted.fit(inputs, attribute_to_layer_input=settings.attribute_to_layer_input)
        # The trial has refused layers of several tensors.
        assert isinstance(fitted.labels_, Tensor)  # noqa: S101
        clusters = fitted.labels_
        store.write_clusters(clusters, manifest)
    fitted.clusterer, fitted._fitted = clusters, None
    # Fixed clusters are the same in each of several clusterings.
    fitted.n_clusterings = 1
    return fitted
