"""The method's definition, on cases worked out by hand or by Captum."""

import numpy as np
import pytest
import torch
from captum.attr import (
    FeatureAblation,
    LayerActivation,
    LayerFeatureAblation,
    LayerGradCam,
    ShapleyValues,
)
from nets import GapLinear, Interacting, MlpHead, TwoTensors, images

from captum_clustered import ClusteredLayerCAM

TWO_CHANNELS = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[0.0, 2.0], [0.0, 0.0]]]])
EACH = torch.tensor([0, 1])


# On TWO_CHANNELS, Interacting has means of 1 and 1/2 and a score of 6. Without channel 0
# the score is 1, without channel 1 it is 4, without both 0: the drops are 5 and 2, the
# Shapley values 4.5 and 1.5.
@pytest.mark.parametrize(
    ("scaling", "importance", "expected"),
    [
        ("drop", "ablation", [[5.0, 9.0], [5.0, 5.0]]),
        ("density", "ablation", [[1.25, 3.25], [1.25, 1.25]]),
        ("drop", "shapley", [[4.5, 7.5], [4.5, 4.5]]),
        ("density", "shapley", [[1.125, 2.625], [1.125, 1.125]]),
    ],
)
def test_two_channels_by_hand(scaling, importance, expected):
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=EACH, scaling=scaling, importance=importance)
    attribution = cam.attribute(TWO_CHANNELS, target=0)
    torch.testing.assert_close(attribution, torch.tensor([[expected]]))


def test_four_channels_in_two_clusters_by_hand():
    # Score: sum of all squared channel means; channels 0 and 2 form a cluster.
    net = torch.nn.Identity()

    def forward(x):
        return net(x).mean(2).square().sum(1)

    x = torch.tensor([[[2.0, 0.0], [3.0, 3.0], [0.0, -4.0], [0.0, 0.0]]])
    labels = torch.tensor([0, 1, 0, 1])
    cam = ClusteredLayerCAM(forward, net, clusterer=labels, scaling="density")
    attribution, delta, clusters = cam.attribute(
        x, return_convergence_delta=True, return_clusters=True
    )
    # Means 1, 3, -2, 0. Drops: 1 + 4 = 5 over a mass of 2 + 4; 9 over a mass of 6.
    torch.testing.assert_close(clusters.importances, torch.tensor([[5.0, 9.0]]))
    first = torch.tensor([[10 / 6, 20 / 6]])
    second = torch.tensor([[4.5, 4.5]])
    torch.testing.assert_close(clusters.maps, torch.stack([first, second], 1))
    torch.testing.assert_close(attribution, (first + second)[None])
    torch.testing.assert_close(delta, torch.zeros(1))
    assert clusters.sizes.tolist() == [[2, 2]]
    assert clusters.labels.tolist() == [[0, 1, 0, 1]]
    assert clusters.score.item() == 14
    assert clusters.baseline_score.item() == 0

    channels = cam.attribute(x, attr_dim_summation=False)
    expected = [[10 / 6, 0.0], [4.5, 4.5], [0.0, 20 / 6], [0.0, 0.0]]
    torch.testing.assert_close(channels, torch.tensor([expected]))


def test_drop_shares_a_clusters_drop_by_hand():
    # As above: drops 5 and 9. Mean activities 1, 3, 2, 0, of 3 in the first cluster.
    net = torch.nn.Identity()
    x = torch.tensor([[[2.0, 0.0], [3.0, 3.0], [0.0, -4.0], [0.0, 0.0]]])
    labels = torch.tensor([0, 1, 0, 1])
    cam = ClusteredLayerCAM(
        lambda x: net(x).mean(2).square().sum(1), net, clusterer=labels, scaling="drop"
    )
    channels = cam.attribute(x, attr_dim_summation=False)
    expected = [[10 / 3, 0.0], [27.0, 27.0], [0.0, -40 / 3], [0.0, 0.0]]
    torch.testing.assert_close(channels, torch.tensor([expected]))


