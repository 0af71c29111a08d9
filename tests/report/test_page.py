"""The page in a real browser."""

import base64
import io
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_up_runs import AWKWARD
from PIL import Image
from report_pages import MANY_METRICS, N_IMAGES, names, photograph, settle, wait

from captum_clustered.comparison.pictures import Pictures
from captum_clustered.visualization import overlay

pytestmark = pytest.mark.browser

MINUS = "\N{MINUS SIGN}"


def methods(page):
    heads = page.locator("#summary tbody th").all_text_contents()
    return [head.replace(" control", "").replace(" reference", "") for head in heads]


def stack(method, row=1):
    """The picture of a method, 0 for the image itself."""
    return f"#images > li:nth-child({row}) .maps figure:nth-child({method + 1}) .stack"


def canvas_pixels(page, selector):
    """Colors of a canvas, (height, width, 4)."""
    text, height, width = page.evaluate(
        """(selector) => {
          const canvas = document.querySelector(selector);
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          return [btoa(String.fromCharCode(...data)), height, width];
        }""",
        selector,
    )
    values = np.frombuffer(base64.b64decode(text), np.uint8)
    return values.reshape(height, width, 4).astype(int)


@pytest.mark.parametrize("size", [(7, 7, 224, 224), (5, 3, 16, 20), (1, 1, 4, 4), (9, 8, 6, 5)])
def test_maps_are_interpolated_as_torch_does(open_page, size):
    height, width, new_height, new_width = size
    values = torch.randn(height, width, generator=torch.Generator().manual_seed(0))
    page = open_page("explain")
    found = page.evaluate(
        "([values, ...sizes]) => [...resized(Float32Array.from(values), ...sizes)]",
        [values.flatten().tolist(), *size],
    )
    expected = F.interpolate(values[None, None], (new_height, new_width), mode="bilinear")
    np.testing.assert_allclose(found, expected.flatten(), atol=1e-5)


@pytest.mark.parametrize(
    "seen",
    [[0, 0, 1, 1], [0.25, 0.125, 0.75, 0.9], [-0.3, 0, 1.3, 1]],
    ids=["whole", "cropped", "padded"],
)
def test_maps_have_the_colors_of_the_figures(open_page, pages, seen):
    page = open_page("compare")
    page.evaluate(
        """(seen) => {
          images.empty([images.rows[0]]);
          images.rows[0].image.seen = seen;
          images.fill(images.rows[0]);
        }""",
        seen,
    )
    settle(page)
    kept = Pictures.read(pages["compare"].parent / "state" / "batch-000000.npz")
    found = canvas_pixels(page, f"{stack(1)} canvas")
    assert (found[..., 3] == 255).all()
    picture = page.evaluate("images.rows[0].image.picture")
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        values = kept.images[0].maps["method 0"]
        expected = overlay(
            image,
            values,
            seen=tuple(seen),
            limit=np.abs(values).max(),
            interpolate_mode="bilinear",
        )
    # Half a level of 127 and of 255, and the browser's own rounding.
    assert np.abs(found[..., :3] - expected).max() <= 5
    assert np.abs(found[..., :3] - expected).mean() < 0.7
    is_colored = np.ptp(found[..., :3], 2) > 60
    assert 0.02 < is_colored.mean() < 0.9


def is_gray(pixels):
    return (np.ptp(pixels[..., :3], 2) == 0).all()


def saturation(pixels):
    """That of the most saturated pixel, from 0 to 1."""
    return (np.ptp(pixels[..., :3], 2) / pixels[..., :3].max(2)).max()


def test_a_map_of_zeros_is_gray_and_said_to_be_zero(open_page):
    page = open_page("compare")
    # Image 3 is the third, for image 1 is missing.
    assert is_gray(canvas_pixels(page, f"{stack(2, row=3)} canvas"))
    label = page.locator(f"{stack(2, row=3)} canvas").get_attribute("aria-label")
    assert label == "method 1: zero everywhere"


