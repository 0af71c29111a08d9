"""Networks and maps with metrics that can be worked out by hand, and maps that cheat."""

import torch
from nets import GapLinear, images

from captum_clustered.scores import probability


def brightness(x, extra=0.0):
    """A "probability" that can be read off the image: the mean of its first channel."""
    p = x[:, 0].flatten(1).mean(1) + extra
    return torch.stack([p, torch.zeros_like(p)], 1)


def classifier(dims=2, dtype=torch.float64):
    """A small network that returns probabilities far from 0 and 1."""
    return probability(GapLinear(dims=dims).to(dtype))


def batch(size=(6, 5), n=3, dtype=torch.float64):
    """Inputs and maps of the same size, none of whose pixels are equal."""
    return 3 * images(n, size=size, dtype=dtype), images(n, 1, size, seed=2, dtype=dtype).abs()


def fake_cam(x):
    """All ones but for one pixel: keeps everything and explains nothing."""
    maps = torch.ones_like(x[:, :1])
    maps[:, :, 0, 0] = 0
    return maps


def one_by_one(metric, *tensors, target):
    """The metric of each example on its own."""
    return torch.cat(
        [
            metric(*(tensor[i : i + 1] for tensor in tensors), target=target[i])
            for i in range(len(target))
        ]
    )