def test_drop_of_tokens_by_hand():
    # The same network on tokens (N, T, C).
    net = torch.nn.Identity()
    x = torch.tensor([[[2.0, 0.0], [3.0, 3.0], [0.0, -4.0], [0.0, 0.0]]]).transpose(1, 2)
    labels = torch.tensor([0, 1, 0, 1])
    cam = ClusteredLayerCAM(
        lambda x: net(x).mean(1).square().sum(1),
        net,
        clusterer=labels,
        scaling="drop",
        channel_dim=-1,
    )
    expected = [10 / 3 + 27, 27 - 40 / 3]
    torch.testing.assert_close(cam.attribute(x), torch.tensor([[expected]]))


def test_drop_of_a_layer_of_two_tensors_by_hand():
    # Score a + b + 0.1 a b of the sums a, b of two tensors; each tensor is one cluster.
    net = TwoTensors()
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0], x[0, 1, 0, 0], x[0, 2, 0, 0] = 1.0, 4.0, 5.0  # a = 8, b = 5
    one = torch.tensor([0, 0]), torch.tensor([0])
    cam = ClusteredLayerCAM(net, net.split, clusterer=one, scaling="drop")
    first, second = cam.attribute(x, attr_dim_summation=False)
    # Drops 8 + 4 = 12 and 5 + 4 = 9; the first tensor's channels have the same activity.
    torch.testing.assert_close(first, 6 * x[:, :2])
    torch.testing.assert_close(second, torch.tensor([[[[45.0]]]]))


@pytest.mark.parametrize("layer", ["conv", "relu", "pool"])
def test_each_channel_alone_is_ablation_cam(layer):
    net, x = MlpHead().double(), images()
    module = getattr(net, layer)
    values = LayerActivation(net, module).attribute(x.clone()).clone()
    drops = []
    with torch.no_grad():
        score = net(x)[:, 1]
        for channel in range(6):

            def ablate(_, args, output, channel=channel):
                output = output.clone()
                output[:, channel] = 0
                return output

            handle = module.register_forward_hook(ablate)
            drops.append(score - net(x)[:, 1])
            handle.remove()
    expected = (torch.stack(drops, 1)[..., None, None] * values).sum(1, keepdim=True)
    for clusterer in (None, torch.arange(6)):
        cam = ClusteredLayerCAM(net, module, clusterer=clusterer, scaling="drop")
        torch.testing.assert_close(cam.attribute(x, 1), expected)


def test_each_channel_of_each_tensor_is_a_cluster():
    net = TwoTensors()
    cam = ClusteredLayerCAM(net, net.split, clusterer=None)
    _, clusters = cam.attribute(images(2, 5, (4, 4)), return_clusters=True)
    assert [labels.tolist() for labels in clusters.labels] == [[[0, 1]] * 2, [[0, 1, 2]] * 2]


