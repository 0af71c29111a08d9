"""Precisions, memory formats, modes and wrappers of models."""

import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from captum.attr import LayerGradCam
from nets import MlpHead, images

from captum_clustered import ClusteredLayerCAM

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def net():
    return MlpHead(channels=12)


@pytest.fixture
def x():
    return images(dtype=torch.float32)


def explain(net, layer, x, **arguments):
    """The vmapped pass's result, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ClusteredLayerCAM(net, layer, **{"clusterer": 4, **arguments}).attribute(
            x, 1, return_clusters=True
        )


def relative(found, expected):
    return ((found.double() - expected.double()).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_close_to_float32_with_the_same_labels(net, x, dtype):
    # Rounded parameters and inputs, so that arithmetic alone differs.
    net, x = net.to(dtype), x.to(dtype)
    attribution, clusters = explain(net, net.conv, x)
    assert attribution.dtype == dtype == LayerGradCam(net, net.conv).attribute(x, 1).dtype
    assert clusters.importances.dtype == torch.float32
    labels, wide = clusters.labels, copy.deepcopy(net).float()
    for i in range(3):
        expected, reference = explain(wide, wide.conv, x[i : i + 1].float(), clusterer=labels[i])
        assert relative(attribution[i], expected[0]) < 5e-2
        n_clusters = reference.importances.shape[1]
        assert relative(clusters.importances[i, :n_clusters], reference.importances[0]) < 5e-2


def test_float64_stays_float64(net, x):
    net, x = net.double(), x.double()
    attribution, clusters = explain(net, net.conv, x)
    assert attribution.dtype == clusters.maps.dtype == clusters.score.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(net, x, dtype):
    with torch.autocast("cpu", dtype=dtype):
        attribution, clusters = explain(net, net.conv, x)
        assert attribution.dtype == LayerGradCam(net, net.conv).attribute(x, 1).dtype
    for i in range(3):
        expected, _ = explain(net, net.conv, x[i : i + 1], clusterer=clusters.labels[i])
        assert relative(attribution[i], expected[0]) < 5e-2


def test_memory_formats_and_strides(net, x):
    expected, _ = explain(net, net.conv, x)
    flipped = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert not flipped.is_contiguous()
    channels_last = copy.deepcopy(net).to(memory_format=torch.channels_last)
    for model, inputs in (
        (net, flipped),
        (net, x.clone().requires_grad_()),
        (channels_last, x.to(memory_format=torch.channels_last)),
    ):
        attribution, _ = explain(model, model.conv, inputs)
        torch.testing.assert_close(attribution, expected)
        assert attribution.is_contiguous()
        assert not attribution.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_makes_no_difference(net, x, mode):
    expected, _ = explain(net, net.conv, x)
    with mode():
        attribution, _ = explain(net, net.conv, x)
    assert torch.equal(attribution, expected)


@pytest.mark.parametrize("warm", [False, True])
def test_compiled_model(net, x, warm):
    expected, _ = explain(net, net.conv, x)
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph

    compiled = torch.compile(net, backend=backend)
    if warm:
        compiled(x)
    before = len(compilations)
    attribution, _ = explain(compiled, net.conv, x)
    torch.testing.assert_close(attribution, expected)
    assert len(compilations) == before
    torch.testing.assert_close(compiled(x), net(x))


def test_distributed_data_parallel(net, x, tmp_path):
    expected, _ = explain(net, net.conv, x)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(net)
        attribution, _ = explain(parallel, net.conv, x)
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(attribution, expected)


def test_data_parallel_without_a_gpu_is_the_model_itself(net, x):
    if torch.cuda.is_available():
        pytest.skip("on a GPU the model would have to be there")
    expected, _ = explain(net, net.conv, x)
    parallel = torch.nn.DataParallel(net)
    torch.testing.assert_close(explain(parallel, net.conv, x)[0], expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_clusterings": 3},
        {"importance": "shapley", "clusterer": 4},
        {"importance": "shapley", "clusterer": 12, "n_samples": 3},
    ],
)
@pytest.mark.parametrize("perturbations_per_eval", [None, 3])
def test_torchs_default_device_does_not_matter(net, x, options, perturbations_per_eval):
    cam = ClusteredLayerCAM(net, net.conv, scaling="density", **options)
    arguments = {"perturbations_per_eval": perturbations_per_eval, "return_convergence_delta": True}
    expected = cam.attribute(x, 1, **arguments)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cam.attribute(x, 1, **arguments)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@CUDA
def test_cuda_equals_cpu(net, x):
    expected, clusters = explain(net, net.conv, x)
    net = net.cuda()
    for i in range(3):
        attribution, _ = explain(net, net.conv, x[i : i + 1].cuda(), clusterer=clusters.labels[i])
        assert attribution.is_cuda
        torch.testing.assert_close(attribution.cpu(), expected[i : i + 1], rtol=1e-3, atol=1e-4)


@CUDA
@pytest.mark.parametrize("options", [{}, {"importance": "shapley", "clusterer": 6}])
def test_on_a_gpu_only_the_check_of_the_result_waits(net, x, monkeypatch, options):
    net, x = net.cuda(), x.cuda()
    cam = ClusteredLayerCAM(net, net.conv, **options)
    expected = cam.attribute(x, 1)
    monkeypatch.setattr(torch, "isfinite", lambda _: SimpleNamespace(all=lambda: True))
    # Torch warns that it does not see all.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = cam.attribute(x, 1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found, expected)


@CUDA
def test_the_loop_on_a_gpu_equals_one_pass(net, x):
    def stubborn(x):
        score = net(x)
        # A decision that vmap cannot make.
        return score if bool(score.isfinite().all()) else score * 0

    net, x = net.cuda(), x.cuda()
    expected = ClusteredLayerCAM(net, net.conv, clusterer=4).attribute(x, 1)
    with pytest.warns(UserWarning, match="once for each ablation"):
        found = ClusteredLayerCAM(stubborn, net.conv, clusterer=4).attribute(x, 1)
    torch.testing.assert_close(found, expected)


@CUDA
def test_data_parallel_on_gpus(net, x):
    net = net.cuda()
    expected = ClusteredLayerCAM(net, net.conv, clusterer=4).attribute(x.cuda(), 1)
    ids = list(range(torch.cuda.device_count()))
    parallel = torch.nn.DataParallel(net, device_ids=ids)
    for cam in (
        ClusteredLayerCAM(parallel, net.conv, clusterer=4),
        ClusteredLayerCAM(lambda x: parallel(x), net.conv, device_ids=ids, clusterer=4),
    ):
        torch.testing.assert_close(cam.attribute(x.cuda(), 1), expected)


def test_autocast_does_not_reach_the_clustering(net, x):
    activations = net.conv(net.trunk(x)).detach()
    layer = torch.nn.Identity()

    def tail(activations):
        return net.head(net.pool(layer(activations)))

    # The layer's values are the same with and without autocast.
    _, expected = explain(tail, layer, activations, clusterer=8)
    fitted = ClusteredLayerCAM(tail, layer, clusterer=8).fit(activations).labels_
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attribution, found = explain(tail, layer, activations, clusterer=8)
        assert torch.equal(
            ClusteredLayerCAM(tail, layer, clusterer=8).fit(activations).labels_, fitted
        )
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.maps.sum(1, keepdim=True), attribution)
