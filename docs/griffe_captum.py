"""
Docstrings in Captum's format for mkdocstrings: no file is changed, only what it is given.

Roles of reStructuredText become links or code, ``Examples::`` a section, and an item of
several names on two lines one line.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension

# Where the reference pages have an entry, by the name that docstrings use.
ENTRIES = {
    "ClusteredLayerCAM": "captum_clustered.ClusteredLayerCAM",
    "Clusters": "captum_clustered.Clusters",
    "InputAttribution": "captum_clustered.InputAttribution",
    "tokens_to_map": "captum_clustered.tokens_to_map",
    "captum_clustered.scores": "captum_clustered.scores",
    "Comparison": "captum_clustered.comparison.Comparison",
    "compare": "captum_clustered.comparison.compare",
    "Case": "captum_clustered.comparison.Case",
    "Metric": "captum_clustered.comparison.Metric",
    "PeerCAM": "captum_clustered.comparison.PeerCAM",
    "captum_clustered.comparison.compare": "captum_clustered.comparison.compare",
    "captum_clustered.report.write_report": "captum_clustered.report.write_report",
    "Comparison.controls": "captum_clustered.comparison.Comparison",
    "attribute": "captum_clustered.ClusteredLayerCAM.attribute",
    "fit": "captum_clustered.ClusteredLayerCAM.fit",
    "BUSBRA": "captum_clustered.data.BUSBRA",
    "DDTI": "captum_clustered.data.DDTI",
    "TN5000": "captum_clustered.data.TN5000",
    "ImageTable": "captum_clustered.data.ImageTable",
    "split_by_patient": "captum_clustered.data.split_by_patient",
    "probability": "captum_clustered.scores.probability",
    "log_probability": "captum_clustered.scores.log_probability",
    "margin": "captum_clustered.scores.margin",
    "scores.probability": "captum_clustered.scores.probability",
}
# Functions of the same name as their module, or of one module.
_MODULES = {
    "deletion_curve": "deletion",
    "insertion_curve": "insertion",
    "insertion_minus_deletion": "insertion",
    "EnergyShares": "localization",
    "pointing_game": "localization",
    "energy_pointing_game": "localization",
    "energy_shares": "localization",
    "iou": "localization",
}
for _name in ("adcc", "average_drop", "average_gain", "coherency", "complexity", "deletion"):
    _MODULES[_name] = _name
for _name in ("increase_in_confidence", "insertion", "road"):
    _MODULES[_name] = _name
for _name, _module in (
    ("visualize_layer_attr", "overlay"),
    ("visualize_clusters", "clusters"),
    ("visualize_methods", "methods"),
):
    ENTRIES[_name] = f"captum_clustered.visualization.{_module}.{_name}"
for _name, _module in _MODULES.items():
    ENTRIES[_name] = f"captum_clustered.metrics.{_module}.{_name}"

_ROLE = re.compile(r":(?P<role>func|class|meth|mod|attr|data|math):`(?P<text>[^`]+)`")
_TITLED = re.compile(r"(?P<title>.+?)\s*<(?P<path>[^>]+)>\Z", re.DOTALL)
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Warns|Examples)::?\Z")
_NAMES = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)+):")
_TYPE = re.compile(r"(?<=\w )\([^:\n]*\)(?=:)")
# What the signature says anyway; "None (zero)" says more.
_DEFAULT = re.compile(r"(?m)^ *Default: [^(\n]*(\(\)|\([\d., ]+\))?$\n?")


def markdown(text: str) -> str:
    """A docstring as the Google style of mkdocstrings has it."""
    text = _ROLE.sub(_link, text).replace("``", "`")
    parts: list[str] = []
    lines = textwrap.dedent(text).splitlines()
    while lines:
        line = lines.pop(0)
        section = _SECTION.match(line)
        if not section:
            parts.append(line)
            continue
        body = []
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            body.append(lines.pop(0))
        inner = textwrap.dedent("\n".join(body)).strip("\n")
        parts.append(_section(section[1], inner) + "\n")
    return "\n".join(parts)


def _section(title: str, body: str) -> str:
    if title in ("Args", "Attributes", "Raises", "Warns"):
        items = re.split(r"\n(?=\S)", _one_line_names(body))
        body = "\n".join(_item(single) for item in items for single in _singles(title, item))
    elif title == "Returns" and body.startswith("**"):
        # Several things that depend on the arguments: no type, but text.
        return f"**Returns** {body}"
    return f"{title}:\n{textwrap.indent(body, '    ')}"


def _one_line_names(body: str) -> str:
    """An item of several names ends in the line that has its colon."""
    return re.sub(r"(?m)^(\S[^:\n]*,)\n +(\w+(?:, \w+)*:)", r"\1 \2", body)


def _singles(title: str, item: str) -> list[str]:
    """``a, b: As above.`` once for each of its names, and types without commas."""
    names = _NAMES.match(item)
    if title in ("Args", "Attributes") and names:
        kinds = {name: " (Any)" if name.startswith("*") else "" for name in names[1].split(", ")}
        return [f"{name}{kind}{item[names.end(1) :]}" for name, kind in kinds.items()]
    return [_TYPE.sub(lambda match: _alternatives(match[0]), item, count=1)]


def _alternatives(kind: str) -> str:
    """``(int, str or Tensor, optional)`` without the comma that would make it a tuple."""
    optional = kind.endswith(", optional)")
    inner = re.sub(r", (?![^\[]*\])", " or ", kind[1:-1].removesuffix(", optional"))
    return f"({inner}{', optional' if optional else ''})"


def _item(item: str) -> str:
    """One argument, its further lines no deeper than Markdown can bear."""
    first, _, rest = item.partition("\n")
    rest = re.sub(r"(?m)^( *)Default: ", r"\n\1Default: ", _DEFAULT.sub("", rest))
    rest = textwrap.indent(textwrap.dedent(rest), "    ")
    return f"{first}\n{rest}".rstrip()


def _link(match: re.Match[str]) -> str:
    text = " ".join(match["text"].split())
    if match["role"] == "math":
        return f"`{_plain(text)}`"
    title, path = text, text
    titled = _TITLED.match(text)
    if titled:
        title, path = titled["title"], titled["path"]
    for name in (path, path.removeprefix("captum_clustered."), path.rsplit(".", 1)[-1]):
        if name in ENTRIES and not path.startswith(("torch.", "numpy.")):
            return f"[`{title}`][{ENTRIES[name]}]"
    return f"`{title}`"


def _plain(formula: str) -> str:
    """TeX of the few kinds that docstrings have, for readers without a renderer."""
    for tex, plain in (
        (r"\sum_{c' \in j}", "sum_c' in j"),
        (r"\sum_x", "sum_x"),
        (r"\in", "in"),
        (r"\cdot", "*"),
        ("{", ""),
        ("}", ""),
    ):
        formula = formula.replace(tex, plain)
    return formula


class CaptumDocstrings(Extension):
    """Rewrites each docstring once, when the object has been read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
