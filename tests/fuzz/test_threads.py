"""
Several threads explain and predict with one shared model, as a web server does.

``make fuzz`` lets them run for a minute; ``make test`` for a moment.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM

SECONDS = float(os.environ.get("THREAD_SECONDS", "1.5"))
THREADS = 4


class Called(nn.Module):
    """Calls its layer twice, so that an explanation takes two passes."""

    def __init__(self):
        super().__init__()
        self.net, self.relu = MlpHead(channels=12), nn.ReLU()

    def forward(self, x):
        return self.net.head(self.net.pool(self.relu(self.net.conv(self.relu(self.net.trunk(x))))))


class Branching(nn.Module):
    """Cannot run under vmap: one pass for each ablation."""

    def __init__(self):
        super().__init__()
        self.net = MlpHead(channels=12)

    def forward(self, x):
        scores = self.net(x)
        return scores * 2 if scores.sum() > 0 else scores


MODELS = {
    "one pass": (MlpHead, lambda net: net.conv),
    "layer called twice": (Called, lambda net: net.relu),
    "one pass for each ablation": (Branching, lambda net: net.net.conv),
}


def run_for(seconds, jobs):
    """Repeat each job in a thread of its own; raise what any of them raises."""
    start, end = threading.Barrier(len(jobs)), time.monotonic() + seconds

    def repeat(job):
        start.wait(10)
        rounds = 0
        while rounds < 3 or time.monotonic() < end:
            job()
            rounds += 1

    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(repeat, job) for job in jobs]:
            future.result()


@pytest.mark.filterwarnings("ignore:Clustered Layer CAM ran the model once for each")
@pytest.mark.parametrize("kind", MODELS)
def test_threads_give_their_single_threaded_results(kind):
    make, layer_of = MODELS[kind]
    torch.manual_seed(0)
    net = make().double().eval()
    layer = layer_of(net)
    inputs = [images(seed=seed) for seed in range(THREADS)]
    expected = [
        ClusteredLayerCAM(net, layer, clusterer=3, seed=seed).attribute(inputs[seed], 0)
        for seed in range(THREADS)
    ]
    with torch.no_grad():
        predictions = [net(x) for x in inputs]
    state = {name: value.clone() for name, value in net.state_dict().items()}

    def serve(i):
        cam = ClusteredLayerCAM(net, layer, clusterer=3, seed=i)

        def job():
            torch.testing.assert_close(cam.attribute(inputs[i], 0), expected[i])
            with torch.no_grad():
                torch.testing.assert_close(net(inputs[i]), predictions[i])

        return job

    run_for(SECONDS, [serve(i) for i in range(THREADS)])
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("draws", [False, True])
def test_random_numbers_of_other_threads_are_not_repeated(draws):
    net, x = MlpHead(channels=12).double(), images()

    def noisy(x):
        return nn.functional.dropout(net(x), 0.5, training=True)

    cam = ClusteredLayerCAM(noisy if draws else net, net.conv, clusterer=3)
    drawn = []

    def draw():
        drawn.extend(torch.rand(10, dtype=torch.float64).tolist())
        # Without a pause this thread would hardly let the others run.
        time.sleep(1e-4)

    run_for(SECONDS, [lambda: cam.attribute(x, 0)] * (THREADS - 1) + [draw])
    assert len(set(drawn)) == len(drawn)
