"""Render the page with its style, script and data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from captum_clustered._version import __version__
from captum_clustered.report.content import Report
from captum_clustered.report.folders import without_folders
from captum_clustered.visualization.palette import tint

_STYLE = "page.css"
# Joined in this order to one script.
_SCRIPTS = (
    *("colors.js", "pixels.js", "table.js", "columns.js", "cells.js", "images.js", "enlarged.js"),
    *("print.js", "controls.js"),
)


def page_of(first: Path, number: int) -> Path:
    """Return the file of a page, where page 0 has that of the report."""
    return first if number == 0 else first.with_name(f"{first.stem}-{number + 1}{first.suffix}")


def render(report: Report, file: Path) -> str:
    """Return a report as an HTML document; pages of the same report link to each other."""
    report = without_folders(report)
    style = _text(_STYLE)
    script = "\n".join(_text(name) for name in _SCRIPTS)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = breakable
    template = environment.from_string(_text("page.html.jinja"))
    return template.render(
        report=report,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=_json({"tint": tint(), **report.data()}),
        policy=_policy(style, script),
        has_labels=any(image.label is not None for image in report.images),
        has_masks=any(image.mask is not None for image in report.images),
        has_pictures=any(image.picture is not None for image in report.images),
        pages=[page_of(file, number).name for number in range(report.n_pages)],
        by_method=any(number.by_method for number in report.numbers),
        version=__version__,
    )


def breakable(name: str) -> Markup:
    """Mark where a narrow column may break a name, like breakable() in images.js."""
    return Markup("<wbr>").join(re.split("(?<=[a-z])(?=[A-Z])", name))


def _text(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _json(data: Any) -> Markup:
    """Return JSON that cannot end the script element, whatever names it contains."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # noqa: S704


def _policy(style: str, script: str) -> str:
    """Return a policy that loads nothing and runs no script but this one."""
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
