"""A small data set, and runs over it."""

import time
from pathlib import Path

import torch
from nets import MlpHead

from captum_clustered import ClusteredLayerCAM
from captum_clustered.dataset_run import explain_dataset

N = 11
UNREADABLE = (5, 8)


class Pictures(torch.utils.data.Dataset):
    """Random images, two of which cannot be read."""

    def __init__(self, n=N, labels=True, seconds=0.0):
        self.n, self.labels, self.seconds = n, labels, seconds

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if index in UNREADABLE:
            raise OSError("image file is truncated")
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(2, 12, 10, generator=generator)
        return (x, index % 3) if self.labels else x


def method(**options):
    net = MlpHead()
    # Predictions differ between images.
    net.head[3].bias.data -= torch.tensor([1.3, -0.7, -2.2])
    return ClusteredLayerCAM(net, net.relu, **{"clusterer": 3} | options)


def run(out, dataset=None, cam=None, **options):
    usual = {"batch_size": 2, "chunk_size": 4}
    dataset = Pictures() if dataset is None else dataset
    return explain_dataset(cam or method(), dataset, out, **usual | options)


def contents(folder):
    """Each file's bytes, but for the lock."""
    paths = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "lock"
    }
