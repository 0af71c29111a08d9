"""One headless Chromium for all tests of the page."""

import os
import shutil

import pytest
from made_up_runs import write_compare_run, write_explain_run
from report_pages import MANY_METRICS, N_IMAGES, settle

from captum_clustered.report import write_report

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


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all tests: a new one costs more than most of them."""
    return browser.new_page()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Pages of two runs of compare, one with many metrics, and of one of explain."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("compare", "wide", "explain")}
    write_compare_run(folders["compare"], N_IMAGES)
    write_compare_run(folders["wide"], 4, metrics=MANY_METRICS)
    write_explain_run(folders["explain"], scaling="density")
    return {kind: write_report(folder) for kind, folder in folders.items()}


@pytest.fixture
def open_page(tab, pages):
    """Opens a page; whatever it says on the console or asks for from elsewhere is a mistake."""
    heard, asked = [], []
    listeners = {
        "console": lambda message: heard.append(message.text),
        "pageerror": lambda error: heard.append(str(error)),
        "request": lambda request: asked.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)

    def open_it(kind, at_images=True, color_scheme="light", width=1200, height=900):
        # Nothing is left of the page before.
        tab.goto("about:blank")
        tab.mouse.move(0, 0)
        tab.emulate_media(color_scheme=color_scheme)
        tab.set_viewport_size({"width": width, "height": height})
        tab.goto(pages[kind].as_uri())
        if at_images:
            tab.evaluate("byId('images').scrollIntoView()")
            settle(tab)
        return tab

    yield open_it
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert heard == []
    own = (*(path.as_uri() for path in pages.values()), "data:", "about:blank")
    assert [url for url in asked if not url.startswith(own)] == []
