"""A hook of mkdocs for links that lead out of the site."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """
    Replace links to files outside of docs/ by the names of the files.

    Notebooks and code are in the repository but not on the site.
    """
    folder = posixpath.dirname(page.file.src_uri)

    def named(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        if not path.startswith("../"):
            return match[0]
        text, path = match[1], path.removeprefix("../")
        return f"`{path}`" if text == path else f"{text} (`{path}`)"

    return _LINK.sub(named, markdown)
