import copy
import gc
import weakref

import pytest
import torch
from captum.attr import LayerGradCam
from nets import GapLinear, MlpHead, images
from torch import nn

from captum_clustered import scores
from captum_clustered.comparison.methods import METHODS
from captum_clustered.comparison.peers import PEERS, PeerCAM

pytest.importorskip(
    "pytorch_grad_cam", reason="pytorch-grad-cam is an optional peer", exc_type=ImportError
)


class InPlaceBehind(nn.Module):
    """The layer conv is followed by an operation in place."""

    def __init__(self):
        super().__init__()
        self.inner = GapLinear()
        self.inner.relu.inplace = True
        self.conv = self.inner.conv

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("at_input", [False, True])
def test_the_users_model_stays_as_it_is(name, at_input, capfd):
    net = MlpHead()
    net.train()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    modules = dict(net.named_modules())
    state = torch.random.get_rng_state()
    cam = PeerCAM(net, net.relu, name)
    x = images(2, dtype=torch.float32)
    for _ in range(2):
        maps = cam.attribute(x, target=torch.tensor([0, 2]), attribute_to_layer_input=at_input)
    assert maps.shape == (2, 1, 6, 5)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert dict(net.named_modules()) == modules
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


def test_layer_cam_by_hand_at_the_chosen_score():
    net = MlpHead()
    x = images(2, dtype=torch.float32)
    kept = []
    handle = net.relu.register_forward_hook(lambda *args: kept.append(args[2].clone()) or kept[-1])
    chosen = scores.margin(net)(x)[[0, 1], [0, 2]].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(chosen, kept)
    expected = (gradient.relu() * kept[0]).sum(1, keepdim=True)
    maps = PeerCAM(scores.margin(net), net.relu, "LayerCAM").attribute(x, torch.tensor([0, 2]))
    torch.testing.assert_close(maps, expected.detach(), rtol=1e-4, atol=1e-6)


def test_operations_in_place_behind_the_layer_do_not_reach_its_values():
    net = InPlaceBehind()
    x = images(1, dtype=torch.float32)
    values = net.conv(x)
    assert values.min() < 0
    (gradient,) = torch.autograd.grad(net.inner.fc(values.relu().mean((2, 3)))[:, 1].sum(), values)
    expected = (gradient.relu() * values).sum(1, keepdim=True)
    # conv is known under two names.
    maps = PeerCAM(net, net.conv, "LayerCAM").attribute(x, 1)
    torch.testing.assert_close(maps, expected.detach())


def test_at_the_input_of_a_layer_is_at_the_output_of_the_one_before():
    net = MlpHead()
    x = images(2, dtype=torch.float32)
    at_input = PeerCAM(net, net.pool, "GradCAM++").attribute(x, 1, attribute_to_layer_input=True)
    torch.testing.assert_close(at_input, PeerCAM(net, net.relu, "GradCAM++").attribute(x, 1))


def test_a_failure_leaves_no_trace():
    net = MlpHead()
    cam = PeerCAM(net, net.relu, "AblationCAM")
    with pytest.raises(RuntimeError):
        cam.attribute(torch.zeros(1, 5, 6, 6), 0)
    fresh = PeerCAM(net, net.relu, "AblationCAM")
    x = images(2, dtype=torch.float32)
    assert torch.equal(cam.attribute(x, 0), fresh.attribute(x, 0))


def test_ablation_cam_in_one_pass_is_grad_cams_times_the_score():
    net = MlpHead()
    x = images(4, dtype=torch.float32)
    # After a ReLU, grad-cam ablates to zero, too; it divides drops by the score.
    theirs = PeerCAM(net, net.relu, "AblationCAM").attribute(x, 1)
    ours = METHODS["AblationCAM"].build(net, net.relu).attribute(x, 1)
    score = net(x)[:, 1].detach().view(-1, 1, 1, 1)
    torch.testing.assert_close(ours, theirs * score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_the_graph_of_a_pass_is_let_go(name):
    outputs = []

    class Watched(MlpHead):
        def forward(self, x):
            output = super().forward(x)
            outputs.append(weakref.ref(output))
            return output

    net = Watched()
    cam = PeerCAM(net, net.relu, name)
    cam.attribute(images(2, dtype=torch.float32), 1)
    gc.collect()
    assert outputs
    assert not any(output() is not None for output in outputs)


def test_mistakes():
    net = MlpHead()
    x = images(1, dtype=torch.float32)
    with pytest.raises(ValueError, match="cam='CAM' must be one of 'GradCAM\\+\\+'"):
        PeerCAM(net, net.relu, "CAM")
    with pytest.raises(ValueError, match="forward_func must be a torch"):
        PeerCAM(lambda x: net(x), net.relu)
    with pytest.raises(ValueError, match="layer must be a module of forward_func"):
        PeerCAM(net, nn.ReLU())
    with pytest.raises(ValueError, match="additional_forward_args must be None"):
        PeerCAM(net, net.relu).attribute(x, 0, 3)
    twice = nn.Sequential(nn.Conv2d(2, 2, 1), net.relu, nn.Conv2d(2, 2, 1), net.relu)
    model = nn.Sequential(twice, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="layer is called 2 times"):
        PeerCAM(model, net.relu).attribute(x, 0)


def test_not_installed(monkeypatch):
    net = MlpHead()
    monkeypatch.setattr("captum_clustered.comparison.peers.peers_installed", lambda: False)
    with pytest.raises(ImportError, match="captum_clustered\\[peers\\]"):
        PeerCAM(net, net.relu)


def test_same_layer_and_size_as_captums_grad_cam():
    net = GapLinear()
    x = images(2, dtype=torch.float32)
    shape = LayerGradCam(net, net.relu).attribute(x, 0).shape
    assert PeerCAM(net, net.relu).attribute(x, 0).shape == shape