def test_a_negative_logit_does_not_turn_the_map_around():
    # Logit 1 is -a: ablating channel 0 raises it from -1 to 0, so its drop is -1.
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=EACH, scaling="drop")
    attribution = cam.attribute(TWO_CHANNELS, target=1)
    torch.testing.assert_close(attribution, -TWO_CHANNELS[:, :1])
    relu = cam.attribute(TWO_CHANNELS, target=1, relu_attributions=True)
    assert torch.equal(relu, torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_each_channel_alone_with_density_equals_layer_grad_cam(dims):
    net = GapLinear(dims=dims).double()
    x = images(size=(6, 5, 4)[:dims])
    cam = ClusteredLayerCAM(net, net.relu, clusterer=torch.arange(6), scaling="density")
    for target in (0, [0, 2, 1], torch.tensor([1, 1, 0])):
        expected = LayerGradCam(net, net.relu).attribute(x, target)
        torch.testing.assert_close(cam.attribute(x, target), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("baseline", [None, 0.5, "tensor"])
@pytest.mark.parametrize("at_input", [False, True])
def test_drops_equal_captums_layer_feature_ablation(baseline, at_input):
    net, x = MlpHead().double(), images()
    if baseline == "tensor":
        channels = 4 if at_input else 6
        baseline = torch.linspace(-1, 1, channels, dtype=torch.float64).view(1, -1, 1, 1)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    _, clusters = cam.attribute(
        x,
        target=1,
        attribute_to_layer_input=at_input,
        layer_baselines=baseline,
        return_clusters=True,
    )
    expected = LayerFeatureAblation(net, net.conv).attribute(
        x,
        target=1,
        attribute_to_layer_input=at_input,
        layer_baselines=baseline,
        layer_mask=clusters.labels[..., None, None],
    )
    drops = clusters.importances.gather(1, clusters.labels)
    torch.testing.assert_close(drops, expected[:, :, 0, 0])


def test_shapley_equals_captums_on_the_clustered_layer():
    net, x = MlpHead().double(), images(n=2)
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3, importance="shapley")
    _, clusters = cam.attribute(x, target=2, return_clusters=True)

    def tail(activation):
        return net.head(net.pool(activation.relu()))

    for i in range(2):
        activation = net.conv(net.trunk(x[i : i + 1])).detach()
        mask = clusters.labels[i].view(1, -1, 1, 1)
        # Captum's ShapleyValues goes through all orders, so it is exact.
        values = ShapleyValues(tail).attribute(activation, target=2, feature_mask=mask)
        expected = clusters.importances[i][clusters.labels[i]]
        torch.testing.assert_close(values[0, :, 0, 0].double(), expected)


@pytest.mark.parametrize("k", [3, 12])
@pytest.mark.parametrize("baseline", [0.0, -0.7])
def test_shapley_with_density_is_complete(k, baseline):
    net, x = MlpHead(channels=14).double(), images()
    cam = ClusteredLayerCAM(
        net, net.conv, clusterer=k, scaling="density", importance="shapley", n_samples=3
    )
    attribution, delta, clusters = cam.attribute(
        x,
        target=0,
        layer_baselines=baseline,
        return_convergence_delta=True,
        return_clusters=True,
    )
    assert delta.abs().max() < 1e-12
    difference = clusters.score - clusters.baseline_score
    torch.testing.assert_close(attribution.flatten(1).sum(1), difference)


def test_delta_of_ablation_is_the_interaction_of_the_clusters():
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=EACH, scaling="density")
    _, delta = cam.attribute(
        TWO_CHANNELS, target=0, relu_attributions=True, return_convergence_delta=True
    )
    torch.testing.assert_close(delta, torch.tensor([1.0]))  # 5 + 2 - 6


def test_cluster_maps_sum_to_the_attribution():
    net, x = MlpHead().double(), images()
    for scaling in ("drop", "density"):
        cam = ClusteredLayerCAM(net, net.conv, clusterer=4, scaling=scaling)
        attribution, clusters = cam.attribute(x, target=0, return_clusters=True)
        assert clusters.maps.shape == (3, 4, 6, 5)
        torch.testing.assert_close(clusters.maps.sum(1, keepdim=True), attribution)


def test_consensus_is_the_mean_over_seeds_and_clusters_are_of_the_first():
    net, x = MlpHead(channels=14).double(), images()
    arguments = {"clusterer": 4, "importance": "shapley"}
    single = [
        ClusteredLayerCAM(net, net.conv, seed=seed, **arguments).attribute(
            x, target=1, return_clusters=True
        )
        for seed in (5, 6, 7)
    ]
    assert not torch.equal(single[0][0], single[1][0])
    cam = ClusteredLayerCAM(net, net.conv, seed=5, n_clusterings=3, **arguments)
    attribution, clusters = cam.attribute(x, target=1, return_clusters=True)
    torch.testing.assert_close(attribution, torch.stack([a for a, _ in single]).mean(0))
    assert torch.equal(clusters.labels, single[0][1].labels)
    torch.testing.assert_close(clusters.importances, single[0][1].importances)
    torch.testing.assert_close(clusters.maps, single[0][1].maps)


