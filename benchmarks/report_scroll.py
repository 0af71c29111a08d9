"""
Frames that a browser draws and drops while a report of many images is scrolled.

    PYTHONPATH=benchmarks:tests/helpers python benchmarks/report_scroll.py --images 500

Scrolls the page of made-up images from its top in Chromium, at several speeds, and counts frames
in the browser's own trace. A dropped frame is one that the browser wanted to draw and did not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from made_up_runs import write_compare_run  # type: ignore[import-not-found]
from playwright.sync_api import CDPSession, Page, sync_playwright

from captum_clustered.report import write_report

SWITCHES = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Print one line for each speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--speeds", type=int, nargs="+", default=[800, 2000, 5000])
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_compare_run(Path(folder), options.images)
        address = write_report(folder).as_uri()
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        print(
            "| pixels per second | seconds | frames drawn | dropped |\n"
            "| ---: | ---: | ---: | ---: |"
        )
        for speed in options.speeds:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(address)
            # The start of the page is not a part of scrolling.
            page.wait_for_timeout(1500)
            frames = scroll(page, speed, options.seconds)
            found = [frames["DrawFrame"], frames["DroppedFrame"]]
            print(f"| {speed} | {options.seconds:g} | {found[0]} | {found[1]} |", flush=True)
            page.close()
        browser.close()


def scroll(page: Page, speed: int, seconds: float) -> Counter[str]:
    """Scroll down; return how often each event of the trace happened."""
    session: CDPSession = page.context.new_cdp_session(page)
    chunks: list[dict[str, Any]] = []
    ended: list[Any] = []
    session.on("Tracing.dataCollected", lambda data: chunks.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda data: ended.append(data))
    session.send(
        "Tracing.start",
        {"categories": "disabled-by-default-devtools.timeline.frame,devtools.timeline.frame"},
    )
    session.send(
        "Input.synthesizeScrollGesture",
        {"x": 600, "y": 450, "yDistance": -int(speed * seconds), "speed": speed},
    )
    session.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(50)
    # Frames that scrolled in time, with one late picture, are not dropped.
    return Counter(
        event["name"] for event in chunks if not event.get("args", {}).get("hasPartialUpdate")
    )


if __name__ == "__main__":
    main()
