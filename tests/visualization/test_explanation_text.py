from dataclasses import replace

import numpy as np
import pytest

from captum_clustered.explain import ExplainerSettings, Explanation
from captum_clustered.visualization.explanation_text import ExplanationText, percent


def text(score="logit", importance="ablation", **fields):
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
    return ExplanationText(replace(found, **fields))


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
    assert text(target=0).title() == text().title()
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


def test_the_class_and_the_score_that_are_explained():
    assert text().balance().startswith("explained: malignant, by its logit\n")
    two, three = text(score="margin", target=0), text(score="margin", **THREE)
    assert two.balance().startswith(
        "explained: benign, by its margin (logit of benign minus logit of malignant; above 0: "
        "benign is most probable)\n"
    )
    assert three.balance().startswith(
        "explained: malignant, by its margin (logit of malignant minus the largest other logit; "
        "above 0: malignant is most probable)\n"
    )


def test_the_printed_numbers_add_up_to_the_score():
    # 2.5 + 0.387 = 2.887; 2.037 - (2.887 - 0.86 - 0.104) = 0.114, of which 2.04 - 1.93 is printed.
    assert text(score="margin").balance().split("\n")[1] == (
        "margin 2.04 = +2.89 from clusters that raise it, \u22120.86 from clusters that lower it, "
        "\u22120.10 left with every cluster removed, +0.11 from clusters acting together"
    )


def test_what_clusters_do_is_said_even_if_it_is_zero_and_the_rest_is_not():
    given = text(importances=np.array([2.0, 0.0, 0.0]), baseline_score=0.001).explanation
    alone = ExplanationText(replace(given, score=2.0))
    assert alone.balance().split("\n")[1] == (
        "logit 2.00 = +2.00 from clusters that raise it, 0.00 from clusters that lower it"
    )


def test_shapley_values_leave_nothing_to_clusters_acting_together():
    exact = text(importance="shapley", score="margin", baseline_score=0.01)
    assert exact.balance().split("\n")[1] == (
        "margin 2.04 = +2.89 from clusters that raise it, \u22120.86 from clusters that lower it, "
        "+0.01 left with every cluster removed"
    )
    assert exact.effect(1) == "lowers the margin by 0.86"
    assert exact.axis() == "added to the\nmargin, in logits"
    assert "(\u2212), by their Shapley value. " in exact.caption()


def test_small_numbers_have_more_decimals():
    given = text(importances=np.array([2e-5, 0, -1e-5])).explanation
    small = ExplanationText(replace(given, score=1e-5))
    assert small.effect(2) == "lowers the logit by 0.000010"
    # Beside a large score, four more than it has.
    assert ExplanationText(replace(given, score=0.98)).effect(0) == "raises the logit by 0.000020"
    assert ExplanationText(replace(given, score=98.0)).effect(0) == "raises the logit by 0.0000"


def test_clusters_that_were_saved_are_not_numbered_for_the_image():
    settings = ExplainerSettings(layer="conv", clusters=(0, 1, 2))
    assert text(settings=settings).caption().startswith("3 clusters of channels. Bars: ")


def test_cells_that_are_not_square():
    assert text().caution(False) == (
        "One cell of a map is 1/14 of the image's width and 1/7 of its height: an outline is not "
        "the border of a lesion or an object."
    )
    assert "of the seen part's width" in text(seen=(0.0, 0.25, 1.0, 0.75)).caution(False)
