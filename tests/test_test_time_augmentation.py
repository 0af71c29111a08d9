import pickle

import pytest
import torch
from captum.attr import (
    LayerActivation,
    LayerAttribution,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    NoiseTunnel,
)
from captum.log import log_usage
from captum.metrics import sensitivity_max
from nets import GapLinear, MlpHead, TwoTensors, images
from torch import nn

from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
from captum_clustered.input_attribution import InputAttribution
from captum_clustered.test_time_augmentation import TestTimeAugmentation
from captum_clustered.views import View, gain, make_view, rot90, zoom

RAMP = torch.arange(8.0, dtype=torch.float64)


class Shows(LayerAttribution):
    """A made-up method whose map is a function of the inputs; it counts its calls' examples."""

    def __init__(self, function=lambda x: x):
        super().__init__(None, nn.Identity())
        self.function = function
        self.calls = []

    @log_usage(part_of_slo=True)
    def attribute(self, inputs, **kwargs):
        self.calls.append((len(inputs), kwargs))
        return self.function(inputs)


class Pointwise(nn.Module):
    """Each position by itself, then their mean: mirror images and turns have the same score."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)
        self.fc = nn.Linear(4, 3)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.double().eval()

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Tokens(nn.Module):
    """MlpHead with a layer of 4 x 6 tokens, whose channels are last."""

    def __init__(self):
        super().__init__()
        self.net = MlpHead()
        self.layer = nn.Identity()

    def forward(self, x):
        rows = self.layer(self.net.trunk(x).flatten(2).mT)
        maps = self.net.conv(rows.mT.view(len(x), 4, 4, 6)).relu()
        return self.net.head(self.net.pool(maps))


def both_methods(net):
    return [ClusteredLayerCAM(net, net.conv, clusterer=3), LayerGradCam(net, net.conv)]


def mean_of(method, x, views, **arguments):
    """What TestTimeAugmentation should give for turns and flips, by one call for each view."""
    maps = [back(method.attribute(there(x), **arguments)) for there, back in views]
    return sum(maps) / len(maps)


SAME = (lambda x: x, lambda x: x)
MIRROR = (lambda x: x.flip(-1), lambda x: x.flip(-1))
UPSIDE_DOWN = (lambda x: x.flip(-2), lambda x: x.flip(-2))
# A quarter turn counterclockwise is a transposition, then upside down.
TURN = (lambda x: x.mT.flip(-2), lambda x: x.flip(-2).mT)


@pytest.mark.parametrize("index", [0, 1])
def test_views_change_nothing_where_the_network_does_not_see_them(index):
    net, x = Pointwise(), images(size=(4, 6))
    method = both_methods(net)[index]
    plain = method.attribute(x, target=1)
    for views in (("identity", "hflip"), ("hflip",), ("vflip", "rot90", "rot90(2)", "rot90(-1)")):
        mean = TestTimeAugmentation(method, views).attribute(x, target=1)
        torch.testing.assert_close(mean, plain, rtol=1e-12, atol=1e-12)
        assert mean.is_contiguous()


@pytest.mark.parametrize("index", [0, 1])
def test_the_default_is_the_mean_over_the_image_and_its_mirror_image(index):
    net, x = MlpHead().double(), images(size=(4, 6))
    method = both_methods(net)[index]
    mean = TestTimeAugmentation(method).attribute(x, target=1)
    torch.testing.assert_close(mean, mean_of(method, x, [SAME, MIRROR], target=1))
    assert not torch.allclose(mean, method.attribute(x, target=1), rtol=1e-2)


def test_each_flip_and_turn_of_an_image_that_is_not_square():
    net, x = MlpHead().double(), images(size=(4, 6))
    method = LayerGradCam(net, net.conv)
    for view, pair in (("vflip", UPSIDE_DOWN), ("rot90", TURN), (rot90(-3), TURN)):
        mean = TestTimeAugmentation(method, ("identity", view)).attribute(x, target=2)
        torch.testing.assert_close(mean, mean_of(method, x, [SAME, pair], target=2))
    three = (lambda x: x.rot90(3, (2, 3)), lambda x: x.rot90(1, (2, 3)))
    mean = TestTimeAugmentation(method, [rot90(3)]).attribute(x, target=2)
    torch.testing.assert_close(mean, mean_of(method, x, [three], target=2))


def test_a_quarter_turn_is_counterclockwise():
    method = Shows()
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    seen, back = rot90().on(x)
    assert seen.tolist() == [[[[3.0, 6.0], [2.0, 5.0], [1.0, 4.0]]]]
    assert torch.equal(back(seen), x)
    # The turned image has another size and goes in a call by itself.
    assert torch.equal(TestTimeAugmentation(method, ("identity", "rot90")).attribute(x), x)
    assert [n for n, _ in method.calls] == [1, 1]


@pytest.mark.parametrize("grid", [(8, 8), (4, 4)])
def test_what_a_zoom_does_not_show_is_left_out(grid):
    # The map is the input itself, or the means of its 2 x 2 blocks.
    method = Shows(lambda x: nn.functional.adaptive_avg_pool2d(x, grid))
    x = (RAMP[:, None] + 10 * RAMP).expand(1, 1, 8, 8)
    plain = method.attribute(x)
    alone = TestTimeAugmentation(method, [zoom(2)]).attribute(x)
    # Magnified twice, the view shows the middle half, where a linear ramp comes back exactly.
    first, last = grid[0] // 4, grid[0] * 3 // 4
    inside = torch.zeros(grid, dtype=torch.bool)
    inside[first:last, first:last] = True
    torch.testing.assert_close(alone[..., inside], plain[..., inside])
    assert (alone[..., ~inside] == 0).all()
    # With the image itself, what is outside has the image's own value, and not half of it.
    both = TestTimeAugmentation(method, ["identity", zoom(2)]).attribute(x)
    torch.testing.assert_close(both, plain)


def test_a_view_from_further_away_covers_the_whole_image():
    method, x = Shows(), RAMP.expand(1, 1, 8)
    alone = TestTimeAugmentation(method, [zoom(0.8)]).attribute(x)
    # The input is seen at (i - 3.5) / 0.8 + 3.5 and the view ends with the border's values, so
    # that the ramp is bent only between the last position and the edge.
    torch.testing.assert_close(alone[..., 1:-1], x[..., 1:-1])
    assert (alone[..., 0] >= 0).all()
    assert (alone[..., -1] <= 7).all()
    assert alone[..., -1] > 6.7


@pytest.mark.parametrize("factor", [0.7, 1.15, 1.5])
@pytest.mark.parametrize("size", [(7, 10), (5, 6, 7)])
def test_zoomed_inputs_are_those_of_grid_sample(factor, size):
    x = images(size=size)
    dims = len(size)
    theta = torch.cat([torch.eye(dims).double() / factor, torch.zeros(dims, 1).double()], 1)
    grid = nn.functional.affine_grid(theta.expand(3, -1, -1), x.shape, align_corners=False)
    expected = nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(zoom(factor).on(x)[0], expected)


def test_a_shift_by_hand():
    seen, back = make_view("shift(2, -1)").on(x := RAMP.view(1, 1, 2, 4))
    # To the right by two: the first column continues; up by one: so does the last row.
    assert seen.tolist() == [[[[4, 4, 4, 5], [4, 4, 4, 5]]]]
    assert back(torch.ones_like(x)).tolist() == [[[[0, 0, 0, 0], [1, 1, 0, 0]]]]
    assert back(seen).tolist() == [[[[0, 0, 0, 0], [4, 5, 0, 0]]]]
    # On a map of 4 x 2 positions it is one to the right and two up.
    assert back(RAMP.view(1, 1, 4, 2)).tolist() == [[[[0, 0], [0, 0], [1, 0], [3, 0]]]]
    # Half a pixel is between two.
    half, _ = make_view("shift(-0.5)").on(x)
    assert half.tolist() == [[[[0.5, 1.5, 2.5, 3], [4.5, 5.5, 6.5, 7]]]]


@pytest.mark.parametrize(("dx", "shown"), [(0.25, 4), (0.5, 4), (0.75, 3), (1.25, 3)])
def test_a_position_is_shown_if_its_center_is(dx, shown):
    # Centers are at 0.5, 1.5, 2.5 and 3.5, and the view ends at 4.
    for sign in (1, -1):
        _, back = make_view(f"shift({sign * dx})").on(torch.ones(1, 1, 4))
        weights = back(torch.ones(1, 1, 4)).flatten().tolist()[::sign]
        assert weights == [1] * shown + [0] * (4 - shown)


def test_weights_are_per_position_and_nothing_is_not_a_number():
    x = RAMP.view(1, 1, 1, 8) + 1
    doubled = Shows(lambda inputs: torch.cat([inputs[:1], 3 * inputs[1:]]))
    mean = TestTimeAugmentation(doubled, ("identity", "shift(2)")).attribute(x)
    assert mean.flatten().tolist() == [2, 4, 6, 8, 10, 12, 7, 8]
    # No view shows the last two positions.
    alone = TestTimeAugmentation(Shows(), ("shift(3)", "shift(2)")).attribute(x)
    assert alone.flatten().tolist() == [1, 2, 3, 4, 5, 6, 0, 0]


def test_views_one_after_the_other():
    x = images(size=(6, 8))
    view = make_view("shift(2)+hflip")
    seen, back = view.on(x)
    assert torch.equal(seen, make_view("shift(2)").on(x)[0].flip(-1))
    assert torch.equal(back(seen)[..., :6], x[..., :6])
    assert (back(seen)[..., 6:] == 0).all()
    assert view.name == "shift(2, 0)+hflip"
    turned, back = make_view("rot90").then(make_view("shift(0, 4)")).on(x)
    # Four of eight rows of the turned image are four columns of the image.
    assert turned.shape[2:] == (8, 6)
    assert torch.equal(back(turned)[..., 4:], x[..., 4:])
    assert (back(turned)[..., :4] == 0).all()


def test_gain_multiplies_and_moves_nothing():
    method, x = Shows(), images(size=(3, 4))
    mean = TestTimeAugmentation(method, ("identity", gain(0.5))).attribute(x)
    torch.testing.assert_close(mean, 0.75 * x)


def test_a_view_of_ones_own():
    net, x = MlpHead().double(), images(size=(4, 6))
    method = LayerGradCam(net, net.conv)
    view = View(lambda x: x.flip(-1) + 0.1, lambda maps: maps.flip(-1), "brighter mirror image")
    mean = TestTimeAugmentation(method, (view,)).attribute(x, 0)
    torch.testing.assert_close(mean, method.attribute(x.flip(-1) + 0.1, 0).flip(-1))


@pytest.mark.parametrize("index", [0, 1])
def test_views_per_eval_bounds_the_batch_and_changes_nothing(index):
    net, x = MlpHead().double(), images(size=(6, 6))
    method = both_methods(net)[index]
    views = ("identity", "hflip", "rot90", "hflip+zoom(1.2)", "shift(1, 2)")
    expected = TestTimeAugmentation(method, views).attribute(x, [0, 1, 2])
    for views_per_eval in (1, 2, 5, 9):
        wrapper = TestTimeAugmentation(method, views, views_per_eval)
        torch.testing.assert_close(wrapper.attribute(x, [0, 1, 2]), expected)


def test_the_number_of_examples_in_each_call():
    for views_per_eval, expected in ((None, [6]), (1, [2, 2, 2]), (2, [4, 2]), (3, [6])):
        method = Shows()
        views = ("identity", "hflip", "vflip")
        TestTimeAugmentation(method, views, views_per_eval).attribute(images(n=2))
        assert [n for n, _ in method.calls] == expected


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("targets", [[2, 0, 1], torch.tensor([2, 0, 1])])
def test_a_batch_is_its_examples_one_by_one(index, targets):
    net, x = MlpHead().double(), images(size=(4, 6))
    scale = torch.tensor([[1.0], [2.0], [-3.0]], dtype=torch.float64)
    constants = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def forward(x, scale, constants, name):
        assert (len(constants), name) == (2, "a name")
        return net(x) * scale + constants.sum()

    method = both_methods(net)[index]
    method.forward_func = forward
    wrapper = TestTimeAugmentation(method, ("identity", "hflip", "zoom(1.1)"))
    together = wrapper.attribute(x, targets, (scale, constants, "a name"))
    for i, target in enumerate([2, 0, 1]):
        one = slice(i, i + 1)
        alone = wrapper.attribute(x[one], target, (scale[one], constants, "a name"))
        torch.testing.assert_close(together[one], alone)
        listed = wrapper.attribute(x[one], [target], (scale[one], constants, "a name"))
        torch.testing.assert_close(listed, alone)


def test_relu_comes_after_the_mean():
    # The same map for all inputs: the mean with the mirror image is -1 at both positions, and a
    # ReLU in front of the mean would leave 0.5.
    x = torch.tensor([[[-3.0, 1.0]]])
    method = Shows(lambda inputs: x.expand_as(inputs))
    mean = TestTimeAugmentation(method).attribute(x, relu_attributions=True)
    assert mean.tolist() == [[[0, 0]]]
    assert TestTimeAugmentation(method).attribute(x).tolist() == [[[-1, -1]]]
    assert "relu_attributions" not in method.calls[0][1]
    net, x = MlpHead().double(), images(size=(4, 6))
    wrapper = TestTimeAugmentation(LayerGradCam(net, net.conv))
    torch.testing.assert_close(
        wrapper.attribute(x, 0, relu_attributions=True), wrapper.attribute(x, 0).relu()
    )


def test_other_arguments_are_passed_on():
    net, x = MlpHead().double(), images(size=(4, 6))
    method = ClusteredLayerCAM(net, net.relu, clusterer=3)
    arguments = {
        "target": 1,
        "attribute_to_layer_input": True,
        "attr_dim_summation": False,
        "layer_baselines": torch.arange(6.0, dtype=torch.float64).view(6, 1, 1) / 10,
        "perturbations_per_eval": 2,
    }
    mean = TestTimeAugmentation(method).attribute(x, **arguments)
    assert mean.shape == (3, 6, 4, 6)
    torch.testing.assert_close(mean, mean_of(method, x, [SAME, MIRROR], **arguments))
    positional = TestTimeAugmentation(LayerGradCam(net, net.conv)).attribute(
        x, 1, None, False, True, False
    )
    assert positional.shape == (3, 6, 4, 6)
    assert positional.min() == 0


def test_values_for_each_example_are_explained_view_by_view():
    net, x = MlpHead().double(), images(size=(4, 6))
    method = ClusteredLayerCAM(net, net.conv, clusterer=3)
    baselines = images(channels=6, size=(1, 1))
    mean = TestTimeAugmentation(method).attribute(x, 1, layer_baselines=baselines)
    expected = mean_of(method, x, [SAME, MIRROR], target=1, layer_baselines=baselines)
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("n_baselines", [1, 3])
def test_baselines_are_transformed_like_the_inputs(n_baselines):
    net, x = MlpHead().double(), images(size=(4, 6))
    net.relu.inplace = False
    method = LayerIntegratedGradients(net, net.conv)
    baselines = images(n=n_baselines, size=(4, 6), seed=5)
    mean = TestTimeAugmentation(method).attribute(x, 1, baselines=baselines, n_steps=3)
    plain = method.attribute(x, baselines, 1, n_steps=3)
    mirrored = method.attribute(x.flip(-1), baselines.flip(-1), 1, n_steps=3).flip(-1)
    torch.testing.assert_close(mean, (plain + mirrored) / 2)
    wrapper = TestTimeAugmentation(method)
    zero = wrapper.attribute(x, 1, baselines=0, n_steps=3)
    torch.testing.assert_close(zero, wrapper.attribute(x, 1, n_steps=3))


def test_methods_without_target_or_summation():
    net, x = MlpHead().double(), images(size=(4, 6))
    for method, target in ((LayerActivation, None), (LayerGradientXActivation, 1)):
        wrapped = method(net, net.conv)
        mean = TestTimeAugmentation(wrapped).attribute(x, target)
        arguments = {} if target is None else {"target": target}
        torch.testing.assert_close(mean, mean_of(wrapped, x, [SAME, MIRROR], **arguments))


def test_a_layer_with_several_tensors_gives_a_tuple():
    net, x = TwoTensors().double(), images(channels=4, size=(4, 6))
    method = ClusteredLayerCAM(net, net.split, clusterer=2)
    means = TestTimeAugmentation(method).attribute(x)
    plain, mirrored = method.attribute(x), method.attribute(x.flip(-1))
    assert isinstance(means, tuple)
    for mean, first, second in zip(means, plain, mirrored, strict=True):
        torch.testing.assert_close(mean, (first + second.flip(-1)) / 2)


def test_a_tuple_of_inputs_is_transformed_alike():
    net = MlpHead().double()
    x, y = images(size=(4, 6)), images(channels=1, size=(4, 6), seed=2)
    method = LayerGradCam(lambda x, y: net(x * y), net.conv)
    wrapper = TestTimeAugmentation(method)
    mean = wrapper.attribute((x, y), 1)
    mirrored = method.attribute((x.flip(-1), y.flip(-1)), 1).flip(-1)
    torch.testing.assert_close(mean, (method.attribute((x, y), 1) + mirrored) / 2)
    with pytest.raises(ValueError, match=r"same spatial size.*\(3, 1\).*additional_forward_args"):
        wrapper.attribute((x, torch.ones(3, 1)), 1)


@pytest.mark.parametrize("dims", [1, 3])
def test_signals_and_volumes(dims):
    net, x = GapLinear(dims=dims).double(), images(size=(5, 4, 6)[:dims])
    net.conv.padding_mode, net.conv.padding = "zeros", (1,) * dims
    method = LayerGradCam(net, net.relu)
    pairs = [SAME, MIRROR] + [UPSIDE_DOWN] * (dims > 1)
    views = ["identity", "hflip"] + ["vflip"] * (dims > 1)
    mean = TestTimeAugmentation(method, views).attribute(x, 1)
    torch.testing.assert_close(mean, mean_of(method, x, pairs, target=1))
    cube = images(size=(8,) * dims)
    alone = TestTimeAugmentation(Shows(), [zoom(2)]).attribute(cube)
    # The middle half in each dimension.
    assert (alone != 0).sum() == 3 * 2 * 4**dims


@pytest.mark.parametrize("view", ["vflip", "rot90", "shift(0, 1)", "hflip+vflip"])
def test_views_that_make_no_sense_for_signals_are_named(view):
    with pytest.raises(ValueError, match=r"needs inputs with 2 or more spatial.*\(3, 2, 6\)"):
        TestTimeAugmentation(Shows(), (view,)).attribute(images(size=(6,)))
    with pytest.raises(ValueError, match="'hflip' needs inputs with 1 or more"):
        TestTimeAugmentation(Shows()).attribute(torch.ones(2, 3))
    TestTimeAugmentation(Shows(), ["shift(1)", "gain(2)"]).attribute(images(size=(6,)))


def test_tokens_need_a_grid():
    def tokens(x):
        prefix = torch.full((len(x), 1, 1), 7.0, dtype=x.dtype)
        return torch.cat([prefix, x.flatten(2)], 2)

    x = images(channels=1, size=(2, 3))
    with pytest.raises(ValueError, match=r"'hflip' moves positions.*\(3, 1, 7\).*give grid"):
        TestTimeAugmentation(Shows(tokens)).attribute(x)
    torch.testing.assert_close(
        TestTimeAugmentation(Shows(tokens), ["gain(2)"]).attribute(x)[..., 1:],
        2 * tokens(x)[..., 1:],
    )
    views = ("identity", "hflip", "rot90", "vflip")
    wrapper = TestTimeAugmentation(Shows(tokens), views, grid=(2, 3), n_prefix=1)
    torch.testing.assert_close(wrapper.attribute(x), tokens(x))
    with pytest.raises(ValueError, match="T = 1 prefix \\+ 4 patch"):
        TestTimeAugmentation(Shows(tokens), grid=(2, 2), n_prefix=1).attribute(x)
    with pytest.raises(ValueError, match=r"grid=\(6,\) must have one number for each.* 2 "):
        TestTimeAugmentation(Shows(tokens), grid=(6,), n_prefix=1).attribute(x)


def test_tokens_of_a_layer():
    model, x = Tokens().double(), images(size=(4, 6))
    method = ClusteredLayerCAM(model, model.layer, clusterer=2, channel_dim=-1)
    mean = TestTimeAugmentation(method, grid=(4, 6)).attribute(x, 1)
    plain, mirrored = method.attribute(x, 1), method.attribute(x.flip(-1), 1)
    back = mirrored.view(3, 1, 4, 6).flip(-1).flatten(2)
    torch.testing.assert_close(mean, (plain + back) / 2)


def test_the_layers_type_is_kept_and_the_sum_is_exact():
    x = torch.tensor([[[1.0, 1.0078125]]], dtype=torch.bfloat16)
    views = ["identity"] * 3
    mean = TestTimeAugmentation(Shows(), views).attribute(x)
    # In bfloat16, 3 x 1.0078125 is rounded to 3.03125, and a third of it to 1.0078125 or beyond.
    assert mean.dtype == torch.bfloat16
    assert torch.equal(mean, x)
    many = TestTimeAugmentation(Shows(), ["identity"] * 300).attribute(x)
    assert torch.equal(many, x)


def test_copies_ask_for_gradients_as_the_inputs_do_and_the_result_is_detached():
    for asks in (False, True):
        x = images().requires_grad_(asks)
        method = Shows(lambda x: x if x.requires_grad else 0 * x)
        for views in (["identity"], ["hflip", "identity"]):
            mean = TestTimeAugmentation(method, views).attribute(x)
            assert not mean.requires_grad
            assert torch.equal(mean, asks * x)


def test_gradients_at_a_frozen_network():
    net, x = MlpHead().double().requires_grad_(False), images(size=(4, 6))
    method = LayerGradCam(net, net.conv)
    x.requires_grad_()
    mean = TestTimeAugmentation(method).attribute(x, 1)
    assert not mean.requires_grad
    torch.testing.assert_close(mean, mean_of(method, x, [SAME, MIRROR], target=1).detach())


def test_nothing_else_changes():
    net, x = MlpHead().double(), images(size=(4, 6))
    before, copy = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    state = torch.get_rng_state()
    wrapper = TestTimeAugmentation(ClusteredLayerCAM(net, net.conv), ("identity", "zoom(1.1)"))
    arguments = {"target": [0, 1, 2], "layer_baselines": 0}
    first = wrapper.attribute(x, **arguments)
    assert torch.equal(wrapper.attribute(x, **arguments), first)
    assert arguments == {"target": [0, 1, 2], "layer_baselines": 0}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, copy)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert not net.training


@pytest.mark.parametrize("index", [0, 1])
def test_noise_tunnel_sensitivity_and_input_attribution(index):
    net, x = MlpHead().double(), images(size=(4, 6))
    net.conv.stride = 2
    wrapper = TestTimeAugmentation(both_methods(net)[index], ("identity", "hflip"))
    assert not wrapper.has_convergence_delta()
    assert wrapper.multiplies_by_inputs == wrapper.attribution.multiplies_by_inputs
    assert wrapper.get_name() == "Test Time Augmentation"
    plain = wrapper.attribute(x, [0, 1, 2])
    tunnel = NoiseTunnel(wrapper)
    without_noise = tunnel.attribute(x, target=[0, 1, 2], nt_samples=3, stdevs=0.0)
    torch.testing.assert_close(without_noise, plain)
    torch.manual_seed(0)
    noisy = tunnel.attribute(x, target=1, nt_samples=1, stdevs=0.1)
    torch.manual_seed(0)
    noise = torch.normal(0, torch.full(x.shape, 0.1))
    torch.testing.assert_close(noisy, wrapper.attribute(x + noise, 1))

    adapter = InputAttribution(wrapper)
    on_input = adapter.attribute(x, target=[0, 1, 2])
    expected = nn.functional.interpolate(plain, (4, 6), mode="bilinear").expand_as(x)
    torch.testing.assert_close(on_input, expected)

    def brighter(inputs, radius):
        if isinstance(inputs, tuple):
            return tuple(tensor + radius for tensor in inputs)
        return inputs + radius

    targets = torch.tensor([0, 1, 2])
    found = sensitivity_max(
        adapter.attribute, x, perturb_func=brighter, n_perturb_samples=1, target=targets
    )
    change = adapter.attribute(x + 0.02, targets) - on_input
    norms = on_input.flatten(1).norm(dim=1)
    torch.testing.assert_close(found, change.flatten(1).norm(dim=1) / norms)


def test_views_as_texts():
    for text, name in (
        ("identity", "identity"),
        ("rot90(k=3)", "rot90(3)"),
        (" zoom(0.9) ", "zoom(0.9)"),
        ("shift(-8, dy=4)", "shift(-8, 4)"),
        ("hflip() + zoom(1.15) + gain(2)", "hflip+zoom(1.15)+gain(2)"),
    ):
        assert make_view(text).name == name
        assert make_view(name).name == name
        x = images(size=(16, 16))
        pickled = pickle.loads(pickle.dumps(make_view(name)))  # noqa: S301
        assert torch.equal(pickled.on(x)[0], make_view(text).on(x)[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hflop", "'hflop' is not one of identity, hflip, .*Did you mean 'hflip'"),
        ("zoom", "zoom.. missing 1 required"),
        ("zoom(0)", "factor=0 must be a finite number above 0"),
        ("gain(-1)", "factor=-1 must be"),
        ("zoom('a')", "'a' is no number"),
        ("zoom(x)", "must be written as 'hflip'"),
        ("zoom(1.1", "must be written as"),
        ("hflip-vflip", "must be written as"),
        ("rot90(0.5)", "k=0.5 must be an int"),
        ("shift(1e999)", "dx=inf must be a finite number of pixels"),
        ("", "must be written as"),
    ],
)
def test_texts_that_describe_no_view(text, message):
    with pytest.raises(ValueError, match=f"view .* is not accepted: .*{message}"):
        TestTimeAugmentation(Shows(), ("identity", text))


@pytest.mark.parametrize("views_per_eval", [None, 1])
@pytest.mark.parametrize("views", [("identity", "hflip"), ("hflip", "rot90"), ("rot90", "hflip")])
def test_clusters_are_those_of_the_first_view_with_maps_of_the_input(views, views_per_eval):
    there, back = {"identity": SAME, "hflip": MIRROR, "rot90": TURN}[views[0]]
    net, x = MlpHead().double(), images(size=(4, 6))
    examples = []
    net.trunk.register_forward_hook(lambda module, inputs, output: examples.append(len(output)))
    method = ClusteredLayerCAM(net, net.conv, clusterer=3)
    wrapper = TestTimeAugmentation(method, views, views_per_eval)
    attribution, found = wrapper.attribute(x, 1, return_clusters=True)
    assert sum(examples) == len(views) * len(x)
    assert torch.equal(attribution, wrapper.attribute(x, 1))
    _, expected = method.attribute(there(x), 1, return_clusters=True)
    torch.testing.assert_close(vars(found), {**vars(expected), "maps": back(expected.maps)})


def test_clusters_of_several_tensors_of_tokens_and_of_a_zoom():
    net, x = TwoTensors().double(), images(channels=4, size=(4, 6))
    method = ClusteredLayerCAM(net, net.split, clusterer=2)
    _, found = TestTimeAugmentation(method).attribute(x, return_clusters=True)
    _, expected = method.attribute(x, return_clusters=True)
    torch.testing.assert_close(vars(found), vars(expected))
    # A wrapper of a wrapper has clusters, too.
    nested = TestTimeAugmentation(TestTimeAugmentation(method), ["gain(1.5)"])
    torch.testing.assert_close(
        nested.attribute(x, return_clusters=True)[1].importances,
        method.attribute(1.5 * x, return_clusters=True)[1].importances,
    )
    net = Pointwise()
    method = ClusteredLayerCAM(net, net.conv, clusterer=3)
    x = images(size=(8, 8))
    _, found = TestTimeAugmentation(method, [zoom(2)]).attribute(x, 1, return_clusters=True)
    # The margin is outside of the view.
    assert found.maps[..., 2:6, 2:6].any()
    found.maps[..., 2:6, 2:6] = 0
    assert not found.maps.any()


def test_clusters_of_tokens_are_brought_back_on_the_grid():
    model, x = Tokens().double(), images(size=(4, 6))
    method = ClusteredLayerCAM(model, model.layer, clusterer=2, channel_dim=-1)
    wrapper = TestTimeAugmentation(method, ["hflip"], grid=(4, 6))
    _, found = wrapper.attribute(x, 1, return_clusters=True)
    _, expected = method.attribute(x.flip(-1), 1, return_clusters=True)
    back = expected.maps.view(3, 2, 4, 6).flip(-1).flatten(2)
    torch.testing.assert_close(found.maps, back)


def test_only_methods_with_clusters_return_them():
    net, x = MlpHead().double(), images(size=(4, 6))

    class NoClusters(ClusteredLayerCAM):
        def attribute(self, inputs, target=None):
            return super().attribute(inputs, target)

    for method in (LayerGradCam(net, net.conv), NoClusters(net, net.conv, clusterer=3)):
        wrapper = TestTimeAugmentation(method)
        wrapper.attribute(x, 1, return_clusters=False)
        name = type(method).__name__
        with pytest.raises(ValueError, match=f"return_clusters=True is not supported.*{name}"):
            wrapper.attribute(x, 1, return_clusters=True)


def test_mistakes_are_explained():
    net, x = MlpHead().double(), images(size=(4, 6))
    method = ClusteredLayerCAM(net, net.conv, clusterer=3)
    wrapper = TestTimeAugmentation(method)
    with pytest.raises(ValueError, match="return_convergence_delta=True is not supported"):
        wrapper.attribute(x, 1, return_convergence_delta=True)
    wrapper.attribute(x, 1, return_convergence_delta=False)
    with pytest.raises(TypeError, match="must be a LayerAttribution; got MlpHead"):
        TestTimeAugmentation(net)
    with pytest.raises(TypeError, match="views must be a sequence"):
        TestTimeAugmentation(method, "hflip")
    with pytest.raises(TypeError, match="a view must be a View or a text"):
        TestTimeAugmentation(method, (torch.fliplr,))
    with pytest.raises(ValueError, match="at least one view"):
        TestTimeAugmentation(method, ())
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"views_per_eval={wrong} must be an int"):
            TestTimeAugmentation(method, views_per_eval=wrong)
    with pytest.raises(TypeError, match="inputs must be a Tensor or a tuple of Tensors; got list"):
        wrapper.attribute([x], 1)
    with pytest.raises(ValueError, match="at least one example"):
        wrapper.attribute(x[:0], 1)
    with pytest.raises(ValueError, match=r"layer_baselines has shape \(4, 6\).*view 'hflip'"):
        wrapper.attribute(x, 1, layer_baselines=x[0, 0])
    with pytest.raises(ValueError, match=r"shift\(6, 0\)' moves everything out.*\(4, 6\)"):
        TestTimeAugmentation(method, ("shift(6)",)).attribute(x, 1)
    with pytest.raises(ValueError, match=r"'zoom.2.' interpolates.*floating-point.*int64"):
        TestTimeAugmentation(method, ("zoom(2)",)).attribute(x.long(), 1)


def test_mistakes_in_views_and_methods_of_ones_own():
    x = images(size=(4, 6))

    def wrapper(function, *views):
        return TestTimeAugmentation(Shows(function), ("identity", *views))

    lost = View(lambda x: x[:1], lambda maps: maps, "lost")
    with pytest.raises(ValueError, match=r"transform of view 'lost' must return.*3 inputs"):
        wrapper(lambda x: x, lost).attribute(x)
    negative = View(lambda x: -x, lambda maps: -maps, "negative")
    with pytest.raises(ValueError, match="view 'negative' must give weights of at least 0"):
        wrapper(lambda x: x, negative).attribute(x)
    unturned = View(lambda x: x.mT, lambda maps: maps, "unturned")
    with pytest.raises(ValueError, match=r"view 'unturned' have shape \(3, 2, 6, 4\).*same grid"):
        wrapper(lambda x: x, unturned).attribute(x)
    with pytest.raises(ValueError, match="one map for each of 3 examples; got shape"):
        wrapper(lambda x: x.mean(0)).attribute(x)
    with pytest.raises(TypeError, match="must return a Tensor or a tuple of Tensors; got list"):
        wrapper(lambda x: [x]).attribute(x)