def test_each_map_has_its_method_and_range_in_words(open_page, pages):
    page = open_page("compare")
    kept = Pictures.read(pages["compare"].parent / "state" / "batch-000000.npz")
    low, high = (f"{value:.3g}".replace("-", MINUS) for value in kept.images[0].ranges["method 0"])
    label = page.locator(f"{stack(1)} canvas").get_attribute("aria-label")
    assert label == f"method 0: {low} to {high}"
    assert page.get_by_role("img", name=f"{AWKWARD}, the image").count() == 1


def test_a_failed_map_has_its_reason_in_its_place(open_page):
    page = open_page("compare")
    cell = page.locator("#images > li:nth-child(2) .maps figure").nth(2)
    assert cell.locator(".failed").text_content() == "failed: ValueError: no <gradient>"
    assert cell.locator("canvas").count() == 0


def test_the_slider_fades_all_maps_to_the_image(open_page, tmp_path):
    page = open_page("compare")
    page.locator("#outlines").uncheck()
    image = photograph(page, stack(0), tmp_path)
    opaque = photograph(page, stack(1), tmp_path)
    page.locator("#opacity").fill("50")
    half = photograph(page, stack(1), tmp_path)
    page.locator("#opacity").fill("0")
    settle(page)
    clear = photograph(page, stack(1), tmp_path)
    assert page.locator("#opacity-value").text_content() == "0 %"
    assert np.abs(opaque - image).mean() > np.abs(half - image).mean() > 5
    # Cells begin at fractions of a pixel.
    height, width = (min(a, b) for a, b in zip(clear.shape[:2], image.shape[:2], strict=True))
    assert np.abs(clear[:height, :width] - image[:height, :width]).mean() < 5


def test_outlines_surround_the_mask(open_page, tmp_path):
    page = open_page("compare")
    with_outline = photograph(page, stack(0), tmp_path)
    page.locator("#outlines").uncheck()
    without = photograph(page, stack(0), tmp_path)
    assert (with_outline != without).any()
    # One pixel in the middle of three by three.
    path = page.evaluate("outline([4, 1, 4], 3, 3)")
    assert path == "M1 1H2M1 2H2M1 1V2M2 1V2"
    # All of two by two, to the edges.
    assert page.evaluate("outline([0, 4], 2, 2)") == "M0 0H2M0 2H2M0 0V2M2 0V2"


def test_any_column_sorts_the_summary(open_page):
    page = open_page("compare")
    first = methods(page)
    # Values are ten times an image's number, and one more for each method.
    mean = 10 * np.mean([n for n in range(N_IMAGES) if n != 1])
    of_method_1 = 10 * np.mean([n for n in range(N_IMAGES) if n not in (1, 2)])
    means = [of_method_1 + 1 if m == 1 else mean + m for m in range(len(first))]
    lowest_first = [first[m] for m in np.argsort(means)]
    assert lowest_first != first
    heads = page.locator("#summary thead th")
    # Lower is better, higher is better, neither.
    for column, order in enumerate(["ascending", "descending", "ascending"], start=1):
        for expected in (order, {"ascending": "descending"}.get(order, "ascending")):
            heads.nth(column).get_by_role("button").click()
            assert heads.nth(column).get_attribute("aria-sort") == expected
            assert page.locator("#summary th:not([aria-sort=none])[aria-sort]").count() == 1
            sign = 1 if expected == "ascending" else -1
            assert methods(page) == lowest_first[::sign]
    heads.nth(0).get_by_role("button").click()
    assert methods(page) == sorted(first, key=str.lower)


def test_what_is_missing_is_sorted_last(open_page):
    page = open_page("compare")
    keys = "[[1, 'a'], [null, 'b'], [3, 'c'], [null, 'd'], [2, 'e']]"
    for sign, expected in ((1, "aecbd"), (-1, "ceabd")):
        script = f"{keys}.sort((a, b) => compareKeys(a[0], b[0], {sign})).map((k) => k[1])"
        assert "".join(page.evaluate(script)) == expected


def test_controls_are_marked(open_page):
    page = open_page("compare")
    marked = page.locator("#summary tr.control th").all_text_contents()
    assert [text.split(" control")[0] for text in marked] == [
        "Fake-CAM",
        "random",
        "center Gaussian",
        "mean activation",
        "mask",
    ]
    assert page.locator("#images > li:first-child figure.control").count() == 5