def test_a_batch_equals_its_examples_one_by_one():
    net, x = MlpHead(channels=14).double(), images(n=4)
    target = [0, 2, 1, 1]
    for importance, k in (("ablation", 5), ("shapley", 12)):
        cam = ClusteredLayerCAM(
            net, net.conv, clusterer=k, importance=importance, n_clusterings=2, n_samples=2
        )
        together = cam.attribute(x, target)
        alone = [cam.attribute(x[i : i + 1], target[i]) for i in range(4)]
        torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("perturbations_per_eval", [1, 2, 3, 4, 100])
def test_chunks_give_the_same_result(perturbations_per_eval):
    net, x = MlpHead().double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3, importance="shapley")
    torch.testing.assert_close(
        cam.attribute(x, 0, perturbations_per_eval=perturbations_per_eval), cam.attribute(x, 0)
    )


def test_a_layer_with_two_tensors_gives_a_tuple_in_one_game():
    net = TwoTensors()
    x = images(n=2, channels=5, size=(4, 4)).relu()
    cam = ClusteredLayerCAM(
        net,
        net.split,
        clusterer=(torch.tensor([0, 0]), torch.tensor([0, 1, 1])),
        scaling="density",
        importance="shapley",
    )
    attribution, delta, clusters = cam.attribute(
        x, return_convergence_delta=True, return_clusters=True
    )
    assert [tuple(a.shape) for a in attribution] == [(2, 1, 4, 4), (2, 1, 2, 2)]
    assert delta.abs().max() < 1e-10
    for maps, part in zip(clusters.maps, attribution, strict=True):
        torch.testing.assert_close(maps.sum(1, keepdim=True), part)
    assert [tuple(i.shape) for i in clusters.importances] == [(2, 1), (2, 2)]

    ablation = ClusteredLayerCAM(net, net.split, clusterer=(EACH, torch.tensor([0, 1, 2])))
    _, clusters = ablation.attribute(x, return_clusters=True)
    expected = LayerFeatureAblation(net, net.split).attribute(
        x,
        layer_mask=(EACH.view(1, 2, 1, 1), torch.tensor([2, 3, 4]).view(1, 3, 1, 1)),
    )
    for drops, values in zip(clusters.importances, expected, strict=True):
        torch.testing.assert_close(drops, values[:, :, 0, 0])


def test_a_linear_layer_gives_one_value_for_each_example():
    net, x = MlpHead().double(), images()
    attribution = ClusteredLayerCAM(net, net.head[1], clusterer=3).attribute(x, 1)
    assert attribution.shape == LayerGradCam(net, net.head[1]).attribute(x, 1).shape == (3, 1)


def test_channel_dim_of_tokens():
    # Tokens (N, T, C) are channels-last maps (N, C, T).
    layer = torch.nn.Identity()

    def tokens(x):
        return layer(x.flatten(2).transpose(1, 2)).square().mean((1, 2))

    def maps(x):
        return layer(x.flatten(2)).square().mean((1, 2))

    x = images(channels=4)
    last = ClusteredLayerCAM(tokens, layer, clusterer=3, channel_dim=-1)
    first = ClusteredLayerCAM(maps, layer, clusterer=3)
    for summation in (True, False):
        expected = first.attribute(x, attr_dim_summation=summation)
        result = last.attribute(x, attr_dim_summation=summation)
        assert result.shape == (3, 1 if summation else 4, 30)
        assert result.is_contiguous()
        torch.testing.assert_close(result, expected)


def test_swapping_the_class_name_is_all_a_script_needs():
    script = """
cam = CLASS(net, net.relu)
attribution = cam.attribute(x, 1, None, False, True, True)
upsampled = LayerAttribution.interpolate(attribution, (24, 20), "bilinear")
"""
    from captum.attr import LayerAttribution

    results = []
    for name, cls in {
        "LayerGradCam": LayerGradCam,
        "ClusteredLayerCAM": ClusteredLayerCAM,
    }.items():
        net = GapLinear().double()
        scope = {"net": net, "x": images(), name: cls, "LayerAttribution": LayerAttribution}
        exec(script.replace("CLASS", name), scope)  # noqa: S102
        results.append(scope)
    grad_cam, clustered = results
    for key in ("attribution", "upsampled"):
        assert clustered[key].shape == grad_cam[key].shape
        assert clustered[key].dtype == grad_cam[key].dtype
        assert clustered[key].device == grad_cam[key].device


