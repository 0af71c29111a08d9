import pytest
from small_files import ddti_case, save_image, svg
from torch.utils.data import Subset

from captum_clustered.data import DDTI, split_by_patient

SQUARE = [(2, 2), (5, 2), (5, 5), (2, 5)]  # 16 pixels
OTHER = [(8, 6), (10, 6), (10, 8), (8, 8)]  # 9 pixels


def with_problem(folder, expected):
    """The data set, which must report this and nothing else."""
    with pytest.warns(UserWarning, match="Its attribute problems has 1: "):
        data = DDTI(folder)
    assert len(data.problems) == 1
    assert expected in data.problems[0]
    return data


def test_an_item(tmp_path):
    ddti_case(tmp_path, 7, "4a", [(1, svg(SQUARE))])
    data = DDTI(tmp_path)
    image, label, mask = data[0]
    assert (image.mode, image.size) == ("RGB", (12, 10))
    assert (data.classes[label], data.tirads, data.patients) == ("malignant", ["4a"], ["7"])
    assert mask.shape == (1, 10, 12)
    assert mask.sum() == 16
    assert mask[0, 2:6, 2:6].all()


def test_labels_follow_from_the_category(tmp_path):
    categories = ["2", "3", "4a", "4B", " 4c ", "5"]
    for name, tirads in enumerate(categories, 1):
        ddti_case(tmp_path, name, tirads, [(1, svg(SQUARE))])
    data = DDTI(tmp_path)
    assert data.tirads == ["2", "3", "4a", "4b", "4c", "5"]
    assert data.targets == [0, 0, 1, 1, 1, 1]


def test_cases_and_images_are_in_the_order_of_their_numbers(tmp_path):
    for name in (10, 9):
        ddti_case(tmp_path, name, "2", [(1, svg(SQUARE)), (2, svg(SQUARE))], images=2)
    names = [sample.image.name for sample in DDTI(tmp_path).samples]
    assert names == ["9_1.jpg", "9_2.jpg", "10_1.jpg", "10_2.jpg"]


@pytest.mark.parametrize("marks", [[(1, svg(SQUARE, OTHER))], [(1, svg(SQUARE)), (1, svg(OTHER))]])
def test_all_outlines_of_an_image_are_one_mask(tmp_path, marks):
    ddti_case(tmp_path, 1, "5", marks)
    assert DDTI(tmp_path)[0][2].sum() == 16 + 9


