import pandas as pd
import pytest
import torch
from speed.calls import FORWARD, chosen, make_calls, make_case
from speed.growth import slope
from speed.settings import precision, prepared, words_of
from speed.timing import ratios, seconds_of


def test_ratios_are_taken_round_by_round():
    table = ratios({FORWARD: [1.0, 2.0, 4.0], "map": [2.0, 2.0, 12.0]}).set_index("method")
    expected = pd.Series({"milliseconds": 2000.0, "ratio": 2.0, "low": 1.0, "high": 3.0})
    pd.testing.assert_series_equal(table.loc["map"], expected, check_names=False)


def test_the_first_round_is_not_counted_and_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in (FORWARD, "map")}
    seconds = seconds_of(calls, 2, torch.device("cpu"))
    assert order == [FORWARD, "map"] * 3
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_slopes_of_power_laws():
    assert slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    # What noise makes negative says nothing.
    assert slope([1, 2, 4], [-1.0, 1.0, 2.0]) == pytest.approx(1)


def test_all_calls_work():
    calls = make_calls(make_case("mobilenet_v2", 1, "cpu", size=32))
    for call in calls.values():
        call()
    assert next(iter(calls)) == FORWARD


def test_a_setting_holds_inside_its_context():
    convolutions = torch.backends.cudnn
    before = convolutions.allow_tf32
    for setting, expected in (("float32", False), ("tf32+bfloat16", True)):
        with precision(setting, torch.device("cpu")):
            assert convolutions.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is expected
            assert torch.is_autocast_enabled("cpu") is expected
        assert convolutions.allow_tf32 is before
        assert not torch.is_autocast_enabled("cpu")


def test_a_setting_changes_the_layout_or_is_refused():
    model, x = torch.nn.Conv2d(2, 2, 3), torch.zeros(1, 2, 4, 4)
    model, x = prepared("tf32+channels_last", model, x)
    for tensor in (model.weight, x):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(SystemExit, match="--settings has 'fp32'; it joins some of"):
        words_of("fp32")


def test_some_calls_are_chosen_by_name_with_the_plain_forward_pass():
    calls = dict.fromkeys((FORWARD, "map", "  5 clusters"), print)
    assert list(chosen(calls, ["5 clusters"])) == [FORWARD, "  5 clusters"]
    assert chosen(calls, None) == calls
    with pytest.raises(
        SystemExit, match=r"--methods has \['6 clusters'\]; there are .*'5 clusters'"
    ):
        chosen(calls, ["map", "6 clusters"])
