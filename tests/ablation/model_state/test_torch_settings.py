import sys
import threading
import warnings
from contextlib import contextmanager

import pytest
import torch

from captum_clustered._ablation.model_state.torch_settings import (
    SharedSwitch,
    eager_mode,
    quiet_fallback,
)


def loop_over_an_operation_without_batching_rule():
    def strided(x):
        return x.clone().as_strided_((2,), (1,))

    return torch.func.vmap(strided)(torch.ones(3, 2))


def test_vmaps_advice_is_silenced_inside_and_heard_again_outside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_fallback():
            with quiet_fallback():
                loop_over_an_operation_without_batching_rule()
            loop_over_an_operation_without_batching_rule()
    with pytest.warns(UserWarning, match="batching rule"):
        loop_over_an_operation_without_batching_rule()


def test_the_last_of_several_threads_switches_back():
    log, switch = [], SharedSwitch()

    @contextmanager
    def context():
        log.append("on")
        yield
        log.append("off")

    entered, leave = threading.Event(), threading.Event()

    def other():
        with switch.using(context()):
            entered.set()
            assert leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    with switch.using(context()):
        assert log == ["on"]
    assert log == ["on"]  # the other thread still needs it
    leave.set()
    thread.join()
    assert log == ["on", "off"]


def test_the_switch_goes_back_after_an_exception():
    switch, log = SharedSwitch(), []

    @contextmanager
    def context():
        try:
            yield
        finally:
            log.append("off")

    with pytest.raises(KeyboardInterrupt), switch.using(context()):
        raise KeyboardInterrupt
    assert log == ["off"]


def test_compiled_functions_run_eagerly_inside_and_compiled_again_outside():
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph

    function = torch.compile(lambda x: x + 1, backend=backend)
    with eager_mode():
        assert function(torch.ones(2)).tolist() == [2, 2]
        assert not compilations
    function(torch.ones(2))
    assert len(compilations) == 1


def test_the_compiler_is_not_imported_where_nothing_is_compiled(monkeypatch):
    def refuse(stance):
        raise AssertionError("set_stance was called")

    monkeypatch.setattr(torch.compiler, "set_stance", refuse)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    with eager_mode():
        assert "torch._dynamo" not in sys.modules
