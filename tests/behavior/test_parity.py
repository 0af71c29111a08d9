"""LayerGradCam and ClusteredLayerCAM through the same cases."""

import pytest
import torch
from captum.attr import LayerFeatureAblation, LayerGradCam
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM

helpers = pytest.importorskip(
    "captum.testing.helpers.basic_models", reason="captum ships its test models from 0.9 on"
)

ROW = torch.tensor([[0.0, 6.0, 0.0]])
SQUARE = torch.arange(16.0).view(1, 1, 4, 4)


def three(shape):
    """Three examples for the networks that Captum tests itself with."""
    return torch.randn(3, 1, *shape, generator=torch.Generator().manual_seed(0)).abs() * 10


# Model, layer, inputs, keyword arguments of attribute.
CASES = {
    "linear layer": (helpers.BasicModel_MultiLayer(), "linear0", ROW, {"target": 0}),
    "tuple output": (
        helpers.BasicModel_MultiLayer(multi_input_module=True),
        "multi_relu",
        ROW,
        {"target": 0},
    ),
    "tuple input": (
        helpers.BasicModel_MultiLayer(multi_input_module=True),
        "multi_relu",
        ROW,
        {"target": 0, "attribute_to_layer_input": True},
    ),
    "tuple, channels apart": (
        helpers.BasicModel_MultiLayer(multi_input_module=True),
        "multi_relu",
        ROW,
        {"target": 1, "attr_dim_summation": False},
    ),
    "conv": (helpers.BasicModel_ConvNet_One_Conv(), "conv1", SQUARE, {"target": 0}),
    "conv, channels apart": (
        helpers.BasicModel_ConvNet_One_Conv(),
        "conv1",
        SQUARE,
        {"target": 0, "attr_dim_summation": False},
    ),
    "relu": (helpers.BasicModel_ConvNet_One_Conv(), "relu1", SQUARE, {"target": 0}),
    "in-place relu": (
        helpers.BasicModel_ConvNet_One_Conv(inplace=True),
        "relu1",
        SQUARE,
        {"target": 0},
    ),
    "conv in front of an in-place relu": (
        helpers.BasicModel_ConvNet_One_Conv(inplace=True),
        "conv1",
        SQUARE,
        {"target": 0},
    ),
    "layer input": (
        helpers.BasicModel_ConvNet_One_Conv(),
        "conv1",
        SQUARE,
        {"target": 0, "attribute_to_layer_input": True},
    ),
    "layer input, relu": (
        helpers.BasicModel_ConvNet_One_Conv(),
        "conv1",
        SQUARE,
        {"target": 0, "attribute_to_layer_input": True, "relu_attributions": True},
    ),
    "two inputs": (
        helpers.BasicModel_ConvNet_One_Conv(),
        "conv1",
        (SQUARE, torch.ones(1, 1, 4, 4)),
        {"target": 0},
    ),
    "a tuple of one input": (
        helpers.BasicModel_ConvNet_One_Conv(),
        "conv1",
        (SQUARE,),
        {"target": 0},
    ),
    "three inputs and an argument": (
        helpers.BasicModel_MultiLayer_MultiInput(),
        "model.linear1",
        (ROW, ROW + 1, ROW + 2),
        {"target": 0, "additional_forward_args": (3,)},
    ),
    "an argument that is a batch": (
        helpers.BasicModel_MultiLayer(),
        "linear1",
        ROW.repeat(3, 1),
        {"target": [0, 1, 0], "additional_forward_args": torch.rand(3, 3)},
    ),
    "an argument that is None": (
        helpers.BasicModel_MultiLayer(),
        "linear1",
        ROW.repeat(3, 1),
        {"target": 0, "additional_forward_args": (None, False)},
    ),
    "tuple target": (
        helpers.BasicModel_MultiLayer(),
        "linear1",
        ROW.repeat(3, 1),
        {"target": (0, 1, 1), "additional_forward_args": (None, True)},
    ),
    "list of tuples": (
        helpers.BasicModel_MultiLayer(),
        "linear1",
        ROW.repeat(3, 1),
        {"target": [(0, 1, 1), (1, 0, 0), (0, 0, 1)], "additional_forward_args": (None, True)},
    ),
    "1-D tensor target": (
        helpers.BasicModel_ConvNet(),
        "conv2",
        three((10, 10)),
        {"target": torch.tensor([1, 5, 9])},
    ),
    "tensor target with one integer": (
        helpers.BasicModel_ConvNet(),
        "conv2",
        three((10, 10)),
        {"target": torch.tensor([4])},
    ),
    "0-d tensor target": (
        helpers.BasicModel_ConvNet(),
        "conv2",
        three((10, 10)),
        {"target": torch.tensor(4)},
    ),
    "list target": (
        helpers.BasicModel_ConvNet(),
        "relu1",
        three((10, 10)),
        {"target": [1, 2, 3]},
    ),
    "negative target": (
        helpers.BasicModel_ConvNet(),
        "relu1",
        three((10, 10)),
        {"target": -1},
    ),
    "1-D convolution": (
        helpers.BasicModel_ConvNet_MaxPool1d(),
        "conv2",
        three((10,)),
        {"target": 3},
    ),
    "3-D convolution": (
        helpers.BasicModel_ConvNet_MaxPool3d(),
        "conv2",
        three((10, 10, 10)),
        {"target": 3},
    ),
    "pooling": (helpers.BasicModel_ConvNet(), "pool1", three((10, 10)), {"target": 3}),
}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    model, layer, inputs, arguments = CASES[request.param]
    return model.eval(), model.get_submodule(layer), inputs, arguments


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.filterwarnings("ignore:Input Tensor")
def test_types_shapes_dtypes_and_devices_are_the_same(case):
    model, layer, inputs, arguments = case
    theirs = LayerGradCam(model, layer).attribute(inputs, **arguments)
    ours = ClusteredLayerCAM(model, layer, clusterer=2).attribute(inputs, **arguments)
    assert type(ours) is type(theirs)
    for mine, captums in zip(as_tuple(ours), as_tuple(theirs), strict=True):
        assert mine.shape == captums.shape
        assert mine.dtype == captums.dtype
        assert mine.device == captums.device
        assert mine.layout == captums.layout
        if arguments.get("relu_attributions"):
            assert (mine >= 0).all()


