"""
Draw the package from its real imports, as the Mermaid diagram in CONTRIBUTING.md.

    python docs/house.py            print it
    python docs/house.py --write    put it into CONTRIBUTING.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import grimp
import networkx as nx

PACKAGE = "captum_clustered"
GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)
# Modules that everything may use would only add lines.
LEFT_OUT = {"_argument_checks", "_errors", "_freed_memory", "_storage", "_version"}


def diagram() -> str:
    """
    Return the diagram: an arrow from each package or module to those that it imports.

    Arrows that follow from others are left out: A to C, where A imports B and B imports C.
    """
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    children = sorted(graph.find_children(PACKAGE))
    for child in children:
        graph.squash_module(child)
    imports = nx.DiGraph()
    for child in children:
        name = child.removeprefix(f"{PACKAGE}.")
        if name in LEFT_OUT:
            continue
        imports.add_node(name)
        for other in sorted(graph.find_modules_directly_imported_by(child)):
            imported = other.removeprefix(f"{PACKAGE}.")
            if imported not in {name, PACKAGE, *LEFT_OUT}:
                imports.add_edge(name, imported)
    arrows = sorted(nx.transitive_reduction(imports).edges)
    lines = [f"    {importer} --> {imported}" for importer, imported in arrows]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def main() -> None:
    """Print the diagram, or write it."""
    if "--write" not in sys.argv[1:]:
        print(diagram())
        return
    text = GUIDE.read_text(encoding="utf-8")
    GUIDE.write_text(BLOCK.sub(lambda _: diagram(), text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
