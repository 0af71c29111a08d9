"""Notebooks are committed as make notebooks leaves them: run from top to bottom, small, clean."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_they_are_numbered_in_the_order_in_which_they_are_read():
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
class TestNotebook:
    def test_was_run_from_top_to_bottom_without_errors(self, path):
        cells = code_cells(path)
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
        kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
        assert "error" not in kinds

    def test_warns_of_nothing(self, path):
        streams = {
            output["name"]
            for cell in code_cells(path)
            for output in cell["outputs"]
            if output["output_type"] == "stream"
        }
        assert streams <= {"stdout"}

    def test_is_small_and_names_no_machine(self, path):
        assert path.stat().st_size < 1_000_000
        text = re.sub(r'"image/\w+": "[^"]*"', "", path.read_text(encoding="utf-8"))
        assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users|mnt)/", text)

    def test_shows_synthetic_images_and_none_of_patients(self, path):
        if "ultrasound" in path.name:
            assert "Synthetic images" in json.dumps(code_cells(path)[0]["outputs"])
