"""Small networks whose attributions can be worked out by hand."""

import torch
from torch import nn


class Interacting(nn.Module):
    """
    Score 4 a + 2 b + 2 a b, where a and b are the spatial means of two channels.

    ``layer`` hands its input on, so that a test chooses the activations.
    """

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        a, b = self.layer(x).flatten(2).mean(2).T
        return torch.stack([4 * a + 2 * b + 2 * a * b, -a], 1)


class GapLinear(nn.Module):
    """Convolution, ReLU, global average pool, linear head."""

    def __init__(self, channels=6, classes=3, dims=2, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.conv = convolution(2, channels, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(channels, classes)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 3
        self.eval()

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).flatten(2).mean(2))


class MlpHead(nn.Module):
    """Two convolutions and a non-linear head, to which clusters matter."""

    def __init__(self, channels=6, classes=3, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.trunk = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
        self.conv = nn.Conv2d(4, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveMaxPool2d(2)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(4 * channels, 8), nn.Tanh(), nn.Linear(8, classes)
        )
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2
        self.eval()

    def forward(self, x):
        return self.head(self.pool(self.relu(self.conv(self.trunk(x)))))


class TwoTensors(nn.Module):
    """A layer with a tuple of tensors of different sizes as output."""

    class Split(nn.Module):
        def forward(self, x):
            return x[:, :2], x[:, 2:, ::2, ::2]

    def __init__(self):
        super().__init__()
        self.split = self.Split()

    def forward(self, x):
        first, second = self.split(x)
        a, b = first.flatten(1).sum(1), second.flatten(1).sum(1)
        return a + b + 0.1 * a * b


def images(n=3, channels=2, size=(6, 5), seed=1, dtype=torch.float64):
    """Random inputs of shape (n, channels, *size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, *size, generator=generator, dtype=dtype)
