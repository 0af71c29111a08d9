"""What several tests of comparisons share."""

import torch
from nets import MlpHead, images

from captum_clustered.comparison import compare

FAST = {"metrics": ["average drop", "coherency"], "show_progress": False}


def pictures(n=6, size=(12, 10)):
    """Images, labels and masks."""
    masks = torch.zeros(n, *size)
    masks[:, 2:7, 3:8] = 1
    return images(n, size=size, dtype=torch.float32), torch.arange(n) % 3, masks


def run(net=None, data=None, methods=("ClusteredLayerCAM(clusterer=3)", "LayerGradCam"), **kwargs):
    """A small comparison."""
    net = MlpHead() if net is None else net
    data = pictures() if data is None else data
    return compare(net, net.relu, data, methods, **({"batch_size": 2} | FAST | kwargs))
