"""A network trained in seconds: good enough to try the study, not for results."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from study.images import batches
from study.networks import MLPNetwork, imagenet_trunk, mlp_head
from study.train import class_weights

STEPS = 60
LEARNING_RATE = 1e-3
# The first modules of the head have no weights, so their output is computed once.
N_POOLING = 2


def quick_network(dataset: Dataset[Any], seed: int = 0) -> MLPNetwork:
    """
    Train the nonlinear head on the features of an ImageNet network.

    Args:

        dataset (Dataset): Items begin with (image, label).
        seed (int, optional): Seed of the head's initial weights and dropout. The global
                    generator of torch is restored.
                    Default: 0

    Returns:
        MLPNetwork: In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MLPNetwork(imagenet_trunk(), mlp_head()).eval()
        network.to(memory_format=torch.channels_last)
        pooling, classifier = network.head[:N_POOLING], network.head[N_POOLING:]
        with torch.no_grad():
            pairs = [
                (pooling(network.trunk.extract_features(images)), labels)
                for images, labels, *_ in batches(dataset, 16)
            ]
        features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        loss = nn.CrossEntropyLoss(class_weights(labels.tolist()))
        optimizer = torch.optim.AdamW(classifier.parameters(), LEARNING_RATE)
        classifier.train()
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(classifier(features), labels).backward()
            optimizer.step()
    return network.eval()
