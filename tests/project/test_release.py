"""The places that state the version agree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import captum_clustered

ROOT = Path(__file__).parents[2]


def test_changelog_and_citation_state_the_version_and_its_date():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", changelog, re.M).groups()
    assert version == captum_clustered.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == version
    assert re.search(r"^date-released: (.*)$", citation, re.M)[1] == date


def test_contributing_has_the_diagram_of_todays_imports():
    pytest.importorskip("grimp", reason="needs the extra lint")
    script = [sys.executable, str(ROOT / "docs" / "house.py")]
    diagram = subprocess.run(script, capture_output=True, text=True, check=True).stdout  # noqa: S603
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert diagram.strip() in guide, "run python docs/house.py --write"
