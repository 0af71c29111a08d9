"""Tiny networks and pictures for the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from captum_clustered.cli.app import app

FACTORIES = '''
import torch
from torch import nn


class Tokens(nn.Module):
    """(N, T, C) as transformers have them, with or without a class token."""

    def __init__(self, n_tokens):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.block = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.n_tokens = n_tokens

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)[:, : self.n_tokens]
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


def net(channels=3, n_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 12, 3, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, n_classes),
    )


def many():
    return net(n_classes=8)


def gray():
    return net(1, 1)


def silent():
    model = net()
    nn.init.zeros_(model[4].weight)
    return model


def frozen():
    return net().requires_grad_(False)


def tokens():
    torch.manual_seed(0)
    return Tokens(65)


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
'''


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current directory with the module ``factories``."""
    (tmp_path / "factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "factories", raising=False)
    return tmp_path


@pytest.fixture
def photo(workplace) -> Path:
    """A picture of 40 x 30 colors."""
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path = workplace / "photo.png"
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def run():
    """Runs the command line; the result has exit_code, stdout and stderr."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        # What is not meant for the user must not be shown as if it were.
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def explain(run, photo):
    """Runs explain on the picture with a tiny network; options replace the usual ones."""

    def invoke(*options, images=None):
        # The last of an option given twice counts.
        usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
        return run("explain", *(images or [photo]), *usual, *options)

    return invoke