@pytest.mark.parametrize(
    ("choices", "kept"),
    [
        # Of images 0, 2, 3, ..., 23: labels are those of made_up_runs.py.
        ({"verdict": "wrong"}, lambda n: n % 4 == 3),
        ({"verdict": "right"}, lambda n: n % 4 != 3),
        ({"prediction": "1"}, lambda n: n % 2 == 1),
        ({"label": "1"}, lambda n: n % 4 == 1),
        ({"label": "0", "verdict": "wrong"}, lambda n: n % 4 == 3),
        # 10 for each image, and 1 for each method.
        ({"number": "0", "method": "0", "from": "100"}, lambda n: n >= 10),
        ({"number": "0", "method": "2", "to": "92"}, lambda n: n <= 9),
        ({"number": "1", "method": "1", "from": "0", "to": "52"}, lambda n: n <= 5 and n != 2),
    ],
)
def test_filters_hide_the_other_images(open_page, choices, kept):
    page = open_page("compare")
    for name, value in choices.items():
        control = page.locator(f"#{name}")
        if name in ("from", "to"):
            control.fill(value)
        else:
            control.select_option(value)
    numbers = [n for n in range(N_IMAGES) if n != 1 and kept(n)]
    assert names(page) == [AWKWARD if n == 0 else f"image-{n}.png" for n in numbers]
    count = page.locator("#count").text_content()
    assert count == f"{len(numbers)} of {N_IMAGES - 1} images"
    page.get_by_role("button", name="Reset").click()
    wait(page, "document.querySelector('#images > li[hidden]') === null")
    assert len(names(page)) == N_IMAGES - 1


def test_an_image_without_label_is_neither_right_nor_wrong(open_page):
    page = open_page("compare")
    page.evaluate("images.rows[3].image.label = null")
    shown = {}
    for verdict in ("", "right", "wrong"):
        page.locator("#verdict").select_option(verdict)
        shown[verdict] = names(page)
    assert [*set(shown[""]) - set(shown["right"]) - set(shown["wrong"])] == ["image-4.png"]


def test_a_narrow_column_breaks_names_between_words(open_page):
    page = open_page("compare")
    parts = page.evaluate("breakable('ClusteredLayerCAM').map((part) => part.tagName ?? part)")
    assert parts == ["Clustered", "WBR", "Layer", "WBR", "CAM"]


def test_images_are_ordered_by_a_metric(open_page):
    page = open_page("compare")
    before = names(page)
    assert page.locator("#order option[value=highest]").is_disabled()
    page.locator("#number").select_option("0")
    page.locator("#order").select_option("highest")
    assert names(page) == before[::-1]
    page.locator("#method").select_option("1")
    page.locator("#order").select_option("lowest")
    # It failed on image 2.
    assert names(page) == [before[0], *before[2:], before[1]]
    settle(page)
    values = page.locator("#images > li:first-child .value").all_text_contents()
    assert values[:2] == ["average drop: 0", "average drop: 1"]


def test_only_images_near_the_window_hold_pictures(open_page):
    page = open_page("compare", height=400)
    assert page.locator("#images > li:first-child canvas").count() == 7
    assert page.locator("#images > li:last-child canvas").count() == 0
    assert page.locator("#images canvas").count() < 7 * N_IMAGES / 2
    page.locator("#images > li:last-child").scroll_into_view_if_needed()
    wait(page, "document.querySelector('#images > li:last-child canvas') !== null")
    wait(page, "document.querySelector('#images > li:first-child canvas') === null")
    settle(page)
    assert not is_gray(canvas_pixels(page, "#images > li:last-child canvas"))


