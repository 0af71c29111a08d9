import pandas as pd
import pytest
import torch
from speed.calls import FORWARD, chosen, make_calls, make_case
from speed.growth import slope
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


def test_some_calls_are_chosen_by_name_with_the_plain_forward_pass():
    calls = dict.fromkeys((FORWARD, "map", "  5 clusters"), print)
    assert list(chosen(calls, ["5 clusters"])) == [FORWARD, "  5 clusters"]
    assert chosen(calls, None) == calls
    with pytest.raises(
        SystemExit, match=r"--methods has \['6 clusters'\]; there are .*'5 clusters'"
    ):
        chosen(calls, ["map", "6 clusters"])
