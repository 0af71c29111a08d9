import pytest

from captum_clustered.data._tables import find_folder, read_table


@pytest.mark.parametrize("depth", ["", "a", "a/b"])
def test_a_folder_is_found_at_or_below_root(tmp_path, depth):
    (tmp_path / depth).mkdir(parents=True, exist_ok=True)
    (tmp_path / depth / "data.csv").touch()
    assert find_folder(tmp_path, ["data.csv"], "") == tmp_path / depth


def test_the_upper_one_is_meant(tmp_path):
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "data.csv").touch()
    assert find_folder(str(tmp_path), ["data.csv"], "") == tmp_path


def test_several_beside_each_other_are_an_error(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.csv").touch()
    with pytest.raises(ValueError, match=r"several folders with data.csv: give one of .*a, .*b"):
        find_folder(tmp_path, ["data.csv"], "")


def test_none_is_an_error_that_names_the_source(tmp_path):
    for name in "abcd":
        (tmp_path / name).touch()
    with pytest.raises(
        FileNotFoundError, match=r"has no x or y, nor .*it has a, b, c and 1 more\. Get"
    ):
        find_folder(tmp_path, ["x", "y"], "Get it there.")


def test_a_root_that_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere' must be .*does not exist\. Get it there"
    ):
        find_folder(tmp_path / "nowhere", ["x"], "Get it there.")
    (tmp_path / "data.zip").touch()
    with pytest.raises(FileNotFoundError, match=r"data.zip' must be a folder, .*unpack it"):
        find_folder(tmp_path / "data.zip", ["x"], "")


def test_tables_of_spreadsheets_are_read(tmp_path):
    # With a byte order mark, spaces, a short row and another encoding's letter.
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b,c\n 1 ,G\xf3mez,x\n2\n")
    rows = read_table(tmp_path / "t.csv", ["a", "b"])
    assert rows[0]["a"] == "1"
    assert rows[1] == {"a": "2", "b": "", "c": ""}


def test_two_columns_of_one_name_are_an_error(tmp_path):
    # Two without a name hold nothing that anybody asks for.
    (tmp_path / "t.csv").write_text("image,label, label,,\na.png,0,1,,\n")
    with pytest.raises(ValueError, match=r"t\.csv has two columns 'label'\."):
        read_table(tmp_path / "t.csv", ["image"])
    (tmp_path / "t.csv").write_text("image,label,,\na.png,0,,\n")
    assert read_table(tmp_path / "t.csv", ["image", "label"])[0]["label"] == "0"


def test_image_and_file_are_the_same_column(tmp_path):
    for name, other in (("image", "file"), ("file", "image")):
        (tmp_path / "t.csv").write_text(f"{name}, label\na.png, 1\n")
        for column in (name, other):
            assert read_table(tmp_path / "t.csv", [column, "label"])[0][column] == "a.png"


def test_empty_rows_are_left_out_and_lines_are_those_of_the_file(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n,\n"x\ny",1\n\nz\n')
    rows = read_table(tmp_path / "t.csv", ["a"], ["b", "c"])
    assert [(row["a"], row["c"], row.line) for row in rows] == [("x\ny", "", 4), ("z", "", 6)]


def test_what_is_no_table_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text('a\n"' + "x" * 200_000 + '"\n')
    with pytest.raises(ValueError, match=r"t\.csv cannot be read as a table: Error: field larger"):
        read_table(tmp_path / "t.csv", ["a"])
