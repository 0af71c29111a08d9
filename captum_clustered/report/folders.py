"""A page goes to others, who need not know where its author keeps files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

from captum_clustered.report.content import Failed, Report

# A path from the root inside of a text; the last part is kept.
_PATH = re.compile(r"(?<![\w.:/~<])/(?:[^\s/'\",;:<>]+/)+([^\s/'\",;:<>]+)")


def without_folders(report: Report) -> Report:
    """Shorten absolute paths in a report to what tells its files apart."""
    short = _shortener([image.name for image in report.images])
    summary = report.summary
    return replace(
        report,
        facts=[(title, short(value)) for title, value in report.facts],
        left_out=[(short(what), short(why)) for what, why in report.left_out],
        summary=replace(summary, rows=[replace(row, name=short(row.name)) for row in summary.rows]),
        images=[
            replace(
                image,
                name=short(image.name),
                facts=[short(fact) for fact in image.facts],
                maps=[
                    Failed(short(found.reason)) if isinstance(found, Failed) else found
                    for found in image.maps
                ],
            )
            for image in report.images
        ],
    )


def _shortener(names: list[str]) -> Callable[[str], str]:
    paths = [name for name in names if os.path.isabs(name)]
    parents = [os.path.dirname(path) for path in paths]
    root = os.path.commonpath(parents) if parents else ""

    def short(text: str) -> str:
        if os.path.isabs(text):
            is_image = root and PurePath(text).is_relative_to(root)
            return os.path.relpath(text, root) if is_image else PurePath(text).name
        return _PATH.sub(r"\1", text)

    return short