def test_channels_one_by_one_are_captums_ablation(case):
    model, layer, inputs, arguments = case
    arguments = {k: v for k, v in arguments.items() if k != "relu_attributions"}
    arguments.pop("attr_dim_summation", None)
    _, found = ClusteredLayerCAM(
        model, layer, clusterer=lambda rows: torch.arange(len(rows))
    ).attribute(inputs, **arguments, return_clusters=True)
    shapes = LayerFeatureAblation(model, layer).attribute(inputs, **arguments)
    masks, first = [], 0
    for tensor in as_tuple(shapes):
        channels = torch.arange(first, first + tensor.shape[1])
        masks.append(channels.view(1, -1, *[1] * (tensor.dim() - 2)))
        first += tensor.shape[1]
    expected = LayerFeatureAblation(model, layer).attribute(
        inputs, **arguments, layer_mask=tuple(masks)
    )
    for drops, values in zip(as_tuple(found.importances), as_tuple(expected), strict=True):
        # The same value at all positions of a channel.
        by_captum = values.reshape(*values.shape[:2], -1)[:, :, 0]
        torch.testing.assert_close(drops, by_captum, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "arguments"),
    [
        (images(), {}),  # three classes and no target
        (images(), {"target": 3}),
        (images(), {"target": [0, 1]}),
        (images(), {"target": torch.tensor([0, 1])}),
        (images(), {"target": [0.5, 1.0, 2.0]}),
        (images(), {"target": "0"}),
        (images(), {"target": (0, 1, 2)}),
        (images(n=0), {"target": 0}),
        ([images()], {"target": 0}),
        (images(), {"target": 0, "additional_forward_args": 3}),
        (images(channels=3), {"target": 0}),
        (images(dtype=torch.float32), {"target": 0}),
    ],
)
def test_what_layer_grad_cam_refuses_is_refused(inputs, arguments):
    net = MlpHead().double()
    with pytest.raises((AssertionError, IndexError, RuntimeError, TypeError)):
        LayerGradCam(net, net.conv).attribute(inputs, **arguments)
    with pytest.raises((IndexError, RuntimeError, TypeError, ValueError)) as caught:
        ClusteredLayerCAM(net, net.conv).attribute(inputs, **arguments)
    assert not isinstance(caught.value, AssertionError)
    assert str(caught.value)


