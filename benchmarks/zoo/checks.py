"""Explain an architecture and compare with plain hooks."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from captum_clustered import ClusteredLayerCAM
from captum_clustered.models import usual_layer
from captum_clustered.tokens import token_grid, tokens_to_map
from zoo.cases import Case, family_of, path_of, randomize

__all__ = ["Finding", "check"]

# Of the largest drop.
TOLERANCE = 1e-3
# Drops that are smaller than this part of the score are rounding.
ROUNDING = 1e-6
ROUNDS = 3


@dataclass(frozen=True)
class Finding:
    """
    What a case showed.

    Attributes:

        library, family, name: The architecture.
        score, layer, channel_dim, at_input: What was explained; ``layer`` is Python code.
        n_prefix (int or None): Prefix tokens, None if the layer is not a sequence of tokens.
        is_usual (bool): Whether ``find_layer`` chose the layer.
        shape (tuple[int, ...]): The layer's.
        passes (int): Forward passes of the network, one of which is the least.
        per_ablation (str): Why the network ran once for each ablation, empty if it did not.
        error (float): Largest error of a drop, as a part of the largest drop.
        cost (float): Processor time of ``attribute`` as a multiple of a plain forward pass.
        faults (list[str]): What is wrong.
    """

    library: str
    family: str
    name: str
    score: str
    layer: str
    channel_dim: int
    at_input: bool
    n_prefix: int | None
    is_usual: bool
    shape: tuple[int, ...] = ()
    passes: int = 0
    per_ablation: str = ""
    error: float = float("nan")
    cost: float = float("nan")
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Subject:
    """A network, its score and layer, and inputs."""

    net: nn.Module
    forward_func: Callable[[Tensor], Any]
    layer: nn.Module
    inputs: Tensor
    target: int | None
    channel_dim: int
    at_input: bool

    def cam(self, n_clusters: int) -> ClusteredLayerCAM:
        return ClusteredLayerCAM(
            self.forward_func, self.layer, clusterer=n_clusters, channel_dim=self.channel_dim
        )

    def scores(self) -> Tensor:
        """Return the target's scores, without gradients."""
        with torch.no_grad():
            output = self.forward_func(self.inputs)
        return output if self.target is None else output[:, self.target]


def check(case: Case, n_clusters: int = 4, timed: bool = True) -> Finding:
    """
    Run a case.

    Raises:

        Exception: If the network cannot be built, or fails without an explanation.
    """
    torch.manual_seed(0)
    net, inputs = case.build(), case.inputs()
    randomize(net, case.call(net), inputs)
    name, channel_dim, is_usual = case.layer, case.channel_dim, not case.layer
    if is_usual:
        usual = usual_layer(net, inputs)
        name, channel_dim = path_of(net, usual.name), usual.kind.channel_dim
    layer = eval(f"net.{name}", {"net": net})  # noqa: S307 - the code is the zoo's
    subject = _Subject(
        net, case.forward_func(net), layer, inputs, case.target, channel_dim, case.at_input
    )
    finding = Finding(
        case.library,
        case.family or family_of(net),
        case.name,
        case.score,
        name,
        channel_dim,
        case.at_input,
        None,
        is_usual,
    )
    finding = _explained(finding, subject, n_clusters, case.n_prefix)
    if finding.error > TOLERANCE and not finding.per_ablation:
        # Float32 may be too coarse for small drops of large scores. What is right in float64,
        # where the same code runs, is rounding.
        exact = replace(subject, **_in_double(case, net, name, inputs))
        finding = replace(finding, error=_explained(finding, exact, n_clusters, 0).error)
    if not finding.error <= TOLERANCE and not finding.faults:
        finding.faults.append(f"drops differ by {finding.error:.1e} of the largest")
    if timed and not finding.faults:
        finding = replace(finding, cost=_cost(subject, finding))
    return finding


def _in_double(case: Case, net: nn.Module, name: str, inputs: Tensor) -> dict[str, Any]:
    double = copy.deepcopy(net).double()
    layer = eval(f"net.{name}", {"net": double})  # noqa: S307
    return {
        "net": double,
        "forward_func": case.forward_func(double),
        "layer": layer,
        "inputs": inputs.double(),
    }


