"""One headless Chromium for all tests of the page."""

import os
import shutil

import pytest

# Debian's; as root it needs to run without its sandbox.
SWITCHES = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """The browser; tests that need it are left out where there is none."""
    # Not for the session: while it runs, no other test can have an event loop.
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium, or the path of one in $CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield browser
        browser.close()
