"""Runs of made-up numbers, as compare and explain store them."""

import json
from dataclasses import replace

import numpy as np
import torch

from captum_clustered.comparison.controls import CONTROLS
from captum_clustered.comparison.data import ImageBatch
from captum_clustered.comparison.pictures import KeptClusters, Pictures
from captum_clustered.comparison.store import BatchResult, ComparisonStore
from captum_clustered.explain import ExplainerSettings, Explanation

METRICS = {"average drop": "lower", "insertion": "higher", "energy ring": None}
# Nothing of this may be taken for HTML, a script or a pattern.
AWKWARD = "<b>$&'\"</script>.png"


def scene(generator, size):
    """A picture that packs as badly as a photograph, and a disc in it."""
    coarse = torch.rand(1, 3, 14, 14, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    noise = 0.06 * torch.randn(1, 3, size, size, generator=generator)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    center = size * (0.3 + 0.4 * torch.rand(2, generator=generator))
    disc = (y - center[0]) ** 2 + (x - center[1]) ** 2 < (size / 6) ** 2
    return smooth + noise, disc[None, None]


def write_compare_run(
    folder, n_images=8, n_methods=2, size=64, metrics=METRICS, grid=7, n_clustered=2, n_clusters=3
):
    """
    A folder as the command compare leaves it, of ``n_methods`` and the controls.

    Image 1 was not compared, "method 1" failed on image 2, its map of image 3 is zero. The
    first ``n_clustered`` methods have clusters; those of "method 1" are of a n_clusterings of 5.
    """
    generator = torch.Generator().manual_seed(0)
    methods = [f"method {i}" for i in range(n_methods)] + [info.name for info in CONTROLS]
    settings = {
        "forward_func": "made_up.network",
        "layer": "'layer4' (1)",
        "methods": {name: name for name in methods},
        "metrics": metrics,
        "score": "logit",
        "target": "prediction",
        "attribute_to_layer_input": False,
        "seed": 0,
    }
    store = ComparisonStore(folder / "state", settings)
    batches = [range(i, min(i + 4, n_images)) for i in range(0, n_images, 4)]
    for index, numbers in enumerate(batches):
        result, pictures = _batch(numbers, methods, metrics, size, grid, generator)
        for method in methods[:n_clustered]:
            n_runs = 5 if method == "method 1" else 1
            for image in pictures.images:
                if method in image.maps:
                    maps = torch.from_numpy(image.maps[method])
                    image.clusters[method] = clusters(maps, n_clusters, n_runs, generator)
        store.save(index, result, pictures)
    store.finish("method 0", len(batches), [])
    description = {
        "facts": {"Model": "a network"},
        "names": [AWKWARD, *(f"image-{i}.png" for i in range(1, n_images))],
        "left_out": [["broken.png", "It is <no> image."]],
        "classes": {"0": "benign", "1": "<malignant>"},
    }
    (folder / "run.json").write_text(json.dumps(description), encoding="utf-8")


def _batch(numbers, methods, metrics, size, grid, generator):
    result = BatchResult(n_images=len(numbers), fingerprint="made up")
    kept = [number for number in numbers if number != 1]
    scenes = [scene(generator, size) for _ in kept]
    images, masks = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    # Predictions alternate, and every fourth is wrong.
    result.images = [
        {"image": n, "label": (n + (n % 4 == 3)) % 2, "prediction": n % 2, "target": n % 2}
        for n in kept
    ]
    if 1 in numbers:
        result.failures.append(failure(1, "", "is not finite"))
    pictures = Pictures()
    pictures.start(ImageBatch(images, None, masks))
    for m, method in enumerate(methods):
        there = [i for i, n in enumerate(kept) if not (method == "method 1" and n == 2)]
        if len(there) < len(kept):
            result.failures.append(failure(2, method, "no <gradient>"))
        is_large = method in ("Fake-CAM", "center Gaussian", "mask")
        shape = (len(kept), 1, *(size if is_large else grid,) * 2)
        maps = torch.randn(shape, generator=generator) + 0.5
        if method == "mask":
            maps = masks.float()
        if method == "method 1":
            maps[[i for i, n in enumerate(kept) if n == 3]] = 0
        pictures.add(method, there, maps[there])
        result.values[method] = {
            metric: [10.0 * kept[i] + m + k if i in there else None for i in range(len(kept))]
            for k, metric in enumerate(metrics)
        }
        result.costs[method] = {
            "seconds": 0.5,
            "forward_examples": 1,
            "peak_memory": 0,
            "images": len(there),
        }
    return result, pictures


def clusters(maps, k, n_runs, generator):
    """Clusters whose maps add up to the map given, the last one with most of it."""
    shares = torch.arange(1, k + 1) / (k * (k + 1) / 2)
    parts = maps * shares[:, None, None]
    noise = 0.01 * torch.randn(parts.shape, generator=generator)
    parts = parts + noise - noise.mean(0, keepdim=True)
    return KeptClusters(
        importance="ablation",
        n_runs=n_runs,
        n_clusters=k,
        maps=parts.numpy(),
        ranges=torch.stack(parts.flatten(1).aminmax(dim=1), 1).numpy(),
        importances=parts.sum((1, 2)).numpy(),
        sizes=np.arange(1, k + 1),
    )


def failure(image, method, message):
    return {
        "image": image,
        "method": method,
        "metric": "",
        "error": "ValueError",
        "message": message,
    }


def write_explain_run(folder, n_images=3, size=48, baseline_score=0.5, **settings):
    """Files as the command explain leaves them; the last image has no LayerGradCam."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    chosen = replace(ExplainerSettings(layer="layer4", n_clusters=3), **settings)
    for i in range(n_images):
        maps = generator.normal(size=(4, 7, 7))
        # The last cluster has no channels, and the second adds nothing.
        maps[[1, 3]] = 0
        explanation = Explanation(
            attribution=maps.sum(0),
            gradcam=2 * maps[0] if i < n_images - 1 else None,
            labels=np.arange(12) % 3,
            importances=np.array([-0.5, 0.0, 2.5, 0.0]),
            maps=maps,
            sizes=np.array([4, 1, 7, 0]),
            score=3.25 - i,
            baseline_score=baseline_score,
            target=1,
            probabilities=np.array([0.125, 0.875]) if i else np.array([0.75, 0.25]),
            input_image=generator.integers(0, 256, (size, size, 3), dtype=np.uint8),
            settings=chosen,
            class_names={0: "cat", 1: "<dog>"},
            image=AWKWARD if i == 0 else f"image-{i}.png",
            model="a network",
            preprocessing=f"resized to {size} x {size}",
            gradcam_missing="" if i < n_images - 1 else "no <gradient>",
        )
        explanation.save(folder / f"{i}.npz")
    (folder / "left_out.json").write_text(json.dumps([["broken.png", "It is <no> image."]]))
