"""What the pages need when they become a site."""

from __future__ import annotations

import re
from typing import Any

# Notebooks and code are in the repository, not on the site.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./(?!reference/)[^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Names files outside of docs/ instead of linking to them."""

    def named(match: re.Match[str]) -> str:
        text, path = match[1], match[2].removeprefix("../")
        return f"`{path}`" if text == path else f"{text} (`{path}`)"

    return _OUTSIDE.sub(named, markdown)
