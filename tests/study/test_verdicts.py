import math

import numpy as np
import pandas as pd
import pytest
from study.stability import sensitivity_ratios
from study.tables import paper_table, sensitivity_table, verdicts_table
from study.verdicts import interval_by_patient, verdict, verdicts

from captum_clustered.comparison import Comparison


def comparison(values, directions):
    """Of {metric: {method: values}}, compared with LayerGradCam."""
    methods = list(next(iter(values.values())))
    rows = [
        {"image": image, "method": method, "metric": metric, "value": value}
        for metric, by_method in values.items()
        for method, found in by_method.items()
        for image, value in enumerate(found)
    ]
    return Comparison(
        frame=pd.DataFrame(rows),
        failures=pd.DataFrame(),
        directions=directions,
        methods=methods,
        controls=["random"],
        reference="LayerGradCam",
        metric_seconds=pd.DataFrame(),
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 9.0, "better"),
        (0.0, 9.0, "not worse"),
        (-4.9, -1.0, "not worse"),  # worse, but by less than counts
        (-5.0, -1.0, "worse"),
        (-5.0, 1.0, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high, 5.0) == expected


def test_an_interval_draws_patients():
    generator = np.random.default_rng(0)
    values = generator.normal(1, 1, 40)
    one_each = interval_by_patient(values, [str(i) for i in range(40)])
    # The same patients, each with four images that are all alike.
    four_each = interval_by_patient(np.repeat(values, 4), [str(i // 4) for i in range(160)])
    assert four_each == pytest.approx(one_each)
    as_images = interval_by_patient(np.repeat(values, 4), [str(i) for i in range(160)])
    assert np.diff(as_images) < 0.7 * np.diff(four_each)


def test_intervals_of_too_little():
    assert interval_by_patient(np.array([2.0, 2.0]), ["a", "b"]) == (2.0, 2.0)
    assert math.isnan(interval_by_patient(np.array([1.0, 2.0]), ["a", "a"])[0])


def test_a_lower_drop_is_an_improvement():
    drops = np.linspace(20, 40, 10)
    found = comparison(
        {
            "average drop": {
                "mine": drops - np.linspace(9, 11, 10),
                "LayerGradCam": drops,
                "random": drops + 20,
            },
            "unheard of": {"mine": drops, "LayerGradCam": drops, "random": drops},
        },
        {"average drop": "lower", "unheard of": None},
    )
    rows = verdicts(found, [str(i) for i in range(10)]).set_index("method")
    assert rows.loc["mine", "difference"] == pytest.approx(-10)
    assert rows.loc["mine", "low"] < -10 < rows.loc["mine", "high"]
    assert dict(rows["verdict"]) == {"mine": "better", "random": "worse"}
    table = verdicts_table(found, [str(i) for i in range(10)])
    assert "average drop ↓" in table
    assert "*random*" in table


def test_the_papers_table():
    found = comparison(
        {
            "average drop": {"mine": [10, 20], "LayerGradCam": [30, 30], "random": [80, 90]},
            "increase in confidence": {"mine": [0, 100], "LayerGradCam": [0, 0], "random": [0, 0]},
        },
        {"average drop": "lower", "increase in confidence": "higher"},
    )
    lines = [line.replace(" ", "") for line in paper_table(found).splitlines()]
    assert lines[0] == "|method|averagedrop,%↓|increaseinconfidence,%↑|"
    assert lines[2] == "|mine|15.0|50.0|"
    assert lines[4] == "|*random*|85.0|0.0|"


class TestSensitivity:
    @pytest.fixture
    def found(self):
        return comparison(
            {
                # Ratios 2, 2, 8 and, left out, one of an empty map and one of a still reference.
                "max-sensitivity": {
                    "mine": [0.2, 0.4, 0.8, 9, 1],
                    "LayerGradCam": [0.1, 0.2, 0.1, 0.1, 0.0],
                    "random": [0.0, 0.0, 0.0, 0.0, 0.0],
                },
                "empty map": {
                    "mine": [0, 0, 0, 1, 0],
                    "LayerGradCam": [0, 0, 0, 0, 0],
                    "random": [0, 0, 0, 0, 0],
                },
            },
            {"max-sensitivity": "lower", "empty map": None},
        )

    def test_it_is_a_median_ratio_and_empty_maps_are_counted(self, found):
        rows = sensitivity_ratios(found).set_index("method")
        assert rows.loc["mine", "ratio"] == pytest.approx(2)
        assert list(rows.loc["mine", ["pairs", "empty", "left_out"]]) == [3, 1, 2]
        assert rows.loc["LayerGradCam", "ratio"] == 1

    def test_what_never_moves_has_the_ratio_zero(self, found):
        assert sensitivity_ratios(found).set_index("method").loc["random", "ratio"] == 0
        assert "*random*" in sensitivity_table(found)

    def test_without_the_metric_there_is_no_table(self):
        other = comparison({"IoU": {"LayerGradCam": [1.0]}}, {"IoU": "higher"})
        assert sensitivity_table(other) == ""
        assert verdicts_table(other, ["a"]) == ""
