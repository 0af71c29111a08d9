"""Functions that return tiny networks, for --model factories:net."""

import numpy as np
import torch
from PIL import Image
from torch import nn


class Tokens(nn.Module):
    """(N, T, C) as transformers have them, with or without a class token."""

    def __init__(self, n_tokens, n_prefix=1, stride=4):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, stride, stride=stride)
        self.n_prefix = n_prefix
        self.block = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.n_tokens = n_tokens

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        prefix = tokens.mean(1, keepdim=True).expand(-1, self.n_prefix, -1)
        tokens = torch.cat([prefix, tokens], 1)[:, : self.n_tokens]
        return self.head(self.block(tokens).relu().mean(1))


class ChannelsLast(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 4, stride=4)
        self.block = nn.Linear(channels, channels)
        self.head = nn.Linear(channels, 3)

    def forward(self, x):
        return self.head(self.block(self.conv(x).movedim(1, -1)).relu().mean((1, 2)))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Pairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair = Pair()
        self.unused = nn.Identity()
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.pair(x)[0].mean((2, 3)))


instance = Pairs()


def wide():
    return net(width=64)


def net(channels=3, n_classes=3, width=12):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, n_classes),
    )


def two_sizes():
    """A network with a fine map, its layer 1, and a coarse one, its layer 3."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=4),
        nn.ReLU(),
        nn.Conv2d(6, 12, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


def many():
    return net(n_classes=8)


def gray():
    return net(1, 1)


def bright():
    """One logit, positive where the image is bright."""
    model = net(n_classes=1)
    for layer, weight, bias in ((model[0], 1 / 27, 3.0), (model[4], 1 / 12, -3.0)):
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
    return model


def named():
    """Index 0 is malignant."""
    model = net(n_classes=2)
    model.class_names = ["malignant", "benign"]
    return model


def halved(image):
    """The transform of ``with_transform``: the whole image, values from -1 to 1."""
    values = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), np.float32)
    return torch.from_numpy(values).permute(2, 0, 1) / 127.5 - 1


def with_transform():
    return net(), halved


def findings():
    """Three findings, each present or absent by itself: two at 95 % and one at 5 %."""
    model = net()
    with torch.no_grad():
        model[4].weight.mul_(1e-3)
        model[4].bias.copy_(torch.tensor([3.0, 3.0, -3.0]))
    return model


def no_findings():
    model = findings()
    with torch.no_grad():
        model[4].bias.copy_(torch.tensor([-3.0, -3.0, -2.0]))
    return model


def sigmoids():
    return findings().append(nn.Sigmoid())


def silent():
    model = net()
    nn.init.zeros_(model[4].weight)
    return model


def frozen():
    return net().requires_grad_(False)


def tokens():
    torch.manual_seed(0)
    return Tokens(65)


def registers():
    """4 x 4 patches of 32 x 32 pixels behind a class token and 8 registers: 25 tokens."""
    torch.manual_seed(0)
    return Tokens(25, 9, 8)


def unsquare_tokens():
    torch.manual_seed(0)
    return Tokens(60)


def channels_last():
    torch.manual_seed(0)
    return ChannelsLast(6)


def cube():
    """As many channels as rows and columns: nothing gives the channels away."""
    torch.manual_seed(0)
    return ChannelsLast(8)


def pairs():
    torch.manual_seed(0)
    return Pairs()


def number():
    return 3


def broken():
    raise KeyError("no such checkpoint")


def maps():
    return nn.Conv2d(3, 4, 3)


not_callable = 5