def test_clusters_unfold(open_page):
    page = open_page("explain")
    assert page.locator("details canvas").count() == 0
    summary = page.locator("#images > li:first-child summary")
    assert (
        summary.text_content()
        == "3 clusters of channels, by the drop in the score without them (logit)"
    )
    summary.click()
    settle(page)
    cells = page.locator("#images > li:first-child details figcaption .name")
    assert cells.all_text_contents() == ["+2.5", "0", f"{MINUS}0.5"]
    labels = page.locator("details canvas").evaluate_all(
        "found => found.map((canvas) => canvas.ariaLabel)"
    )
    assert labels[1] == "Cluster 0, 1 channel: zero everywhere"
    assert not is_gray(canvas_pixels(page, "details figure:first-child canvas"))


def test_clusters_of_a_method_unfold_by_themselves(open_page):
    page = open_page("compare")
    row = page.locator("#images > li:first-child")
    assert page.locator("details canvas").count() == 0
    titles = row.locator("summary").all_text_contents()
    assert [title.split(":")[0] for title in titles] == ["method 0", "method 1"]
    row.locator("summary").nth(1).click()
    settle(page)
    assert row.locator("details").nth(0).locator("canvas").count() == 0
    details = row.locator("details").nth(1)
    assert details.locator("p").text_content().endswith("that the map averages.")
    found = details.get_by_role("img")
    assert found.count() == 3
    assert found.last.get_attribute("aria-label").startswith("Cluster ")
    # The last one is first: they are ordered, and the largest reaches the scale's end.
    assert details.locator("figcaption .range").first.text_content() == "3 channels"
    tops = [
        saturation(canvas_pixels(page, f"details[open] figure:nth-child({j}) canvas"))
        for j in (1, 2, 3)
    ]
    assert tops[0] > tops[1] > tops[2]
    assert row.locator("> .maps canvas").count() == 7


def test_unfolded_clusters_are_drawn_again_when_they_come_back(open_page):
    page = open_page("compare", height=400)
    page.locator("#images > li:first-child summary").first.click()
    settle(page)
    height = page.locator("details[open]").bounding_box()["height"]
    page.locator("#images > li:last-child").scroll_into_view_if_needed()
    wait(page, "document.querySelector('details canvas') === null")
    # What is read below must not jump.
    assert page.locator("details[open]").bounding_box()["height"] == pytest.approx(height, abs=1)
    page.locator("#images > li:first-child").scroll_into_view_if_needed()
    wait(page, "document.querySelectorAll('details canvas').length === 3")
    settle(page)
    assert not is_gray(canvas_pixels(page, "details[open] canvas"))


def test_maps_of_one_unit_share_their_colors(open_page):
    """LayerGradCam's is twice the third cluster's here, Clustered-CAM's the sum of two."""
    page = open_page("explain")
    tops = [saturation(canvas_pixels(page, f"{stack(m)} canvas")) for m in (1, 2)]
    # Only one of them reaches the limit, but for interpolation.
    assert max(tops) > 0.65
    assert min(tops) < max(tops) - 0.2


def test_the_skip_link_leads_past_the_summary(open_page):
    page = open_page("explain", at_images=False)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "prediction"


def test_everything_works_by_keyboard(open_page):
    # From the top: in some browsers Tab goes on from where a script has scrolled to.
    page = open_page("explain", at_images=False)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    visited = set()
    while True:
        page.keyboard.press("Tab")
        place, focused = page.evaluate(
            """() => {
              const found = document.activeElement;
              return [[...document.querySelectorAll("*")].indexOf(found),
                found.id || found.textContent.trim()];
            }"""
        )
        if place in visited or focused.startswith("Skip"):
            break
        visited.add(place)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", focused
        if focused == "probability":
            page.keyboard.press("Enter")
        if focused == "number":
            page.keyboard.press("p")
        if focused == "opacity":
            page.keyboard.press("ArrowLeft")
        if focused.startswith("3 clusters"):
            page.keyboard.press("Enter")
    assert page.locator("#summary th[aria-sort=ascending]").text_content() == "probability"
    assert page.locator("#opacity").input_value() == "95"
    assert page.locator("#number").input_value() == "0"
    assert page.locator("details[open]").count() == 3


