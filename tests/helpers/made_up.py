"""Small files for the study."""

import torch
from study.checkpoints import save_network
from study.networks import MLPNetwork, linear_network, mlp_head
from study.phantoms import write_phantoms


def data(folder, n_train=6, n_val=4):
    """Two images of each patient, patients benign and malignant in turn."""
    return write_phantoms(folder / "data", n_train, n_val)


def networks(folder):
    """Both networks with random weights, in half precision as they are stored."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = linear_network().eval()
        mlp = MLPNetwork(linear, mlp_head()).eval()
    save_network(linear, folder, {"epoch": "3"})
    save_network(mlp, folder, {"epoch": "3"}, head_alone=True)
    return linear, mlp