class TestWhatIsBroken:
    @pytest.fixture
    def folder(self, tmp_path):
        """With one good case."""
        ddti_case(tmp_path, 1, "3", [(1, svg(SQUARE))])
        return tmp_path

    @pytest.mark.parametrize(
        ("tirads", "said"),
        [("", "no TI-RADS category"), ("9", "TI-RADS '9' is none of 2, 3, 4a, 4b, 4c, 5")],
    )
    def test_a_case_without_a_category_is_left_out(self, folder, tirads, said):
        ddti_case(folder, 2, tirads, [(1, svg(SQUARE))], images=2)
        data = with_problem(folder, f"2.xml: {said}: its 2 images are left out.")
        assert data.patients == ["1"]

    def test_marks_before_the_end_of_a_truncated_file_are_used(self, folder):
        marks = [(1, svg(SQUARE)), (2, svg(OTHER))]
        ddti_case(folder, 2, "5", marks, images=2)
        text = (folder / "2.xml").read_text()
        (folder / "2.xml").write_text(text[: text.index("</svg></mark></case>")])
        with pytest.warns(UserWarning, match="3 images|2 images"):
            data = DDTI(folder)
        assert [sample.image.name for sample in data.samples] == ["1_1.jpg", "2_1.jpg"]
        assert "2.xml: XML is cut off or broken" in data.problems[0]
        assert data.problems[1:] == ["2.xml: no outline in 2_2.jpg, which is left out."]

    @pytest.mark.parametrize("text", ["", "no XML at all", "<case><tirads>4a</tir"])
    def test_a_file_without_a_complete_element_is_reported(self, folder, text):
        (folder / "2.xml").write_text(text)
        with pytest.warns(UserWarning, match="XML is cut off or broken"):
            assert DDTI(folder).patients == ["1"]

    def test_an_outline_cut_off_behind_its_points_is_used(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE)[:-12])])
        data = with_problem(folder, "2.xml: outlines of image 1 are cut off or broken; 1 could be")
        assert data[1][2].sum() == 16

    def test_an_outline_cut_off_in_its_points_is_not(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE, OTHER)[:-90])])
        data = with_problem(folder, "2.xml: outlines of image 1 are cut off or broken; 1 could be")
        assert data[1][2].sum() == 16

    def test_an_image_whose_only_outline_is_cut_off_is_left_out(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE)[:30])])
        with pytest.warns(UserWarning, match="DDTI has 1 images"):
            data = DDTI(folder)
        assert data.problems == [
            "2.xml: outlines of image 1 are cut off or broken; 0 could be used.",
            "2.xml: no outline in 2_1.jpg, which is left out.",
        ]

    @pytest.mark.parametrize(
        "outline",
        [
            [(1, 1), (4, 4)],
            [("left", 1), (4, 4), (4, 1)],
            [(1, 1), (None, 4), (4, 1)],
            [(1, 1), (float("inf"), 4), (4, 1)],
            [(1, 1), (10**400, 4), (4, 1)],
        ],
    )
    def test_an_outline_that_is_none_is_not_used(self, folder, outline):
        ddti_case(folder, 2, "5", [(1, svg(outline, SQUARE))])
        data = with_problem(folder, "1 could be used")
        assert data[1][2].sum() == 16

    def test_an_empty_outline_leaves_its_image_out(self, folder):
        ddti_case(folder, 2, "5", [(1, "")])
        with pytest.warns(UserWarning, match="1 images"):
            data = DDTI(folder)
        assert data.problems == [
            "2.xml: an outline of image 1 is empty.",
            "2.xml: no outline in 2_1.jpg, which is left out.",
        ]

    def test_an_outline_of_no_image_is_reported(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE)), ("", svg(OTHER))])
        data = with_problem(folder, "2.xml: an outline names no image.")
        assert data[1][2].sum() == 16

    def test_an_outline_of_a_missing_image_is_reported(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE)), (2, svg(SQUARE))])
        assert len(with_problem(folder, "2.xml: outlines image 2, which is missing.")) == 2

    def test_an_outline_outside_of_its_image_leaves_it_out(self, folder):
        ddti_case(folder, 2, "5", [(1, svg([(90, 90), (99, 90), (99, 99)]))])
        assert len(with_problem(folder, "the outlines are outside of 2_1.jpg")) == 1

    def test_an_image_that_is_none_is_left_out(self, folder):
        ddti_case(folder, 2, "5", [(1, svg(SQUARE))])
        (folder / "2_1.jpg").write_text("not found")
        assert len(with_problem(folder, "2_1.jpg is no readable image")) == 1

    def test_a_number_that_is_none_is_no_failure(self, folder):
        save_image(folder / "1_\u00b2.jpg")
        assert len(with_problem(folder, "no outline in 1_\u00b2.jpg")) == 1

    def test_an_image_without_a_file_is_reported(self, folder):
        save_image(folder / "3_1.jpg")
        assert len(with_problem(folder, "3_1.jpg: has no XML file.")) == 1

    def test_nothing_left_is_an_error_that_says_why(self, tmp_path):
        ddti_case(tmp_path, 1, "", [(1, svg(SQUARE))])
        with pytest.raises(ValueError, match=r"no usable image for DDTI: 1.xml: no TI-RADS"):
            DDTI(tmp_path)


def test_files_without_their_images_are_an_error(tmp_path):
    ddti_case(tmp_path, 1, "3", [(1, svg(SQUARE))], images=0)
    with pytest.raises(FileNotFoundError, match=r"has XML files and no images .* 1_1.jpg of 1.xml"):
        DDTI(tmp_path)


def test_an_empty_folder_says_where_to_get_the_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cimalab.unal.edu.co .*Pedraza"):
        DDTI(tmp_path)


def test_companions_that_macos_packs_are_no_cases(tmp_path):
    ddti_case(tmp_path / "DDTI", 1, "3", [(1, svg(SQUARE))])
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._1.xml").write_bytes(b"\0")
    assert len(DDTI(tmp_path)) == 1


def test_clear_cases_are_split_by_case(tmp_path):
    for name in range(1, 13):
        ddti_case(tmp_path, name, ("2", "4a", "5")[name % 3], [(1, svg(SQUARE))])
    data = DDTI(tmp_path)
    clear = Subset(data, [i for i, tirads in enumerate(data.tirads) if tirads != "4a"])
    train, test = split_by_patient(clear, (0.75, 0.25))
    assert (len(train), len(test)) == (6, 2)
    assert all(train[i][1] in (0, 1) for i in range(6))
