import pytest

from captum_clustered._storage.layout import RunDescription


def test_a_description_comes_back_as_it_was(tmp_path):
    description = RunDescription({"Model": "a"}, ["b\udcff.png"], [("c", "why")], {3: "cat"})
    description.save(tmp_path)
    assert RunDescription.load(tmp_path) == description
    assert RunDescription.load(tmp_path / "elsewhere") == RunDescription()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "{}", '{"facts": {}, "other": 1}', '{"left_out": ["a"]}']
)
def test_a_damaged_description_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        RunDescription.load(tmp_path)