def test_dead_channels_and_constant_maps_have_defined_results():
    net = GapLinear().double()
    net.conv.weight.data[:3] = 0
    net.conv.bias.data[:3] = -1  # dead after the ReLU
    net.conv.bias.data[3] = 2
    net.conv.weight.data[3] = 0  # constant
    for k in (2, 4, 6, 50):
        for importance in ("ablation", "shapley"):
            cam = ClusteredLayerCAM(net, net.relu, clusterer=k, importance=importance)
            attribution, clusters = cam.attribute(images(), 0, return_clusters=True)
            assert attribution.isfinite().all()
            assert clusters.importances.shape == (3, min(k, 6))
            channels = cam.attribute(images(), 0, attr_dim_summation=False)
            assert (channels[:, :3] == 0).all()


def test_an_all_zero_layer_gives_zeros():
    net = GapLinear().double()
    net.conv.weight.data.zero_()
    net.conv.bias.data.fill_(-1)
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3, scaling="density")
    attribution, delta, clusters = cam.attribute(
        images(), 0, return_convergence_delta=True, return_clusters=True
    )
    shared = ClusteredLayerCAM(net, net.relu, clusterer=3, scaling="drop").attribute(images(), 0)
    assert (shared == 0).all()
    assert (attribution == 0).all()
    assert (delta == 0).all()
    assert (clusters.importances == 0).all()


def test_empty_clusters_are_zero_everywhere():
    net, x = MlpHead().double(), images()
    labels = torch.tensor([0, 0, 4, 4, 2, 2])
    for importance in ("ablation", "shapley"):
        cam = ClusteredLayerCAM(net, net.conv, clusterer=labels, importance=importance)
        _, clusters = cam.attribute(x, 0, return_clusters=True)
        assert clusters.sizes.tolist() == [[2, 0, 2, 0, 2]] * 3
        assert (clusters.importances[:, [1, 3]] == 0).all()
        assert (clusters.maps[:, [1, 3]] == 0).all()
        assert (clusters.importances[:, [0, 2, 4]] != 0).all()


def test_attributions_are_detached_contiguous_and_of_the_layers_dtype():
    net, x = MlpHead(), images(dtype=torch.float32).requires_grad_()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    attribution = cam.attribute(x.to(memory_format=torch.channels_last), 0)
    assert attribution.dtype == torch.float32
    assert not attribution.requires_grad
    assert attribution.is_contiguous()
    assert x.grad is None


def test_get_name_and_captum_flags():
    net = MlpHead()
    cam = ClusteredLayerCAM(net, net.conv)
    assert cam.get_name() == "Clustered Layer CAM"
    for scaling, has_delta in (("drop", False), ("density", True)):
        cam.scaling = scaling
        assert cam.has_convergence_delta() is has_delta
    assert cam.multiplies_by_inputs
    assert cam.attribute.__wrapped__  # NoiseTunnel calls it


def test_show_progress_counts_the_ablations(capsys):
    net = MlpHead().double()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=3)
    cam.attribute(images(), 0, show_progress=True, perturbations_per_eval=2)
    printed = capsys.readouterr().err
    assert "Clustered Layer CAM attribution" in printed
    assert "4/4" in printed


def test_feature_ablation_of_identity_layer_agrees_on_the_input():
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=EACH)
    _, clusters = cam.attribute(TWO_CHANNELS, 0, return_clusters=True)
    expected = FeatureAblation(net).attribute(
        TWO_CHANNELS, target=0, feature_mask=EACH.view(1, 2, 1, 1)
    )
    torch.testing.assert_close(clusters.importances, expected[:, :, 0, 0])


