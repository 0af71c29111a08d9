"""The page on paper: a PDF of the browser, drawn again as pixels."""

import re

import numpy as np
import pytest
from report_pages import MANY_METRICS, N_IMAGES, photograph, settle
from scipy import ndimage

pdfium = pytest.importorskip("pypdfium2", reason="needs pypdfium2")

pytestmark = pytest.mark.browser

# Pixels of the drawn pages for each of CSS.
SCALE = 1.5
MARGIN = 20 * SCALE


@pytest.fixture
def printed(open_page, tmp_path):
    """Prints a page: the pixels of each sheet, and all of its text without spaces."""

    def print_it(page):
        page.pdf(path=tmp_path / "page.pdf")
        document = pdfium.PdfDocument(tmp_path / "page.pdf")
        try:
            # A point is 4/3 of a pixel of CSS.
            sheets = [
                np.asarray(sheet.render(scale=SCALE * 4 / 3).to_pil().convert("RGB")).astype(int)
                for sheet in document
            ]
            text = "".join(sheet.get_textpage().get_text_range() for sheet in document)
        finally:
            document.close()
        return sheets, re.sub(r"\s", "", text)

    return print_it


def pictures(sheets):
    """All that is filled and as large as a picture, in the order of reading."""
    found = []
    for sheet in sheets:
        labels, _ = ndimage.label(sheet.min(2) < 250)
        for part in ndimage.find_objects(labels):
            height, width = (place.stop - place.start for place in part)
            filled = (sheet[part].min(2) < 250).mean()
            if min(height, width) > 60 * SCALE and height < 1.2 * width and filled > 0.9:
                found.append(sheet[part])
    return found


def cell(sheet):
    """The mean color of each ninth of a picture."""
    rows = np.array_split(sheet, 3)
    return np.array([part.mean((0, 1)) for row in rows for part in np.array_split(row, 3, 1)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_every_image_as_the_window_shows_it(open_page, printed, tmp_path, scheme):
    # Most of the images are far from the window.
    page = open_page("compare", color_scheme=scheme, height=400)
    page.locator("#outlines").uncheck()
    sheets, _ = printed(page)
    found = pictures(sheets)
    # Of each image, itself and 7 methods, one of which has failed once.
    assert len(found) == 8 * (N_IMAGES - 1) - 1
    for row, first in ((3, 15), (N_IMAGES - 1, -8)):
        page.locator(f"#images > li:nth-child({row})").scroll_into_view_if_needed()
        settle(page)
        for i in range(8):
            place = f"#images > li:nth-child({row}) .maps figure:nth-child({i + 1}) .stack"
            shown = photograph(page, place, tmp_path)
            # On the edges there are less than whole pixels.
            np.testing.assert_allclose(
                cell(found[first + i][2:-2, 2:-2]), cell(shown[1:-1, 1:-1]), atol=8
            )


def test_paper_has_only_what_the_filters_leave(open_page, printed):
    page = open_page("explain")
    page.locator("#number").select_option("1")
    page.locator("#from").fill("2")
    sheets, text = printed(page)
    assert len(pictures(sheets)) == 6
    assert "2of3images" in text


def test_paper_has_unfolded_clusters(open_page, printed):
    page = open_page("explain", height=400)
    page.locator("details:not(#columns) > summary").last.click()
    page.evaluate("window.scrollTo(0, 0)")
    sheets, _ = printed(page)
    # Of three images, each with two maps but for a missing one; and three clusters.
    assert len(pictures(sheets)) == 8 + 3


def test_paper_has_the_whole_table(open_page, printed):
    page = open_page("wide", at_images=False)
    cells = page.locator("#summary :is(th, td)").all_text_contents()
    sheets, text = printed(page)
    for name in MANY_METRICS:
        assert text.count(name.replace(" ", "")) >= 1
    for part in cells:
        assert re.sub(r"\s|, (lower|higher) is better", "", part) in text
    for sheet in sheets:
        width = int(MARGIN)
        for edge in (sheet[:, :width], sheet[:, -width:]):
            assert (edge == 255).all()


def test_the_page_is_as_it_was_after_it_was_printed(open_page, printed):
    page = open_page("wide")
    page.locator("#images > li:last-child summary").first.click()
    settle(page)
    before = page.locator("body").inner_html()
    printed(page)
    settle(page)
    assert page.locator("body").inner_html() == before
