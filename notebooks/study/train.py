"""
Fine-tune a classifier of lesions from ImageNet weights: docs/study.md.

    make study-train DATA=path/to/BUSBRA ARGS="--head linear"
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from captum_clustered.data import split_by_patient
from study import auc
from study.augmentation import augmentation
from study.checkpoints import load_network, save_network
from study.data import StudyData
from study.images import batches, labels_of, patients_of, sample
from study.networks import (
    CLASSES,
    HEADS,
    MLPNetwork,
    check_choice,
    device,
    imagenet_trunk,
    on_device,
    trunk_of,
    with_head,
)
from study.options import add_data_options, errors_of, take_data

# Share of the training patients that are held out for early stopping.
HELD_OUT = 0.15
# The package's 0.01 suits the many steps on ImageNet. With a few hundred steps, the running means
# would lag behind the weights, and so would the network in evaluation mode.
BATCH_NORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class Settings:
    """
    Attributes:

        head (str): "linear" or "mlp".
        freeze_trunk (bool): Whether only the head is trained, on the trunk of the linear
                    network in the same folder.
        epochs (int): Maximum number of epochs.
        patience (int): Epochs without a better AUC before training ends.
        batch_size (int): Images in a batch.
        learning_rate (float): Initial learning rate of AdamW, with a cosine schedule.
        weight_decay (float): Weight decay of AdamW.
        limit (int or None): Number of images of each split, None for all.
        seed (int): Seed of all random numbers.
        workers (int): Number of processes that read images.
    """

    head: str = "linear"
    freeze_trunk: bool = False
    epochs: int = 30
    patience: int = 6
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    limit: int | None = None
    seed: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        check_choice("head", self.head, HEADS)
        if self.freeze_trunk and self.head != "mlp":
            raise ValueError("freeze_trunk is for head='mlp', on the trunk of the linear network.")
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")


def train(data: StudyData, out: Path, settings: Settings) -> Path:
    """
    Train a network and save it at its best AUC on held-out patients of the train split.

    Args:

        data (StudyData): The data.
        out (Path): Folder of the checkpoint, see :mod:`study.checkpoints`.
        settings (Settings): All other settings.

    Returns:
        Path: The checkpoint.

    Raises:

        FileNotFoundError: If the data or, with freeze_trunk, the linear network are missing.
        ValueError: If there are too few images.
    """
    torch.manual_seed(settings.seed)
    fitting, held_out = _parts(data, settings)
    network = on_device(_start(data, out, settings))
    loader = batches(
        fitting,
        settings.batch_size,
        shuffle=True,
        num_workers=settings.workers,
        generator=torch.Generator().manual_seed(settings.seed),
        # Batch normalization cannot take a last batch of one image.
        drop_last=len(fitting) > settings.batch_size,
    )
    check = batches(held_out, settings.batch_size, num_workers=settings.workers)
    parameters = (
        network.head.parameters()
        if settings.freeze_trunk and isinstance(network, MLPNetwork)
        else network.parameters()
    )
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    loss = nn.CrossEntropyLoss(class_weights(labels_of(fitting)).to(device()))
    best, best_epoch, path = -1.0, 0, None
    for epoch in range(1, settings.epochs + 1):
        mean_loss = _epoch(network, loader, loss, optimizer, settings, epoch)
        schedule.step()
        found = auc.by_patient(
            labels_of(held_out), auc.probabilities(network, check), patients_of(held_out)
        )
        better = found.value > best
        tqdm.write(
            f"epoch {epoch}: loss {mean_loss:.3f}, held-out AUC by patient {found}"
            + (", kept" if better else "")
        )
        if better:
            best, best_epoch = found.value, epoch
            metadata = {
                "settings": json.dumps(asdict(settings)),
                "epoch": str(epoch),
                "held_out_auc_by_patient": f"{found.value:.4f}",
            }
            path = save_network(network, out, metadata, settings.freeze_trunk, data)
        elif epoch - best_epoch >= settings.patience:
            break
    if path is None:
        raise ValueError(
            "Training gave no usable network: the held-out AUC was NaN in every epoch."
        )
    return path


def evaluate(
    data: StudyData, models: Path, head: str, limit: int | None = None, batch_size: int = 32
) -> dict[str, auc.AUC]:
    """
    Compute the AUC of a checkpoint on the validation split, which training does not use.

    Args:

        data (StudyData): The data.
        models (Path): Folder of the checkpoint.
        head (str): "linear" or "mlp".
        limit (int, optional): Number of images.
                    Default: None (all)
        batch_size (int, optional): Images in a batch.
                    Default: 32

    Returns:
        dict: The AUC "by image" and "by patient".
    """
    images = sample(data.part("val"), limit)
    network = on_device(load_network(models, head, data))
    scores = auc.probabilities(network, batches(images, batch_size))
    known = labels_of(images), scores, patients_of(images)
    return {"by image": auc.by_image(*known), "by patient": auc.by_patient(*known)}


def class_weights(labels: Sequence[int]) -> Tensor:
    """Return class weights that give both classes the same total weight."""
    counts = torch.bincount(torch.tensor(labels), minlength=CLASSES).float()
    return counts.sum() / (CLASSES * counts.clamp(min=1))


def _parts(data: StudyData, settings: Settings) -> tuple[Subset[Any], Dataset[Any]]:
    """Split the train split into augmented images to fit and images of held-out patients."""
    plain = sample(data.part("train"), settings.limit, settings.seed)
    try:
        fitting, held_out = split_by_patient(plain, (1 - HELD_OUT, HELD_OUT), settings.seed)
    except ValueError as error:
        raise ValueError(
            f"{data.root}: train has too few patients to hold out {HELD_OUT:.0%} of them, of both "
            f"classes, for early stopping: {error}"
        ) from error
    augmented = data.part("train", augmentation())
    chosen = [plain.indices[index] for index in fitting.indices]
    return Subset(augmented, chosen), held_out


def _start(data: StudyData, out: Path, settings: Settings) -> nn.Module:
    """Return the network before the first step."""
    if settings.freeze_trunk:
        linear = load_network(out, "linear", data)
        network = with_head(copy.deepcopy(trunk_of(linear)), settings.head)
        trunk_of(network).requires_grad_(False)
    else:
        network = with_head(imagenet_trunk(), settings.head)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM
    return network


def _epoch(
    network: nn.Module,
    loader: Any,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    epoch: int,
) -> float:
    """Train for one epoch and return the mean loss."""
    network.train()
    if settings.freeze_trunk:
        # In training mode, batch normalization would update its statistics.
        trunk_of(network).eval()
    total, n = 0.0, 0
    for images, labels, _ in tqdm(loader, f"epoch {epoch}", leave=False, disable=None):
        optimizer.zero_grad()
        value = loss(network(images.to(device())), labels.to(device()))
        value.backward()
        optimizer.step()
        total, n = total + value.item() * len(labels), n + len(labels)
    return total / max(n, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a network and print its AUC on the validation split."""
    parser = argparse.ArgumentParser(
        prog="study.train", description="Fine-tune a classifier on the train split of a data set."
    )
    defaults = Settings()
    add_data_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out/models"), help="Folder of the checkpoints."
    )
    parser.add_argument("--head", choices=HEADS, default=defaults.head)
    parser.add_argument(
        "--freeze-trunk",
        action="store_true",
        help="Train only the mlp head, on the trunk of the linear network in --out.",
    )
    parser.add_argument(
        "--epochs", type=int, default=defaults.epochs, help="Maximum number of epochs."
    )
    parser.add_argument(
        "--patience", type=int, default=defaults.patience, help="Epochs without a better AUC."
    )
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--weight-decay", type=float, default=defaults.weight_decay)
    parser.add_argument(
        "--limit", type=int, help="Number of images of each split, for a first try."
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=defaults.workers)
    options = vars(parser.parse_args(arguments))
    out = options.pop("out")
    with errors_of("study-train"):
        data = take_data(options)
        settings = Settings(**options)
        print(data.report("train"), flush=True)
        path = train(data, out, settings)
        found = evaluate(data, out, settings.head, settings.limit, settings.batch_size)
    print(path)
    print("AUC on the validation split, 95% bootstrap interval over patients:")
    print(f"  by image    {found['by image']}")
    print(f"  by patient  {found['by patient']}, mean probability of a patient's images")


if __name__ == "__main__":
    main()
