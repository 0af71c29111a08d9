"""What the figure of an explanation says in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captum_clustered._ablation.coalitions import IMPORTANCES
from captum_clustered.scores import SCORES
from captum_clustered.visualization.canvas import shortened

if TYPE_CHECKING:
    from captum_clustered.explain import Explanation

# Clusters that have a picture: no more than these, and none whose importance is a smaller share of
# the largest but the strongest one of each sign.
_MAX_PICTURES, _LEAST_SHARE = 6, 0.02
_NAME = 30
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class ExplanationText:
    """
    The words and numbers of one explanation: one name for the score, one number of decimals.

    Args:

        explanation (Explanation): What is drawn.

    Attributes:

        pictured (list[int]): The clusters that have a picture, in the order of the bars.
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        settings = explanation.settings
        self.score = SCORES[settings.score].label
        largest = float(np.abs(explanation.importances).max(initial=0))
        # The largest importance has two digits, but no more than four are added for its sake.
        self.decimals = max(2, min(_decimals(largest), _decimals(abs(explanation.score)) + 4))
        self.pictured = self._pictured()

    def number(self, value: float, sign: str = "+") -> str:
        """Return a number with the decimals of the figure, and a minus as wide as the plus."""
        rounded = round(float(value), self.decimals)
        sign = sign if rounded else ""
        return f"{rounded + 0.0:{sign}.{self.decimals}f}".replace("-", "\u2212")

    def title(self) -> str:
        """Say what was predicted, and how probable it and the explained class are."""
        found, name = self.explanation, Path(self.explanation.image).name
        target = found.target
        if found.settings.multi_label:
            others = self._names(index for index in found.findings if index != target)
            said = f"explained: {self._names([target])}"
            said += f", also found: {others}" if others else ""
        else:
            top = [int(i) for i in np.argsort(-found.probabilities, kind="stable")[:2]]
            said = f"predicted: {self._names(top)}"
            said += "" if target in top else f"; explained: {self._names([target])}"
        return f"{shortened(name, 60)}   {said}" if name else said

    def balance(self) -> str:
        """Say what is explained, and what the clusters and all else add to the score."""
        found = self.explanation
        drops = found.importances[found.sizes > 0]
        clusters = [
            (drops[drops > 0].sum(), "from clusters that raise it"),
            (drops[drops < 0].sum(), "from clusters that lower it"),
        ]
        others = [(found.baseline_score, "left with every cluster removed")]
        # As printed, so that a reader who adds them up gets the score.
        summed = sum(round(part, self.decimals) for part, _ in [*clusters, *others])
        rest = round(found.score, self.decimals) - summed
        # Shapley values share what clusters do together among them.
        is_complete = IMPORTANCES[found.settings.importance].is_complete
        others.append((rest, "from rounding" if is_complete else "from clusters acting together"))
        parts = clusters + [part for part in others if round(part[0], self.decimals)]
        terms = ", ".join(f"{self.number(value)} {name}" for value, name in parts)
        return f"{self._definition()}\n{self.score} {self.number(found.score, '-')} = {terms}"

    def effect(self, cluster: int) -> str:
        """Say what a cluster is worth."""
        value = float(self.explanation.importances[cluster])
        verb = "raises" if value > 0 else "lowers"
        return f"{verb} the {self.score} by {self.number(abs(value), '-')}"

    def axis(self) -> str:
        """Name what the bars measure."""
        unit = SCORES[self.explanation.settings.score].unit
        return f"added to the\n{self.score}{f', in {unit}' if unit else ''}"

    def caption(self) -> str:
        """Say what the bars and the pictures of clusters are, and which are left out."""
        found, settings = self.explanation, self.explanation.settings
        clusters = found.by_importance()
        n_all, n = len(clusters), len(self.pictured)
        criterion = IMPORTANCES[settings.importance].criterion
        numbered = ", numbered for this image alone" if settings.clusters is None else ""
        sentences = [
            f"{n_all} cluster{'' if n_all == 1 else 's'} of channels{numbered}",
            f"Bars: what each adds (+) or takes away (\u2212), by {criterion}",
        ]
        if n:
            sentences += [
                f"{'The one in bold has a picture' if n == 1 else 'Those in bold have pictures'}: "
                "where the cluster is active, outlined at a quarter of its own largest value",
                "A picture is paler the smaller the cluster's effect",
            ]
        others = found.importances[[j for j in clusters if j not in self.pictured]]
        if n and len(others):
            sums = (others[others > 0].sum(), others[others < 0].sum())
            said = " and ".join(self.number(x) for x in sums if round(x, self.decimals))
            verb = "others add" if len(others) > 1 else "other adds"
            sentences.append(f"The {_count(len(others))} {verb} {said or self.number(0)}")
        if settings.n_clusterings > 1:
            sentences.append(
                f"The clusters are those of seed {settings.seed}, one of "
                f"{settings.n_clusterings} clusterings that the map averages"
            )
        if settings.fused:
            sentences.append(
                f"The clusters are those of layer {shortened(settings.layers[-1], 40)}"
            )
        if settings.views:
            sentences.append("The clusters are those of the input itself, not of the views")
        return ". ".join(sentences) + "."

    def caution(self, has_own_scales: bool) -> str:
        """Say how fine the maps are, and what cannot be compared."""
        text = (
            f"One cell of a map is {self._cell()}: an outline is not the border of a lesion or an "
            "object."
        )
        if has_own_scales:
            text += " Colors of different maps or figures cannot be compared."
        return text

    def foot(self) -> str:
        """Say how the map was made."""
        found, settings = self.explanation, self.explanation.settings
        where = "input of layer" if settings.layer_input else "layer"
        facts = [f"{shortened(found.model, 40)}, {where} {shortened(settings.layer_names, 40)}"]
        if settings.fused:
            facts.append(f"maps: {settings.fused}")
        if settings.views:
            facts.append(f"maps: means over the views {', '.join(settings.views)}")
        if found.preprocessing:
            facts.append(f"preprocessing: {found.preprocessing}")
        return "   |   ".join(["A prediction is not a diagnosis", *facts])

    def _pictured(self) -> list[int]:
        values = self.explanation.importances
        visible = [
            j for j in self.explanation.by_importance() if round(float(values[j]), self.decimals)
        ]
        # Whatever is for and against the class can be seen.
        chosen = {j for j in visible[:1] if values[j] > 0}
        chosen |= {j for j in visible[-1:] if values[j] < 0}
        least = _LEAST_SHARE * np.abs(values).max(initial=0)
        for j in sorted(visible, key=lambda j: -abs(float(values[j]))):
            if len(chosen) < _MAX_PICTURES and abs(values[j]) >= least:
                chosen.add(j)
        return [j for j in visible if j in chosen]

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
            return f"explained: {name}, by its {self.score}"
        other = "the largest other logit"
        if len(found.probabilities) == 2:
            other = f"logit of {self._name(1 - found.target)}"
        return (
            f"explained: {name}, by its margin (logit of {name} minus {other}; above 0: {name} is "
            "most probable)"
        )

    def name(self) -> str:
        """Return the name of the class that is explained."""
        return self._name(self.explanation.target)

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


def _decimals(value: float) -> int:
    """Return how many decimals show two digits of a value."""
    return 1 - math.floor(math.log10(value)) if value else 2


def _count(n: int) -> str:
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)
