import threading
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from captum_clustered._ablation.model_state.random_numbers import PassNumbers, PrivateNumbers

CPU = torch.device("cpu")


def test_numbers_are_those_of_the_seed_and_the_global_generator_stays():
    before = torch.get_rng_state()
    with PrivateNumbers(seed=3):
        found = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, torch.rand(4, generator=torch.Generator().manual_seed(3)))


def test_without_a_seed_numbers_are_those_that_would_come_next():
    with PrivateNumbers() as numbers:
        first = torch.randn(4)
        numbers.restart()
        again = torch.randn(4)
        with PrivateNumbers():
            inner = torch.randn(4)
        second = torch.randn(4)
    # Inner numbers go on where the outer ones are, and do not move them.
    assert torch.equal(first, again)
    assert torch.equal(inner, second)
    assert torch.equal(
        torch.cat([first, second]), torch.stack([torch.randn(4) for _ in "ab"]).view(8)
    )


def test_a_generator_that_is_given_is_used():
    given = torch.Generator().manual_seed(5)
    with PrivateNumbers(seed=3) as numbers:
        found = torch.rand(4, generator=given)
    assert not numbers.generators
    assert torch.equal(found, torch.rand(4, generator=given.manual_seed(5)))


@pytest.mark.parametrize("train", [False, True])
def test_fused_dropout(train):
    # The operation that GPUs use exists for the CPU, too.
    before = torch.get_rng_state()
    with PrivateNumbers(seed=0) as numbers:
        values, mask = torch.native_dropout(torch.ones(1000), 0.5, train)
    assert torch.equal(torch.get_rng_state(), before)
    assert bool(numbers.generators) is train
    assert torch.equal(values, mask * (2.0 if train else 1.0))
    assert (400 < mask.sum() < 600) if train else mask.all()


def test_an_operation_without_a_generator_of_its_own_gets_the_private_state(monkeypatch):
    monkeypatch.setattr(
        "captum_clustered._ablation.model_state.random_numbers._with_generator", lambda func: None
    )
    before = torch.get_rng_state()
    with PrivateNumbers(seed=3):
        found = torch.cat([torch.rand(4), torch.rand(4)])
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(found, torch.cat([torch.rand(4, generator=generator) for _ in "ab"]))


@pytest.mark.parametrize("can_draw", [None, True])
def test_passes_that_fail_midway_leave_the_generator(can_draw):
    def passes():
        with numbers.one_pass():
            torch.rand(3)
            raise KeyError("midway")

    numbers, before = PassNumbers(set(), can_draw), torch.get_rng_state()
    with pytest.raises(KeyError, match="midway"):
        numbers.evaluate(passes)
    assert torch.equal(torch.get_rng_state(), before)
    assert numbers.were_drawn


@pytest.mark.skipif(
    not hasattr(TorchDispatchMode, "supports_higher_order_operators"), reason="needs a newer torch"
)
def test_operations_that_take_functions_run():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    q = torch.ones(1, 1, 128, 16)
    with PrivateNumbers(seed=0) as numbers, torch.no_grad(), warnings.catch_warnings():
        # It advises to compile it.
        warnings.simplefilter("ignore")
        found = flex.flex_attention(q, q, q)
    torch.testing.assert_close(found, q)
    assert not numbers.generators


@pytest.mark.parametrize(
    ("draw", "like"), [(torch.rand, torch.rand_like), (torch.randn, torch.randn_like)]
)
def test_numbers_like_a_tensor(draw, like):
    with PrivateNumbers(seed=3):
        found = like(torch.ones(4, dtype=torch.float64))
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(found, draw(4, dtype=torch.float64, generator=generator))


def test_what_is_known_not_to_draw_runs_once_beside_a_thread_that_draws():
    runs = []

    def passes():
        with numbers.one_pass():
            runs.append(1)
            thread = threading.Thread(target=torch.rand, args=(1,))
            thread.start()
            thread.join()

    numbers = PassNumbers(set(), None)
    numbers.evaluate(passes)
    assert len(runs) == 2
    assert numbers.can_draw is False
    numbers = PassNumbers(set(), numbers.can_draw)
    numbers.evaluate(passes)
    assert len(runs) == 3