def _explained(finding: Finding, subject: _Subject, n_clusters: int, n_prefix: int) -> Finding:
    with _counted(subject.net) as calls:
        before = subject.scores()
    calls_of_forward = len(calls)
    state = _state(subject.net)
    inputs = subject.inputs.clone()
    rng = torch.get_rng_state()
    faults: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught, _counted(subject.net) as calls:
            warnings.simplefilter("always")
            attribution, clusters = subject.cam(n_clusters).attribute(
                subject.inputs,
                subject.target,
                attribute_to_layer_input=subject.at_input,
                return_clusters=True,
            )
    except Exception as raised:  # noqa: BLE001 - a finding
        return replace(finding, faults=_refused(subject, raised))
    messages = [str(w.message) for w in caught]
    per_ablation = [m for m in messages if "ran the model once for each ablation" in m]
    faults += [f"warns: {m}" for m in messages if "channel_dim" in m]
    faults += _changes(state, _state(subject.net))
    if not torch.equal(torch.get_rng_state(), rng):
        faults.append("random numbers used")
    if not torch.equal(inputs, subject.inputs):
        faults.append("the input changed")
    if not torch.equal(subject.scores(), before):
        faults.append("the plain forward pass gives something else afterwards")
    with torch.random.fork_rng():
        expected, shape = _drops_by_hooks(subject, clusters.labels, before)
    scale = float(expected.abs().max())
    if scale <= ROUNDING * float(before.abs().max()):
        faults.append("nothing depends on the layer: this proves nothing")
    error = float((clusters.importances.double() - expected).abs().max()) / max(scale, 1e-300)
    tokens = None
    if len(shape) == 3 and subject.channel_dim == -1:
        tokens, side = n_prefix, token_grid(shape[1] - n_prefix)
        if side is not None:
            tokens += side[1]
            tokens_to_map(attribution, (side[0], side[0]), n_prefix=tokens)
    return replace(
        finding,
        shape=shape,
        n_prefix=tokens,
        passes=len(calls) // max(1, calls_of_forward),
        per_ablation=per_ablation[0].split("torch.func.vmap (")[-1] if per_ablation else "",
        error=error,
        faults=faults,
    )


def _drops_by_hooks(
    subject: _Subject, labels: Tensor, scores: Tensor
) -> tuple[Tensor, tuple[int, ...]]:
    """Set each cluster to zero in a forward pass of its own, with a hook on the last call."""
    shapes: list[tuple[int, ...]] = []
    register = (
        subject.layer.register_forward_pre_hook
        if subject.at_input
        else subject.layer.register_forward_hook
    )

    def tensor_of(*call: Any) -> Tensor:
        tensor = call[1][0] if subject.at_input else call[2]
        if not isinstance(tensor, Tensor):
            raise TypeError("The oracle needs a layer of one tensor.")
        return tensor

    handle = register(lambda *call: shapes.append(tuple(tensor_of(*call).shape)))
    subject.scores()
    handle.remove()
    drops = []
    for cluster in range(int(labels.max()) + 1):
        seen: list[None] = []

        def ablate(*call: Any, cluster: int = cluster, seen: list[None] = seen) -> Any:
            seen.append(None)
            if len(seen) < len(shapes):
                return None
            moved = tensor_of(*call).movedim(subject.channel_dim, 1).clone()
            moved[labels == cluster] = 0
            return moved.movedim(1, subject.channel_dim)

        handle = register(ablate)
        drops.append(scores.double() - subject.scores().double())
        handle.remove()
    return torch.stack(drops, 1), shapes[-1]


def _refused(subject: _Subject, error: Exception) -> list[str]:
    """Say what was raised, and whether LayerGradCam raises as well."""
    text = f"{type(error).__name__}: {error}"
    try:
        LayerGradCam(subject.forward_func, subject.layer).attribute(
            subject.inputs.clone().requires_grad_(),
            subject.target,
            attribute_to_layer_input=subject.at_input,
        )
    except Exception as other:  # noqa: BLE001
        return [f"raises {text}; so does LayerGradCam: {type(other).__name__}: {other}"]
    return [f"raises {text}; LayerGradCam works"]


@contextmanager
def _counted(net: nn.Module) -> Any:
    calls: list[None] = []
    handle = net.register_forward_pre_hook(lambda *_: calls.append(None))
    try:
        yield calls
    finally:
        handle.remove()


def _state(net: nn.Module) -> dict[str, Any]:
    """Return copies of all tensors, and what else marks a module as changed."""
    state: dict[str, Any] = {}
    for name, module in net.named_modules():
        state[f"mode and hooks of {name}"] = (
            module.training,
            *(len(getattr(module, f"_{kind}_hooks")) for kind in ("forward", "forward_pre")),
            *(len(getattr(module, f"_{kind}_hooks")) for kind in ("backward", "backward_pre")),
        )
        state[f"attributes of {name}"] = {k: id(v) for k, v in vars(module).items()}
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        state[name] = (tensor.detach().clone(), tensor.requires_grad, tensor.grad is None)
    return state


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    def same(a: Any, b: Any) -> bool:
        if isinstance(a, tuple) and isinstance(a[0], Tensor):
            return a[1:] == b[1:] and torch.equal(_bits(a[0]), _bits(b[0]))
        return bool(a == b)

    names = [n for n in before.keys() | after.keys() if n not in before or n not in after]
    names += [n for n in before.keys() & after.keys() if not same(before[n], after[n])]
    return [f"changed: {name}" for name in sorted(names)]


def _bits(tensor: Tensor) -> Tensor:
    # NaN equals NaN.
    return tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor.reshape(1)


def _cost(subject: _Subject, finding: Finding) -> float:
    """Return the median ratio of rounds that run both in turn."""

    def seconds(call: Callable[[], object]) -> float:
        start = time.thread_time()
        call()
        return time.thread_time() - start

    cam = subject.cam(10)

    def attribute() -> None:
        with suppress(UserWarning), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cam.attribute(subject.inputs, subject.target, attribute_to_layer_input=subject.at_input)

    rounds = 1 if finding.per_ablation else ROUNDS
    attribute()
    return statistics.median(seconds(attribute) / seconds(subject.scores) for _ in range(rounds))
