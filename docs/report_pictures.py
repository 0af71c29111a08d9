"""Take screenshots of a comparison's report in a browser: python docs/report_pictures.py"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from compare_photographs import PHOTOGRAPHS
from playwright.sync_api import Page, sync_playwright

from captum_clustered.comparison import compare
from captum_clustered.data import ImageBatches, ImageList
from captum_clustered.report import write_report
from captum_clustered.samples import (
    LAYER,
    LAYER_INPUT,
    demo_model,
    demo_preprocessing,
    photographs,
)

FOLDER = Path(__file__).parent / "images"
METRICS = ["average drop", "average drop 50%", "insertion", "complexity", "coherency"]
# The metric that sorts table and images; the method whose clusters are unfolded.
METRIC, METHOD = "average drop 50%", "ClusteredLayerCAM"
# Wide enough for all maps of an image side by side.
WIDTH, HEIGHT = 1090, 6000


def main() -> None:
    """Write docs/images/report-summary.png and report-images.png if there is a browser."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print(
            "The pictures of the report are unchanged: they need chromium, or its path in "
            "$CHROMIUM.",
            file=sys.stderr,
        )
        return
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        path = _report(Path(temporary))
        # As root it needs to run without its sandbox.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        # High enough that the page never scrolls, so that boxes are places on the page.
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(path.as_uri())
        _summary(page)
        _images(page)
        browser.close()


def _report(folder: Path) -> Path:
    """Write the report of a comparison on eight photographs."""
    images = folder / "photographs"
    images.mkdir()
    for name, image in photographs(PHOTOGRAPHS).items():
        image.save(images / f"{name}.png")
    model, preprocessing, run = demo_model(), demo_preprocessing(), folder / "run"
    listed = ImageList(images, transform=preprocessing, classes=model.class_names)
    comparison = compare(
        model.module,
        model.module.get_submodule(LAYER),
        ImageBatches(listed, 4),
        [METHOD, "LayerGradCam"],
        METRICS,
        attribute_to_layer_input=LAYER_INPUT,
        save_to=run / "state",
    )
    facts = {
        "Model": model.name,
        "Layer": f"{'input of ' if LAYER_INPUT else ''}{LAYER}",
        "Folder": "photographs",
        "Preprocessing": preprocessing.description,
    }
    comparison.save(run, facts=facts)
    return write_report(run)


def _summary(page: Page) -> None:
    """Capture the table, sorted by the metric."""
    page.locator("#summary thead button").nth(1 + METRICS.index(METRIC)).click()
    bottom = page.locator("section").first.bounding_box()
    _photograph(page, "summary", 0, 0 if bottom is None else bottom["y"] + bottom["height"])


def _images(page: Page) -> None:
    """Capture the controls and the image with the smallest drop, with its clusters."""
    page.locator("#number").select_option(label=METRIC)
    page.locator("#order").select_option("lowest")
    row = page.locator("#images > li:first-child")
    row.locator("summary").first.click()
    row.locator("details canvas").last.wait_for()
    page.wait_for_timeout(2000)
    top, bottom = page.locator("#controls").bounding_box(), row.bounding_box()
    if top is None or bottom is None:
        raise RuntimeError("The page has no images.")
    _photograph(page, "images", top["y"], bottom["y"] + bottom["height"])


def _photograph(page: Page, name: str, top: float, bottom: float) -> None:
    # With a little room above.
    top = max(0, top - 8)
    page.screenshot(
        path=FOLDER / f"report-{name}.png",
        clip={"x": 0, "y": top, "width": WIDTH, "height": bottom - top},
    )


if __name__ == "__main__":
    main()
