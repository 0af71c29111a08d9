"""What the figure of an explanation says in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.scores import SCORES
from captum_clustered.visualization.canvas import shortened

if TYPE_CHECKING:
    from captum_clustered.explain import Explanation

# Clusters that have a picture: no more than these, and none whose importance is a smaller share of
# the largest.
MAX_PICTURES, LEAST_SHARE = 6, 0.05
_NAME = 30
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class ExplanationText:
    """
    The words and numbers of one explanation: one name for the score, one number of decimals.

    Args:

        explanation (Explanation): What is drawn.
        pictured (Sequence[int]): The clusters that have a picture.
    """

    def __init__(self, explanation: Explanation, pictured: Sequence[int]) -> None:
        self.explanation = explanation
        self.pictured = pictured
        settings = explanation.settings
        self.score = SCORES[settings.score].label
        self.importance = IMPORTANCES[settings.importance].label
        largest = max(abs(explanation.score), np.abs(explanation.importances).max(initial=0))
        # Two decimals, and more where all numbers are small.
        self.decimals = max(2, 1 - math.floor(math.log10(largest))) if largest else 2

    def number(self, value: float, sign: str = "+") -> str:
        """Return a number with the decimals of the figure, and a minus as wide as the plus."""
        rounded = round(float(value), self.decimals)
        sign = sign if rounded else ""
        return f"{rounded + 0.0:{sign}.{self.decimals}f}".replace("-", "\u2212")

    def title(self) -> str:
        """Say what was predicted, how probable it is, and which class is explained."""
        found, name = self.explanation, Path(self.explanation.image).name
        target = found.target
        if found.settings.multi_label:
            others = self._names(index for index in found.findings if index != target)
            said = f"explained: {self._names([target])}"
            said += f", also found: {others}" if others else ""
        else:
            top = [int(i) for i in np.argsort(-found.probabilities, kind="stable")[:2]]
            said = f"predicted: {self._names(top)}"
            if target not in top:
                said += f"; explained: {self._names([target])}"
            elif target != top[0]:
                said += f"; explained: {self._name(target)}"
        return f"{shortened(name, 60)}   {said}" if name else said

    def balance(self) -> str:
        """Define the score, and say which clusters' drops and what else add up to it."""
        found = self.explanation
        drops = found.importances[found.sizes > 0]
        parts = [
            (drops[drops > 0].sum(), f"for {self._name(found.target)}"),
            (drops[drops < 0].sum(), "against"),
            (found.baseline_score, "without any cluster"),
        ]
        # As printed, so that a reader who adds them up gets the score.
        rest = round(found.score, self.decimals) - sum(round(p, self.decimals) for p, _ in parts)
        # Shapley values share all interaction among the clusters.
        kind = "rounding" if IMPORTANCES[found.settings.importance].is_complete else "interaction"
        if kind == "interaction" or round(rest, self.decimals):
            parts.append((rest, kind))
        terms = ", ".join(f"{self.number(value)} {name}" for value, name in parts)
        return f"{self._definition()}\n{terms} = {self.score} {self.number(found.score, '-')}"

    def effect(self, cluster: int) -> str:
        """Say what a cluster is worth."""
        value = float(self.explanation.importances[cluster])
        if IMPORTANCES[self.explanation.settings.importance].is_complete:
            return f"{self.importance} {self.number(value)}"
        verb = "lowers" if value > 0 else "raises"
        return f"removing it {verb} the {self.score} by {self.number(abs(value), '-')}"

    def axis(self) -> str:
        """Name what the bars measure."""
        unit = SCORES[self.explanation.settings.score].unit
        return f"{self.importance} of the {self.score}{f', in {unit}' if unit else ''}"

    def caption(self) -> str:
        """Say what the bars and the pictures of clusters are, and which are left out."""
        found, settings = self.explanation, self.explanation.settings
        clusters = found.by_importance()
        n_all, n = len(clusters), len(self.pictured)
        text = f"{n_all} cluster{'' if n_all == 1 else 's'} of channels"
        if n:
            largest = "the largest" if n == 1 else f"the {_count(n)} largest"
            text += (
                f", with pictures of {'all' if n == n_all else largest}: where each is active, on "
                "its own scale, paler the less it is worth"
            )
        if others := [j for j in clusters if j not in self.pictured]:
            total = self.number(found.importances[others].sum())
            small = f", each below {LEAST_SHARE:.0%} of the largest," if n < MAX_PICTURES else ""
            text += f"; the other {_count(len(others))}{small} together {total}"
        if settings.n_clusterings > 1:
            text += (
                f"; those of seed {settings.seed}, one of {settings.n_clusterings} clusterings "
                "that the map averages"
            )
        if settings.fused:
            text += f"; those of layer {shortened(settings.layers[-1], 40)}"
        if settings.views:
            text += "; those of the input itself, not of the views"
        return text

    def foot(self) -> str:
        """Say how fine the map is, and how it was made."""
        found, settings = self.explanation, self.explanation.settings
        lines = [
            f"One cell of the map is {self._cell()}: an "
            "outline is not the border of a lesion or an object. A prediction is not a diagnosis."
        ]
        where = "input of layer" if settings.layer_input else "layer"
        facts = [f"{shortened(found.model, 40)}, {where} {shortened(settings.layer_names, 40)}"]
        if settings.fused:
            facts.append(f"maps: {settings.fused}")
        if settings.views:
            facts.append(f"maps: means over the views {', '.join(settings.views)}")
        if found.preprocessing:
            facts.append(f"preprocessing: {found.preprocessing}")
        return "\n".join([*lines, "   |   ".join(facts)])

    def _cell(self) -> str:
        found = self.explanation
        if found.map_affine is not None:
            # The lengths of the steps along each axis.
            sides = np.linalg.norm(found.map_affine[:3, :3], axis=0)
            return f"{' x '.join(f'{side:.3g}' for side in sides)} mm"
        height, width = found.attribution.shape
        whole = found.seen == (0.0, 0.0, 1.0, 1.0)
        cell = f"1/{width} of {'the image' if whole else 'the seen part'}'s width and "
        return cell + ("height" if height == width else f"1/{height} of its height")

    def _definition(self) -> str:
        found, name = self.explanation, self._name(self.explanation.target)
        if found.settings.score != "margin":
            return f"{self.score} of {name}"
        other = "the largest other logit"
        if len(found.probabilities) == 2:
            other = self._name(1 - found.target)
        return f"margin: {name} minus {other}, in logits"

    def _name(self, index: int) -> str:
        return shortened(self.explanation.class_name(index), _NAME)

    def _names(self, classes: Iterable[int]) -> str:
        return ", ".join(
            f"{self._name(i)} ({percent(float(self.explanation.probabilities[i]))})"
            for i in classes
        )


def percent(probability: float) -> str:
    """Return a probability in per cent, which is never said to be certain."""
    if probability >= 0.9995:
        return ">99.9 %"
    return "<0.1 %" if probability < 0.0005 else f"{probability * 100:.1f} %"


def _count(n: int) -> str:
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)
