from pathlib import Path

import pytest
from small_files import ddti_case, svg

from captum_clustered.data.ddti import read_case

SQUARE = [(2, 2), (5, 2), (5, 5), (2, 5)]


@pytest.fixture
def path(tmp_path) -> Path:
    ddti_case(tmp_path, 12, " 4B ", [(1, svg(SQUARE, SQUARE)), (2, svg(SQUARE))], images=0)
    return tmp_path / "12.xml"


def test_a_complete_case(path):
    case = read_case(path)
    assert (case.name, case.tirads, case.problems) == ("12", "4b", [])
    assert {number: len(outlines) for number, outlines in case.outlines.items()} == {"1": 2, "2": 1}
    assert case.outlines["2"] == [tuple(SQUARE)]


def test_wherever_it_is_cut_off_what_came_before_is_read_and_the_cut_is_reported(path):
    text = path.read_text()
    n_outlines = []
    for end in range(len(text)):
        path.write_text(text[:end])
        case = read_case(path)
        assert len(case.problems) == 1
        assert case.tirads == ("4b" if "</tirads>" in text[:end] else "")
        assert len(case.outlines) == text[:end].count("</mark>")
        n_outlines.append(sum(map(len, case.outlines.values())))
    assert sorted(set(n_outlines)) == [0, 2, 3]


def test_a_fault_in_the_middle_ends_the_reading_there(path):
    path.write_text(path.read_text().replace("</mark><mark>", "</mark><<mark>"))
    case = read_case(path)
    assert list(case.outlines) == ["1"]
    assert "XML is cut off or broken" in case.problems[0]


def test_entities_and_other_encodings_are_read(path):
    text = path.read_text().replace('"', "&quot;").replace("&quot;1.0&quot;", '"1.0"')
    text = text.replace("&quot;UTF-8&quot;", '"UTF-8"').replace("solid", "s\xf3lido")
    path.write_bytes(text.encode("latin-1"))
    case = read_case(path)
    assert (case.tirads, sorted(case.outlines), case.problems) == ("4b", ["1", "2"], [])
