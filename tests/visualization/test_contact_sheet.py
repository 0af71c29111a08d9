import numpy as np
import pytest

from captum_clustered.visualization import SheetCell, SheetRow, draw_contact_sheet

IMAGE = np.zeros((8, 12))


def cell(value, caption="$a_\nb"):
    return SheetCell(IMAGE, np.full((2, 3), float(value)), caption)


def test_a_row_for_each_cluster_on_one_scale():
    rows = [
        SheetRow("Cluster 4", "2 channels\nmean +1", [cell(1), cell(-2), cell(0.5)]),
        SheetRow("Cluster 0", "3 channels", [cell(0.25)]),
    ]
    figure = draw_contact_sheet(rows, "Clusters", "4 images", "drop")
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.texts] == [
        "Clusters",
        "4 images",
        *("Cluster 4", "2 channels\nmean +1", *3 * ["$a_\nb"]),
        *("Cluster 0", "3 channels", "$a_\nb"),
    ]
    cells = [axes for axes in figure.axes if len(axes.images) == 2]
    limits = [axes.images[1].get_clim()[1] for axes in cells]
    assert limits == [2, 2, 2, 0.25]
    drawn = [axes.images[1].get_array()[0, 0] for axes in cells]
    assert drawn == [1, -2, 0.5, 0.25]
    bars = [axes for axes in figure.axes if axes not in cells]
    assert [bar.get_ylim() for bar in bars] == [(-2, 2), (0, 0.25)]
    assert [bar.get_ylabel() for bar in bars] == ["drop"] * 2
    assert bars[0].get_position().x0 > cells[2].get_position().x1
    boxes = [axes.get_position(original=True) for axes in cells]
    # The first row side by side, the second below its first image.
    assert boxes[0].y0 == boxes[1].y0 == boxes[2].y0 > boxes[3].y1
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[3].x0 == boxes[0].x0
    assert boxes[3].y0 > 0
    assert boxes[2].x1 < 1


def test_the_outline_of_the_object_and_what_the_network_did_not_see():
    seen = (0, 0.25, 1, 0.75)
    cells = [cell(1), SheetCell(IMAGE, np.ones((2, 3)), "", np.eye(8, 12), seen)]
    figure = draw_contact_sheet([SheetRow("Cluster 0", "", cells)], "Clusters")
    plain, marked = figure.axes[:2]
    assert len(marked.collections) == len(plain.collections) + 1
    assert np.ma.getmaskarray(marked.images[1].get_array()).sum() == 8 * 6


@pytest.mark.parametrize("rows", [[], [SheetRow("Cluster 0", "", [])]])
def test_a_sheet_without_images_has_its_heading(rows):
    figure = draw_contact_sheet(rows, "Clusters")
    figure.draw_without_rendering()
    assert figure.axes == []
    assert figure.texts[0].get_text() == "Clusters"


def test_a_long_subtitle_is_broken_above_the_first_row():
    rows = [SheetRow("Cluster 0", "", [cell(1)])]
    figure = draw_contact_sheet(rows, "Clusters", "many words " * 20)
    figure.draw_without_rendering()
    subtitle, name = (figure.texts[i].get_window_extent() for i in (1, 2))
    assert subtitle.x1 <= figure.bbox.x1
    assert subtitle.y0 >= name.y1
