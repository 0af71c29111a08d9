"""What tests of the report's page in a browser share."""

import numpy as np
import pytest
from PIL import Image

N_IMAGES = 12
# More columns than a window or paper has room for.
MANY_METRICS = {f"metric {i}": ("lower", "higher", None)[i % 3] for i in range(14)}


def wait(page, expression):
    """Playwright's own way to wait evaluates texts, which the page's policy forbids."""
    for _ in range(500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"It never came to {expression}")


def settle(page):
    """Waits until all that is near the window is drawn."""
    wait(page, "document.querySelector('.maps figure') !== null && images.cells.tasks.length === 0")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def names(page):
    return page.locator("#images > li:visible h3").all_text_contents()


def photograph(page, selector, tmp_path):
    path = tmp_path / "element.png"
    page.locator(selector).first.screenshot(path=path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)
