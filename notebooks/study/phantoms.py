"""Synthetic ultrasound images with lesions, to try the study without data of patients."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
HEIGHT, WIDTH = 200, 240
VIEWS = 2  # images of each lesion
ATYPICAL = 0.25


def write_phantoms(folder: str | os.PathLike[str], n_train: int, n_val: int, seed: int = 0) -> Path:
    """
    Write a synthetic data set with one table that ``BUSBRA`` can read.

    Every second lesion is malignant. Benign lesions are smooth ellipses, wider than tall, with a
    bright band below. Malignant lesions are taller than wide, with a ragged edge and a shadow
    below. One image in four has the band or shadow of the other class, so that a network can
    be wrong. There is no other difference: all evidence is at the lesion.

    Args:

        folder (str or PathLike): Output folder, created if missing.
        n_train, n_val (int): Number of patients in each split; each has two images.
        seed (int, optional): Seed of the lesions.
                    Default: 0

    Returns:
        Path: The folder.
    """
    root = Path(folder)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(n_train + n_val):
        for view in range(VIEWS):
            malignant = patient % 2 == 1
            image, mask = phantom(malignant, generator)
            name = f"phantom_{patient:03}-{view}.png"
            Image.fromarray(image).save(root / "images" / name)
            Image.fromarray(mask).save(root / "masks" / name)
            rows.append(
                {
                    "file": name,
                    "mask": name,
                    "label": "malignant" if malignant else "benign",
                    "split": "train" if patient < n_train else "val",
                    "patient": str(patient),
                    "kfold5": "1" if patient < n_train else "2",
                }
            )
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def phantom(
    malignant: bool, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """
    Draw one image (height, width) and the mask of its lesion.

    Args:

        malignant (bool): The class of the lesion.
        generator (numpy.random.Generator): Generator of shape, position and speckle.
    """
    inside, x, radius = _lesion(malignant, generator)
    echo = _tissue(generator)
    echo[inside] *= generator.uniform(0.25, 0.45)
    below = np.zeros((HEIGHT, WIDTH))
    bottom = np.nonzero(inside.any(1))[0].max()
    below[bottom:] = np.abs(np.arange(WIDTH) - x) < 0.8 * radius
    shadow = malignant != (generator.uniform() < ATYPICAL)
    strength = generator.uniform(0.4, 0.6) * (-1 if shadow else 1)
    echo *= 1 + strength * ndimage.gaussian_filter(below, 5)
    # Speckle: the amplitude of many overlapping echoes, one beam wide and one pulse high.
    parts = ndimage.gaussian_filter(generator.normal(size=(2, HEIGHT, WIDTH)), (0, 0.8, 1.4))
    speckle = np.hypot(*parts) / np.hypot(*parts).mean()
    # A scanner displays the logarithm of the amplitude.
    decibels = 20 * np.log10(np.maximum(echo * speckle, 1e-3))
    gray = np.clip(165 + 5.5 * decibels, 0, 255)
    return gray.astype(np.uint8), inside


def _lesion(
    malignant: bool, generator: np.random.Generator
) -> tuple[NDArray[np.bool_], float, float]:
    """Draw a lesion: its mask, the column of its center and half its width."""
    # In real images, the lesion is placed near the middle.
    x, y = WIDTH * generator.uniform(0.35, 0.65), HEIGHT * generator.uniform(0.35, 0.55)
    size = generator.uniform(20, 32)
    aspect = generator.uniform(1.2, 1.5) if malignant else generator.uniform(0.55, 0.75)
    width, height = size / np.sqrt(aspect), size * np.sqrt(aspect)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    angle = np.arctan2((rows - y) / height, (columns - x) / width)
    edge = np.ones_like(angle)
    for frequency in (3, 7, 11, 13) if malignant else (2, 3):
        edge += generator.uniform(0.02, 0.08) * np.cos(
            frequency * angle + generator.uniform(0, 2 * np.pi)
        )
    return np.hypot((columns - x) / width, (rows - y) / height) < edge, x, width


def _tissue(generator: np.random.Generator) -> Floats:
    """Draw the mean amplitude of the echo: wavy layers that fade with depth."""
    depth = np.arange(HEIGHT)[:, None] / HEIGHT
    wave = ndimage.gaussian_filter1d(generator.normal(size=WIDTH), 25) * 0.5
    bands = sum(
        generator.uniform(0.05, 0.2)
        * np.cos(2 * np.pi * f * (depth + wave) + generator.uniform(0, 6))
        for f in (2, 5, 9)
    )
    skin = 0.8 * np.exp(-((depth / 0.04) ** 2))
    tissue: Floats = (1 + bands + skin) * np.exp(-0.7 * depth)
    return tissue
