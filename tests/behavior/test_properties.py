"""What holds for any network, target, number of clusters and batch."""

import warnings

import torch
from captum.attr import LayerFeatureAblation
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered._ablation import evaluate as module

settings.register_profile("suite", max_examples=150, deadline=None, derandomize=True)
settings.load_profile("suite")


@st.composite
def networks(draw):
    """A small random network of one to three dimensions, and its target layer."""
    dims = draw(st.integers(1, 3))
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    pool = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)[dims - 1]
    channels = draw(st.integers(1, 9))
    layers = [convolution(2, 3, 3, padding=1), nn.Tanh(), convolution(3, channels, 1)]
    if draw(st.booleans()):
        layers.append(nn.ReLU(inplace=draw(st.booleans())))
    layers += [pool(1), nn.Flatten(), nn.Linear(channels, 4), nn.Tanh(), nn.Linear(4, 3)]
    net = nn.Sequential(*layers).double().eval()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    n = draw(st.integers(1, 4))
    size = draw(st.integers(2, 4))
    x = torch.randn(n, 2, *[size] * dims, generator=generator, dtype=torch.float64)
    target = draw(
        st.one_of(
            st.integers(0, 2),
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            st.lists(st.integers(0, 2), min_size=n, max_size=n).map(torch.tensor),
        )
    )
    return net, net[draw(st.sampled_from([0, 2, len(layers) - 5]))], x, target


options = st.fixed_dictionaries(
    {
        "clusterer": st.integers(1, 6),
        "importance": st.sampled_from(["ablation", "shapley"]),
        "scaling": st.sampled_from(["density", "drop"]),
        "n_clusterings": st.integers(1, 2),
        "seed": st.integers(0, 5),
    }
)
chunks = st.one_of(st.none(), st.integers(1, 5))


def explain(cam, x, target, perturbations_per_eval=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return cam.attribute(
            x, target, perturbations_per_eval=perturbations_per_eval, return_clusters=True
        )


@given(case=networks(), options=options, chunk=chunks)
def test_vmap_pass_is_the_loop_is_layer_feature_ablation(case, options, chunk):
    net, layer, x, target = case
    cam = ClusteredLayerCAM(net, layer, **options)
    attribution, clusters = explain(cam, x, target, chunk)

    def refuse(request):
        raise RuntimeError("switched off")

    original = module.vmap_pass
    module.vmap_pass = refuse
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, reference = cam.attribute(x, target, return_clusters=True)
    finally:
        module.vmap_pass = original
    torch.testing.assert_close(attribution, expected)
    torch.testing.assert_close(clusters.importances, reference.importances)

    if options["importance"] == "ablation":
        mask = clusters.labels.view(*clusters.labels.shape, *[1] * (x.dim() - 2))
        by_captum = LayerFeatureAblation(net, layer).attribute(x, target=target, layer_mask=mask)
        drops = clusters.importances.gather(1, clusters.labels)
        torch.testing.assert_close(drops, by_captum.flatten(2)[:, :, 0])


def one_target(target, i):
    return target if isinstance(target, int) else int(target[i])


def test_a_batch_is_its_examples_one_by_one():
    # Ties between clusters, which rounding decides: rare, or it is something else.
    ties = []

    @given(case=networks(), options=options, chunk=chunks)
    def check(case, options, chunk):
        net, layer, x, target = case
        cam = ClusteredLayerCAM(net, layer, **options)
        attribution, clusters = explain(cam, x, target, chunk)
        for i in range(len(x)):
            alone, own = explain(cam, x[i : i + 1], one_target(target, i))
            if not torch.equal(own.labels[0], clusters.labels[i]):
                ties.append(i)
                assert len(ties) <= 5
                continue
            torch.testing.assert_close(clusters.importances[i], own.importances[0])
            if options["n_clusterings"] == 1:
                torch.testing.assert_close(attribution[i], alone[0])

    check()


@given(case=networks(), options=options)
def test_shapley_is_complete_and_maps_add_up(case, options):
    net, layer, x, target = case
    cam = ClusteredLayerCAM(
        net, layer, **{**options, "importance": "shapley", "scaling": "density", "n_clusterings": 1}
    )
    attribution, delta, clusters = cam.attribute(
        x, target, return_convergence_delta=True, return_clusters=True
    )
    assert attribution.isfinite().all()
    assert delta.abs().max() < 1e-9
    torch.testing.assert_close(clusters.maps.sum(1, keepdim=True), attribution)
    assert (clusters.sizes.sum(1) == clusters.labels.shape[1]).all()
