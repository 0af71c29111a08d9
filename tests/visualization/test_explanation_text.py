from dataclasses import replace

import numpy as np
import pytest

from captum_clustered.explain import ExplainerSettings, Explanation
from captum_clustered.visualization.explanation_text import ExplanationText, percent


def text(pictured=(), score="logit", importance="ablation", **fields):
    found = Explanation(
        attribution=np.zeros((7, 14)),
        gradcam=None,
        labels=np.arange(3),
        importances=np.array([2.5, -0.86, 0.387]),
        maps=np.zeros((3, 7, 14)),
        sizes=np.ones(3, dtype=int),
        score=2.037,
        baseline_score=-0.104,
        target=1,
        probabilities=np.array([0.115, 0.885]),
        input_image=np.zeros((4, 4, 3), np.uint8),
        class_names={0: "benign", 1: "malignant", 2: "normal"},
        settings=ExplainerSettings(layer="conv", score=score, importance=importance),
    )
    return ExplanationText(replace(found, **fields), pictured)


THREE = {"probabilities": np.array([0.1, 0.3, 0.6])}


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.885, "88.5 %"),
        (0.9994, "99.9 %"),
        (0.9996, ">99.9 %"),
        (1.0, ">99.9 %"),
        (0.0006, "0.1 %"),
        (0.0004, "<0.1 %"),
        (0.0, "<0.1 %"),
    ],
)
def test_no_probability_is_certain(probability, said):
    assert percent(probability) == said


def test_the_title_names_the_prediction_and_its_closest_rival():
    assert text().title() == "predicted: malignant (88.5 %), benign (11.5 %)"
    assert text(target=0).title() == (
        "predicted: malignant (88.5 %), benign (11.5 %); explained: benign"
    )
    assert text(target=0, **THREE).title() == (
        "predicted: normal (60.0 %), malignant (30.0 %); explained: benign (10.0 %)"
    )
    assert text(image="a/b.jpg").title().startswith("b.jpg   predicted: ")


def test_findings_that_do_not_exclude_each_other_are_listed():
    several = {
        "settings": ExplainerSettings(layer="conv", multi_label=True),
        "probabilities": np.array([0.7, 0.9, 0.2]),
    }
    assert text(**several).title() == "explained: malignant (90.0 %), also found: benign (70.0 %)"


def test_the_margin_says_between_which_classes():
    two, three = text(score="margin"), text(score="margin", **THREE)
    assert two.balance().startswith("margin: malignant minus benign, in logits\n")
    assert three.balance().startswith(
        "margin: malignant minus the largest other logit, in logits\n"
    )


def test_the_printed_numbers_add_up_to_the_score():
    # 2.5 + 0.387 = 2.887; 2.037 - (2.887 - 0.86 - 0.104) = 0.114, of which 2.04 - 1.93 is printed.
    assert text(score="margin").balance().split("\n")[1] == (
        "+2.89 for malignant, \u22120.86 against, \u22120.10 without any cluster, "
        "+0.11 interaction = margin 2.04"
    )


def test_shapley_values_leave_no_interaction():
    exact = text(importance="shapley", score="margin", baseline_score=0.01)
    assert exact.balance().split("\n")[1] == (
        "+2.89 for malignant, \u22120.86 against, +0.01 without any cluster = margin 2.04"
    )
    assert exact.effect(1) == "Shapley value \u22120.86"
    assert exact.axis() == "Shapley value of the margin, in logits"


def test_numbers_that_are_all_small_have_more_decimals():
    given = text(importances=np.array([2e-5, 0, -1e-5])).explanation
    small = ExplanationText(replace(given, score=1e-5), ())
    assert small.effect(2) == "removing it raises the logit by 0.000010"


def test_cells_that_are_not_square():
    assert (
        text()
        .foot()
        .startswith("One cell of the map is 1/14 of the image's width and 1/7 of its height: ")
    )
    assert "of the seen part's width" in text(seen=(0.0, 0.25, 1.0, 0.75)).foot()