@pytest.mark.parametrize("kind", ["compare", "explain"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_axe_finds_no_serious_violation(open_page, kind, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    page = open_page(kind, color_scheme=scheme, width=width)
    page.locator("#summary thead button").first.click()
    page.locator("#number").select_option("0")
    page.locator("summary").first.click()
    page.evaluate("byId('images').scrollIntoView()")
    settle(page)
    response = axe.Axe().run(page).response
    # What it cannot decide counts, but for cells that are half below the column that stays.
    found = [
        (each["id"], node["html"])
        for each in response["violations"] + response["incomplete"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
        if "partially obscured" not in node["failureSummary"]
    ]
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("kind", ["compare", "explain"])
def test_headings_are_in_order(open_page, kind):
    page = open_page(kind)
    levels = page.locator("h1, h2, h3").evaluate_all("found => found.map((h) => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(second <= first + 1 for first, second in itertools.pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"


def test_schemes_have_colors_of_their_own(open_page):
    grounds = [
        open_page("compare", color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    ]
    assert grounds[0] == "rgb(255, 255, 255)"
    assert grounds[1] != grounds[0]


def test_names_are_never_taken_for_html(open_page):
    for kind in ("compare", "explain"):
        page = open_page(kind)
        assert page.locator("h3").first.text_content() == AWKWARD
        assert page.locator("b, no, dog, malignant, gradient").count() == 0
        assert page.get_by_role("cell", name="It is <no> image.").count() == 1
    assert "predicted: <dog>" in page.locator("#images > li").nth(1).text_content()


def test_more_columns_to_the_right_are_counted_and_shaded(open_page):
    page = open_page("wide", at_images=False)
    wait(page, "byId('more').textContent !== ''")
    edge = page.locator(".scroll").first.bounding_box()
    heads = [head.bounding_box() for head in page.locator("#summary thead th").all()]
    hidden = sum(box["x"] + box["width"] > edge["x"] + edge["width"] + 1 for box in heads)
    assert 1 < hidden < 14
    assert page.locator("#more").text_content() == f"{hidden} more columns to the right →"
    shade = page.locator(".shade").bounding_box()
    assert shade["width"] > 20
    assert shade["x"] + shade["width"] == pytest.approx(edge["x"] + edge["width"])
    assert shade["height"] == pytest.approx(edge["height"])
    page.evaluate("document.querySelector('.scroll').scrollLeft = 1e6")
    wait(page, "byId('more').textContent === ''")
    assert page.locator(".shade").bounding_box()["height"] == 0
    page = open_page("explain", at_images=False)
    assert page.locator("#more").text_content() == ""


def test_columns_can_be_chosen(open_page):
    page = open_page("wide", at_images=False)
    page.locator("#columns summary").click()
    page.get_by_role("button", name="None", exact=True).click()
    heads = page.locator("#summary thead th:visible")
    assert heads.count() == 1
    page.get_by_label("metric 4", exact=True).check()
    page.get_by_label("metric 2", exact=True).check()
    assert heads.all_text_contents() == ["Method", "metric 2", "metric 4\xa0, higher is better"]
    cells = page.locator("#summary tbody tr:first-child td:visible").all_text_contents()
    # Means of 0, 2 and 3, ten times, and one more for each metric.
    assert [cell.split()[0] for cell in cells] == ["18.7", "20.7"]
    heads.last.get_by_role("button").click()
    assert heads.last.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="All", exact=True).click()
    assert heads.count() == 1 + len(MANY_METRICS) + 1
    wait(page, "byId('more').textContent !== ''")


def test_images_are_ordered_by_their_true_class(open_page):
    page = open_page("compare")
    page.locator("#order").select_option("label")
    facts = page.locator("#images > li > h3 + p").all_text_contents()
    classes = [text.split(" · ")[0] for text in facts]
    benign = "true class: benign"
    assert classes == sorted(classes, key=lambda text: text != benign)
    assert 0 < classes.count(benign) < len(classes)


def test_a_number_of_an_image_stands_below_its_facts(open_page):
    page = open_page("explain")
    page.locator("#number").select_option("1")
    found = page.locator("#images .of-image").all_text_contents()
    assert found == [f"score of the explained class: {n}" for n in (3.25, 2.25, 1.25)]
