"""
Convert docstrings in Captum's format to the Google style that mkdocstrings reads.

Roles of reStructuredText become links or code, ``Examples::`` becomes a section, and an item
for several names becomes one item for each name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from griffe import Extension

_REFERENCE = Path(__file__).parent / "reference"


def _entries() -> dict[str, str]:
    """Return the entry of the reference pages for each name, from its last part to all parts."""
    found: dict[str, str] = {}
    for page in sorted(_REFERENCE.glob("*.md")):
        for path, options in re.findall(r"(?m)^::: (\S+)\n((?: .*\n)*)", page.read_text()):
            for entry in (path, *(f"{path}.{member}" for member in _members(path, options))):
                parts = entry.split(".")
                # Also without the module: metrics.iou for metrics.localization.iou.
                for names in (parts, [*parts[:2], parts[-1]]):
                    for start in range(len(names)):
                        found.setdefault(".".join(names[start:]), entry)
    return found


def _members(path: str, options: str) -> list[str]:
    """Return the members that an entry lists; "members_order: __all__" lists all public ones."""
    listed = re.search(r"members: \[(.+)\]", options)
    if "members_order: __all__" not in options:
        return listed[1].split(", ") if listed else []
    module = _REFERENCE.parents[1].joinpath(*path.split("."))
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    exported = re.search(r"(?ms)^__all__ = (\[.*?\])", file.read_text("utf-8"))
    return list(ast.literal_eval(exported[1])) if exported else []


ENTRIES = _entries()

_ROLE = re.compile(r":(?P<role>func|class|meth|mod|attr|data|math):`(?P<text>[^`]+)`")
_TITLED = re.compile(r"(?P<title>.+?)\s*<(?P<path>[^>]+)>\Z", re.DOTALL)
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Warns|Examples)::?\Z")
_NAMES = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)+)(?=:| \()")
_TYPE = re.compile(r"(?<=\w )\([^:\n]*\)(?=:)")
# The signature has these defaults already; "None (zero)" says more than the signature.
_DEFAULT = re.compile(r"(?m)^ *Default: [^(\n]*(\(\)|\([\d., ]+\))?$\n?")


def markdown(text: str) -> str:
    """Return a docstring in the Google style of mkdocstrings."""
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
        # What is returned depends on the arguments, so it has text instead of a type.
        return f"**Returns** {body}"
    return f"{title}:\n{textwrap.indent(body, '    ')}"


def _one_line_names(body: str) -> str:
    """Join the lines of an item's names, up to its colon."""
    return re.sub(r"(?m)^(\S[^:\n]*,)\n +(\w+(?:, \w+)*:)", r"\1 \2", body)


def _singles(title: str, item: str) -> list[str]:
    """Return ``a, b: As above.`` once for each name, and types without commas."""
    names = _NAMES.match(item)
    if title in ("Args", "Attributes") and names:
        kinds = {name: " (Any)" if name.startswith("*") else "" for name in names[1].split(", ")}
        items = [f"{name}{kind}{item[names.end(1) :]}" for name, kind in kinds.items()]
    else:
        items = [item]
    return [_TYPE.sub(lambda match: _alternatives(match[0]), each, count=1) for each in items]


def _alternatives(kind: str) -> str:
    """Return ``(int, str or Tensor, optional)`` without the comma that would make it a tuple."""
    optional = kind.endswith(", optional)")
    inner = re.sub(r", (?![^\[]*\])", " or ", kind[1:-1].removesuffix(", optional"))
    return f"({inner}{', optional' if optional else ''})"


def _item(item: str) -> str:
    """Indent the further lines of an argument by four: Markdown takes more for code."""
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
    # An attribute without an entry is described by its class.
    entry = ENTRIES.get(path) or ENTRIES.get(path.rpartition(".")[0])
    if entry:
        return f"[`{title}`][{entry}]"
    return f"`{title}`"


def _plain(formula: str) -> str:
    """Replace the few TeX commands in docstrings: the site does not render TeX."""
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
    """Convert each docstring once, when griffe has read the object."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Convert the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            text = obj.docstring.value
            is_metric = obj.is_function and obj.path.startswith("captum_clustered.metrics.")
            if (is_metric and obj.decorators) or re.search(r"(?m)^ *\$\w+$", text):
                # These docstrings are completed when the module is imported.
                module = importlib.import_module(obj.module.path)
                text = inspect.getdoc(getattr(module, obj.name)) or ""
            obj.docstring.value = markdown(text)
