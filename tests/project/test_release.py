"""The places that state the version agree."""

import re
from pathlib import Path

import captum_clustered

ROOT = Path(__file__).parents[2]


def test_changelog_and_citation_state_the_version_and_its_date():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", changelog, re.M).groups()
    assert version == captum_clustered.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == version
    assert re.search(r"^date-released: (.*)$", citation, re.M)[1] == date
