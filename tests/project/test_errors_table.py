"""Each row of docs/errors.md is what happens."""

import re
from pathlib import Path

import pytest
import torch
from nets import MlpHead, images
from torch import nn

from captum_clustered import ClusteredLayerCAM, InputAttribution, scores, tokens_to_map
from captum_clustered.metrics import average_drop

TABLE = Path(__file__).parents[2] / "docs" / "errors.md"


class Net(MlpHead):
    """With layers that a score cannot be explained by."""

    def __init__(self):
        super().__init__()
        self.unused, self.flat, self.whole = nn.ReLU(), nn.Identity(), nn.Identity()
        self.double()

    def forward(self, x):
        self.flat(x.flatten())
        self.whole(x.long())
        return super().forward(x)


def attribute(layer="conv", inputs=None, target=1, forward=None, construct=None, **arguments):
    net = Net()
    cam = ClusteredLayerCAM(
        forward(net) if forward else net, net.get_submodule(layer), **(construct or {})
    )
    return cam.attribute(images() if inputs is None else inputs, target, **arguments)


def fit(inputs, construct=None, then=None):
    net = Net()
    cam = ClusteredLayerCAM(net, net.conv, **(construct or {})).fit(inputs)
    return cam.attribute(images(), 1, **(then or {}))


def construct(**arguments):
    return attribute(construct=arguments)


NAN = images() * float("nan")
MISTAKES = {
    "`layer` is a name": lambda: ClusteredLayerCAM(Net(), "conv"),
    "`layer` is not used by the model": lambda: attribute("unused"),
    "`layer` has no dimension of examples": lambda: attribute("flat"),
    "`layer` has integers alone": lambda: attribute("whole"),
    "the layer's activations are not finite": lambda: attribute(inputs=NAN),
    "`inputs` is a list": lambda: attribute(inputs=[images()]),
    "`inputs` is an empty batch": lambda: attribute(inputs=images(n=0)),
    "`target` is missing": lambda: attribute(target=None),
    "`target` is out of range": lambda: attribute(target=3),
    "`target` is of the wrong length": lambda: attribute(target=[0, 1]),
    "the model returns a dictionary": lambda: attribute(
        forward=lambda net: lambda x: {"logits": net(x)}
    ),
    "the model reduces over the batch": lambda: attribute(
        forward=lambda net: lambda x: net(x).sum(), target=None
    ),
    "`grad_kwargs` is given": lambda: attribute(grad_kwargs={}),
    "`clusterer` is of no accepted kind": lambda: construct(clusterer="ward"),
    "`clusterer` is not positive": lambda: construct(clusterer=0),
    "fixed labels for another layer": lambda: construct(clusterer=torch.tensor([0, 1, 1])),
    "fixed labels that are no labels": lambda: construct(clusterer=torch.rand(6)),
    "a callable that returns no labels": lambda: construct(clusterer=lambda rows: rows),
    "`scaling` is unknown": lambda: construct(scaling="mass"),
    "`importance` is unknown": lambda: construct(importance="gradient"),
    "`n_clusterings` is not positive": lambda: construct(n_clusterings=0),
    "`n_clusterings` of fixed labels": lambda: construct(
        n_clusterings=5, clusterer=torch.arange(6)
    ),
    "`channel_dim` is the dimension of examples": lambda: construct(channel_dim=0),
    "`channel_dim` is beyond the layer's": lambda: construct(channel_dim=4),
    "`layer_baselines` does not broadcast": lambda: attribute(layer_baselines=torch.zeros(7)),
    "`layer_baselines` is too long": lambda: attribute(layer_baselines=(0, 0)),
    "`perturbations_per_eval` is not positive": lambda: attribute(perturbations_per_eval=0),
    'a delta of `scaling="drop"`': lambda: attribute(
        construct={"scaling": "drop"}, return_convergence_delta=True
    ),
    "`fit` without a batch": lambda: fit([]),
    "`fit` with fixed labels": lambda: fit(images(), {"clusterer": torch.arange(6)}),
    "`fit` to the layer's output, used for its input": lambda: fit(
        images(), then={"attribute_to_layer_input": True}
    ),
    "`InputAttribution` of what is no layer attribution": lambda: InputAttribution(Net()),
    "`InputAttribution` of a layer that is no map": lambda: InputAttribution(
        (lambda net: ClusteredLayerCAM(net, net.head[1]))(Net())
    ).attribute(images(), 1),
    "`tokens_to_map` with another number of tokens": lambda: tokens_to_map(
        torch.zeros(1, 1, 197), (14, 14)
    ),
    "a probability of a single logit": lambda: scores.probability(lambda x: x[:, :1])(
        torch.zeros(3, 2)
    ),
    "`average_drop` of logits": lambda: average_drop(
        Net(), 20 * images(), torch.rand(3, 1, 6, 5), target=1
    ),
    "`average_drop` with maps of another batch": lambda: average_drop(
        scores.probability(Net()), images(), torch.rand(2, 1, 6, 5), target=1
    ),
}


def rows():
    """Mistake, exception and message of each row of the table."""
    for line in TABLE.read_text().splitlines():
        match = re.fullmatch(r"\| (.+?) \| `(\w+)` \| (.+) \|", line)
        if match:
            mistake, exception, message = match.clusters()
            yield mistake, exception, message.replace(r"\|", "|").replace(r"\*", "*")


def test_the_table_has_a_row_for_each_mistake_and_no_other():
    assert [mistake for mistake, _, _ in rows()] == list(MISTAKES)


@pytest.mark.parametrize(("mistake", "exception", "message"), list(rows()))
def test_the_exception_and_its_message(mistake, exception, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        MISTAKES[mistake]()
    assert type(caught.value).__name__ == exception
    # Line breaks and addresses of functions aside.
    found = re.sub(r"<function .*?>", "<function>", " ".join(str(caught.value).split()))
    assert found == message
