"""
Fine-tune a classifier of breast lesions from ImageNet weights: docs/study.md.

    make study-train DATA=path/to/BUSBRA ARGS="--head linear"
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from captum_clustered.data import BUSBRA, split_by_patient
from study import auc
from study.augmentation import augmentation
from study.checkpoints import load_network, save_network
from study.images import batches, labels_of, part, patients_of, sample
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


def train(root: Path, out: Path, settings: Settings) -> Path:
    """
    Train a network and save it at its best AUC on held-out patients of the train split.

    Args:

        root (Path): Folder of BUS-BRA.
        out (Path): Folder of the checkpoint, see :mod:`study.checkpoints`.
        settings (Settings): All other settings.

    Returns:
        Path: The checkpoint.

    Raises:

        FileNotFoundError: If the data or, with freeze_trunk, the linear network are missing.
        ValueError: If there are too few images.
    """
    torch.manual_seed(settings.seed)
    fitting, held_out = _parts(root, settings)
    network = on_device(_start(out, settings))
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
            path = save_network(network, out, metadata, head_alone=settings.freeze_trunk)
        elif epoch - best_epoch >= settings.patience:
            break
    if path is None:
        raise ValueError(
            "Training gave no usable network: the held-out AUC was NaN in every epoch."
        )
    return path


def evaluate(
    root: Path, models: Path, head: str, limit: int | None = None, batch_size: int = 32
) -> dict[str, auc.AUC]:
    """
    Compute the AUC of a checkpoint on the validation split, which training does not use.

    Args:

        root (Path): Folder of BUS-BRA.
        models (Path): Folder of the checkpoint.
        head (str): "linear" or "mlp".
        limit (int, optional): Number of images.
                    Default: None (all)
        batch_size (int, optional): Images in a batch.
                    Default: 32

    Returns:
        dict: The AUC "by image" and "by patient".
    """
    data = sample(part(root, "val"), limit)
    network = on_device(load_network(models, head))
    scores = auc.probabilities(network, batches(data, batch_size))
    known = labels_of(data), scores, patients_of(data)
    return {"by image": auc.by_image(*known), "by patient": auc.by_patient(*known)}


def class_weights(labels: Sequence[int]) -> Tensor:
    """Return class weights that give both classes the same total weight."""
    counts = torch.bincount(torch.tensor(labels), minlength=CLASSES).float()
    return counts.sum() / (CLASSES * counts.clamp(min=1))


def _parts(root: Path, settings: Settings) -> tuple[Subset[Any], Dataset[Any]]:
    """Split the train split into augmented images to fit and images of held-out patients."""
    plain = sample(part(root, "train"), settings.limit, settings.seed)
    fitting, held_out = split_by_patient(plain, (1 - HELD_OUT, HELD_OUT), settings.seed)
    augmented = BUSBRA(root, "train", transforms=augmentation())
    chosen = [plain.indices[index] for index in fitting.indices]
    return Subset(augmented, chosen), held_out


def _start(out: Path, settings: Settings) -> nn.Module:
    """Return the network before the first step."""
    if settings.freeze_trunk:
        network = with_head(copy.deepcopy(trunk_of(load_network(out, "linear"))), settings.head)
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
        prog="study.train", description="Fine-tune a classifier on the train split of BUS-BRA."
    )
    defaults = Settings()
    parser.add_argument("--data", type=Path, required=True, help="The folder of BUS-BRA.")
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
    root, out = options.pop("data"), options.pop("out")
    try:
        settings = Settings(**options)
        path = train(root, out, settings)
        found = evaluate(root, out, settings.head, settings.limit, settings.batch_size)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"study-train: {error}")
    print(path)
    print("AUC on the validation split, 95% bootstrap interval over patients:")
    print(f"  by image    {found['by image']}")
    print(f"  by patient  {found['by patient']}, mean probability of a patient's images")


if __name__ == "__main__":
    main()