def test_a_layer_that_the_score_does_not_depend_on_is_worth_nothing():
    # LayerGradCam needs grad_kwargs={"materialize_grads": True} for this.
    net = helpers.BasicModel_MultiLayer(multi_input_module=True).eval()
    attribution = ClusteredLayerCAM(net, net.relu, clusterer=2).attribute(ROW, 0)
    assert torch.equal(attribution, torch.zeros(1, 1))


def test_captums_cases_of_layer_ablation_with_their_numbers():
    net = helpers.BasicModel_MultiLayer().eval()
    labels = torch.tensor([0, 0, 1])
    _, clusters = ClusteredLayerCAM(net, net.linear0, clusterer=labels).attribute(
        torch.tensor([[20.0, 50.0, 30.0]]),
        target=0,
        attribute_to_layer_input=True,
        return_clusters=True,
    )
    assert clusters.importances.tolist() == [[280.0, 120.0]]

    net = helpers.BasicModel_MultiLayer_MultiInput().eval()
    inputs = (
        torch.tensor([[23.0, 100.0, 0.0], [20.0, 50.0, 30.0]]),
        torch.tensor([[20.0, 50.0, 30.0], [0.0, 100.0, 0.0]]),
        torch.tensor([[0.0, 100.0, 10.0], [2.0, 10.0, 3.0]]),
    )
    for layer, at_input in ((net.model.linear1, True), (net.model.linear0, False)):
        _, clusters = ClusteredLayerCAM(net, layer, clusterer=torch.arange(3)).attribute(
            inputs,
            target=0,
            additional_forward_args=(1,),
            attribute_to_layer_input=at_input,
            layer_baselines=torch.tensor([[1.0, 2.0, 3.0]]),
            return_clusters=True,
        )
        assert clusters.importances.tolist() == [[168.0, 992.0, 148.0], [84.0, 632.0, 120.0]]


class Wrapped(nn.Module):
    """Returns what detection and segmentation networks return."""

    def __init__(self, kind):
        super().__init__()
        self.net, self.kind = MlpHead().double(), kind

    def forward(self, x):
        out = self.net(x)
        if self.kind == "dict":
            return {"logits": out}
        return (out, None)


@pytest.mark.parametrize(
    ("kind", "unwrap"), [("dict", lambda out: out["logits"]), ("tuple", lambda out: out[0])]
)
def test_a_model_that_returns_no_tensor_is_wrapped_in_a_function(kind, unwrap):
    model = Wrapped(kind)
    found = ClusteredLayerCAM(lambda x: unwrap(model(x)), model.net.conv).attribute(images(), 1)
    torch.testing.assert_close(
        found, ClusteredLayerCAM(model.net, model.net.conv).attribute(images(), 1)
    )


def test_softmax_and_segmentation_as_forward_functions():
    net, x = MlpHead().double(), images()

    def softmax(x):
        return net(x).softmax(1)

    assert ClusteredLayerCAM(softmax, net.conv).attribute(x, 1).shape == (3, 1, 6, 5)

    # The sum of a class's scores over the pixels that it wins.
    segment = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 1)).double()
    winner = segment(x).argmax(1)

    def of_class(x):
        scores = segment(x)
        return torch.stack([(scores[:, c] * (winner == c)).sum((1, 2)) for c in range(3)], 1)

    _, clusters = ClusteredLayerCAM(of_class, segment[1], clusterer=2).attribute(
        x, 1, return_clusters=True
    )
    torch.testing.assert_close(clusters.score, of_class(x)[:, 1].detach())