def test_attributes_may_be_changed_after_construction():
    net, x = MlpHead(channels=14).double(), images()
    cam = ClusteredLayerCAM(net, net.conv, clusterer=4)
    cam.seed, cam.clusterer, cam.n_clusterings, cam.scaling = 3, 5, 2, "drop"
    expected = ClusteredLayerCAM(
        net, net.conv, seed=3, clusterer=5, n_clusterings=2, scaling="drop"
    ).attribute(x, 0)
    assert torch.equal(cam.attribute(x, 0), expected)


def test_channel_dim_from_the_end_holds_for_each_tensor_of_a_layer():
    class Tokens(torch.nn.Module):
        """A sequence and a grid of tokens, whose channels are last."""

        def forward(self, x):
            return x.flatten(2).transpose(1, 2), x.permute(0, 2, 3, 1)

    layer, x = Tokens(), images(channels=6, size=(6, 6))

    def forward(x):
        sequence, grid = layer(x)
        return sequence.square().mean((1, 2)) + grid.sin().mean((1, 2, 3))

    each = torch.arange(6)
    cam = ClusteredLayerCAM(forward, layer, clusterer=(each, each), channel_dim=-1)
    attribution, clusters = cam.attribute(x, return_clusters=True)
    assert [tuple(a.shape) for a in attribution] == [(3, 1, 36), (3, 1, 6, 6)]
    drops = (x.square().mean((2, 3)) / 6, x.sin().mean((2, 3)) / 6)
    for found, expected in zip(clusters.importances, drops, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_seed_reaches_the_permutations():
    net, x = MlpHead(channels=14).double(), images()
    arguments = {"clusterer": torch.arange(14), "importance": "shapley", "n_samples": 2}
    attributions = [
        ClusteredLayerCAM(net, net.conv, seed=seed, **arguments).attribute(x, 0)
        for seed in (0, 1, 0)
    ]
    assert torch.equal(attributions[0], attributions[2])
    assert not torch.allclose(attributions[0], attributions[1])


def test_labels_of_examples_can_be_edited_one_by_one():
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer, clusterer=EACH)
    _, clusters = cam.attribute(TWO_CHANNELS.repeat(3, 1, 1, 1), 0, return_clusters=True)
    clusters.labels[0, 0] = 5
    assert clusters.labels.tolist() == [[5, 1], [0, 1], [0, 1]]
    assert EACH.tolist() == [0, 1]


def test_settings_are_checked_again_at_each_call():
    net = Interacting()
    cam = ClusteredLayerCAM(net, net.layer)
    cam.scaling = "mass"
    with pytest.raises(ValueError, match="scaling='mass'"):
        cam.attribute(TWO_CHANNELS, 0)


def test_numpy_integers_are_integers():
    net, x = MlpHead(channels=16).double(), images()
    options = {"clusterer": 12, "n_samples": 3, "seed": 5, "channel_dim": 1}
    found, expected = (
        ClusteredLayerCAM(
            net, net.conv, importance="shapley", **{name: kind(n) for name, n in options.items()}
        ).attribute(x, target=1)
        for kind in (np.int64, int)
    )
    assert torch.equal(found, expected)


def test_it_is_said_in_one_line():
    net = GapLinear()
    assert repr(ClusteredLayerCAM(net, net.relu)) == (
        "ClusteredLayerCAM('relu' (ReLU), clusterer=10, scaling='drop', importance='ablation', "
        "n_clusterings=1)"
    )
    labels = torch.zeros(6, dtype=torch.int64)
    cam = ClusteredLayerCAM(lambda x: net(x), net.conv, clusterer=labels)
    assert repr(cam).startswith("ClusteredLayerCAM(Conv2d, clusterer=labels of 6 channels, ")
    cam = ClusteredLayerCAM(net, net.conv, clusterer=2).fit(images(dtype=torch.float32))
    assert "clusterer=labels of 6 channels" in repr(cam)
    cam.clusterer, cam._fitted = (labels[:2], labels), None
    assert "clusterer=labels of 2 and 6 channels" in repr(cam)
