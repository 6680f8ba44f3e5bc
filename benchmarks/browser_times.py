"""How long a reader waits for each page, in headless Chromium: two times of every visit.

Shown: the page's script has run to its end, so all its words, inputs, tables and charts were sent.
Interactive: from then on the browser answers, too, for its thread is never taken for more than 50
ms in the half second that follows; a chart that is still being drawn takes it. That is the time to
interactive of browsers' own measurements, with a shorter silence.

Of a page: its first visit, which asks the database, and ten more, as median and p95; on Explore a
new filter, from the key to the new table; and the memory of the dashboards' process. What leaves
this machine, console errors and exceptions are counted: all three must be 0. `large_atlas.py` makes
an atlas of a million features to look at, whose run 2 has rows in every table.

ATLAS_HOME=... python benchmarks/browser_times.py [WORD...]    # of pages whose name has a word
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import Page, sync_playwright

PAGES = {
    "Overview": "/?run=2",
    "Explore": "/explore?run=2&where=cosine:..0.9",
    "Feature, folded": "/feature?run=2&layer=0&feature=0",
    "Feature, all open": "/feature?run=2&layer=0&feature=0&"
    + "&".join(f"{name}=true" for name in ("what", "fires", "writes", "changed", "drives")),
    "Search": "/search?run=2&q=left",
    "Ablation": "/ablation?run=2",
    "Ablation: several together": "/ablation?run=2&removal=several+together",
    "Ablation: added instead": "/ablation?run=2&removal=added+instead",
    "Shift": "/shift?run=2",
    "Shift: from all to a few": "/shift?run=2&shift_part=from+all+to+a+few",
    "Heads": "/heads?run=2",
    "Heads: that recur": "/heads?run=2&heads_part=heads+that+recur",
    "Heads: estimate and swap": "/heads?run=2&heads_part=estimate+and+real+swap",
    "Thresholds": "/thresholds?run=2",
    "Compare: drift": "/compare?a=1&b=2",
    "Compare: one metric": "/compare?a=1&b=2&part=one+metric",
    "Compare: camps": "/compare?a=1&b=2&part=camps",
    "Compare: surprises": "/compare?a=1&b=2&part=surprises",
    "Compare: a series": "/compare?show=a+series",
    "Layers": "/layers?run=2",
    "Layers: all features": "/layers?run=2&layers_part=all+features",
    "Layers: reconstruction": "/layers?run=2&layers_part=reconstruction",
    "Layers: seeing": "/layers?run=2&layers_part=seeing",
    "Layers: over seeds": "/layers?run=2&layers_part=over+seeds",
    "Layers: by chance": "/layers?run=2&layers_part=by+chance",
    "Runs": "/runs",
    "Lists": "/lists",
    "SQL": "/sql",
    "Try it": "/try",
}
N_VISITS, N_FILTERS = 10, 10
PATIENCE = 120_000
"""Milliseconds."""
SILENCE = 500
"""Milliseconds without a task that keeps the browser from answering."""
NOTE_TASKS = """
    window.busyUntil = 0;
    new PerformanceObserver(list => { for (const task of list.getEntries())
        window.busyUntil = Math.max(window.busyUntil, task.startTime + task.duration);
    }).observe({type: "longtask", buffered: true});
"""
"""Browsers report tasks of over 50 ms as long ones."""


class Visit(NamedTuple):
    """Seconds from the address to a page."""

    shown: float
    interactive: float


def main(words: list[str]) -> None:
    """Print a table, one line a page."""
    if "ATLAS_HOME" not in os.environ:
        print(__doc__)
        return
    with _dashboard() as (address, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE)
        context.add_init_script(NOTE_TASKS)
        page, faults = context.new_page(), _faults(context, address)
        page.goto("/try")  # Chromium itself is warm from here on
        print("| page | first: shown, s | interactive | later: shown, median | p95 | interactive,"
              " median | p95 |\n|---|--:|--:|--:|--:|--:|--:|")  # fmt: skip
        for name, path in PAGES.items():
            if not words or any(word.lower() in name.lower() for word in words):
                first, *later = [_visit(page, path) for _ in range(1 + N_VISITS)]
                spreads = [_spread(list(seconds)) for seconds in zip(*later, strict=True)]
                print(f"| {name} | {first.shown:.1f} | {first.interactive:.1f} |",
                      f"{' | '.join(spreads)} |", flush=True)  # fmt: skip
        if not words or "filter" in words:
            for name, seconds in zip(("table", "charts"), _filters(page), strict=True):
                print(f"| Explore: a new filter, to the {name} | | | {_spread(seconds)} | | |")
        print(f"\ndashboards: {_megabytes(process.pid)} MB; faults: {len(faults)} {faults[:5]}")
        browser.close()


def _visit(page: Page, path: str) -> Visit:
    started = time.time()
    page.goto(path)
    page.get_by_role("heading", level=1).first.wait_for()
    _settle(page)
    shown = time.time() - started
    if page.get_by_test_id("stException").count():
        raise RuntimeError(f"{path} shows an exception: {page.get_by_test_id('stException')}")
    page.wait_for_function(
        f"shown => performance.now() > Math.max(shown, busyUntil) + {SILENCE}",
        arg=1000 * (started + shown) - page.evaluate("performance.timeOrigin"),
        polling=100,
    )
    busy_until = page.evaluate("(performance.timeOrigin + busyUntil) / 1000")
    return Visit(shown, max(shown, busy_until - started))


def _settle(page: Page) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(
        state="attached"
    )


def _filters(page: Page) -> tuple[list[float], list[float]]:
    """Seconds from a new end of a filter to the table that it leaves, and to the charts."""
    _visit(page, PAGES["Explore"])
    to_table, to_charts = [], []
    table = page.locator('[data-stale="false"]').filter(has=page.get_by_test_id("stDataFrame"))
    for step in range(N_FILTERS):
        end = page.get_by_role("textbox", name="cosine to", exact=True).first
        end.fill(str(0.8 - step / 100))
        started = time.perf_counter()
        end.press("Enter")
        page.wait_for_url(re.compile(rf"where=cosine.*{0.8 - step / 100:g}(&|$)"))
        table.first.wait_for()
        to_table.append(time.perf_counter() - started)
        _settle(page)
        to_charts.append(time.perf_counter() - started)
    return to_table, to_charts


def _faults(context, address: str) -> list[str]:  # type: ignore[no-untyped-def]
    """What went wrong in the browser, as it goes on."""
    found: list[str] = []
    local = (address, address.replace("http", "ws"), "data:", "blob:")
    context.on("request", lambda r: None if r.url.startswith(local) else found.append(r.url))
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on(
        "console",
        lambda said: (
            found.append(said.text)
            if said.type == "error" and "/_stcore/" not in str(said.location)
            else None
        ),
    )
    return found


@contextmanager
def _dashboard() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The pages of ATLAS_HOME on a free port, as `feature-atlas dashboard` serves them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "feature_atlas.etl.commands.cli", "dashboard"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=os.environ, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urlopen(f"{address}/_stcore/health", timeout=5).close()
                break
            except (URLError, OSError):
                if process.poll() is not None:
                    raise RuntimeError("the dashboards did not start") from None
                time.sleep(0.2)
        yield address, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _megabytes(parent: int) -> int:
    """Resident memory of Streamlit's process, which the command started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()
    found = [
        re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{child}/status").read_text(encoding="utf-8"))
        for child in children
    ]
    return max(int(one[1]) for one in found if one) // 1024  # the other one watches the database


def _spread(seconds: list[float]) -> str:
    median, p95 = np.percentile(seconds, [50, 95])
    return f"{median:.2f} | {p95:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
