"""An enlarged image, in a real browser."""

import numpy as np
import pytest
from report_pages import N_IMAGES, names, photograph, settle, wait

pytestmark = pytest.mark.browser


def title(page):
    """The name of the enlarged image, or None."""
    dialog = page.locator("#enlarged")
    return dialog.locator("h2").text_content() if dialog.is_visible() else None


def captions(page):
    return page.locator("#enlarged figure:visible .name").all_text_contents()


def test_a_click_enlarges_an_image_with_all_methods(open_page, tmp_path):
    page = open_page("compare")
    listed = page.locator("#images > li:nth-child(3) .maps figure:nth-child(3) .stack")
    width = listed.bounding_box()["width"]
    listed.click()
    settle(page)
    assert title(page) == names(page)[2]
    row = page.locator("#images > li:nth-child(3) > .maps .name").all_text_contents()
    assert captions(page) == row
    boxes = [box.bounding_box() for box in page.locator("#enlarged .stack").all()]
    assert min(box["width"] for box in boxes) > 1.2 * width
    # All are in the window.
    assert max(box["y"] + box["height"] for box in boxes) < 900
    drawn = photograph(page, "#enlarged figure:nth-child(2) .stack", tmp_path)
    picture = photograph(page, "#enlarged figure:nth-child(1) .stack", tmp_path)
    assert drawn.std() > 10
    assert np.abs(drawn.mean((0, 1)) - picture.mean((0, 1))).max() > 5


def test_clusters_are_enlarged_beside_the_image(open_page):
    page = open_page("compare")
    page.locator("#images > li:first-child summary").nth(1).click()
    settle(page)
    page.locator("#images > li:first-child details[open] .stack").first.click()
    assert page.locator("#enlarged .facts").text_content().startswith("method 1: 3 clusters")
    assert len(captions(page)) == 4


def test_everything_enlarged_works_by_keyboard(open_page):
    page = open_page("compare")
    listed = names(page)
    page.locator("#images > li:nth-child(2) .enlarge").focus()
    page.keyboard.press("Enter")
    assert title(page) == listed[1]
    assert page.locator("#enlarged .place").text_content() == f"2 of {N_IMAGES - 1}"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert title(page) == listed[2]
    page.keyboard.press("Escape")
    assert title(page) is None
    # Where the browser puts the focus first, it does not stay.
    wait(page, f"document.activeElement.ariaLabel === 'Enlarge {listed[2]}'")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") > 0


def test_steps_end_at_the_first_and_the_last_image_that_is_shown(open_page):
    page = open_page("compare")
    page.locator("#verdict").select_option("wrong")
    listed = names(page)
    page.locator(".enlarge:visible").first.click()
    assert page.get_by_role("button", name="Previous image").is_disabled()
    seen = []
    for _ in range(len(listed) + 1):
        seen.append(title(page))
        page.keyboard.press("ArrowRight")
    assert seen == [*listed, listed[-1]]
    assert page.get_by_role("button", name="Next image").is_disabled()


def test_one_map_is_shown_alone_beside_the_image(open_page):
    page = open_page("explain")
    page.locator(".enlarge").first.click()
    everything = ["image", "Clustered-CAM", "LayerGradCam"]
    seen = []
    for _ in range(4):
        page.keyboard.press("ArrowDown")
        seen.append(captions(page))
    assert seen == [["image"], ["image", everything[1]], ["image", everything[2]], everything]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    # The same method of the next image.
    assert captions(page) == ["image", "LayerGradCam"]
    page.locator("#enlarged figure:visible .stack").last.click()
    assert captions(page) == everything
    page.locator("#enlarged .stack").nth(1).click()
    assert captions(page) == ["image", "Clustered-CAM"]


def test_both_sliders_have_one_opacity(open_page):
    page = open_page("explain")
    page.locator(".enlarge").first.click()
    page.locator("#enlarged input[type=range]").focus()
    name = title(page)
    page.keyboard.press("ArrowLeft")
    assert title(page) == name
    page.keyboard.press("Escape")
    assert page.locator("#opacity").input_value() == "95"
    assert page.locator("#opacity-value").text_content() == "95 %"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_when_enlarged(open_page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    page = open_page("compare", color_scheme=scheme)
    page.locator(".enlarge").first.click()
    settle(page)
    response = axe.Axe().run(page, context="#enlarged").response
    found = [each["id"] for each in response["violations"] if each["impact"] != "minor"]
    assert found == []
