"""Headless Chromium on a real Streamlit server, as a person has it.

A file says by its own fixture `server` which atlas is served.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import feature_atlas.dashboards

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000
"""Milliseconds: a busy machine of two cores is slow, not broken."""

Visit = Callable[..., None]
Serve = Callable[..., AbstractContextManager[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.browser)
            item.add_marker(
                pytest.mark.skipif(
                    CHROMIUM is None,
                    reason="no Chromium found: `apt-get install chromium` brings one",
                )
            )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: while Playwright runs, nothing else of its thread may await anything."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Serves the pages of a database, from another folder as a user would: their address."""

    @contextmanager
    def serve(url: str, **environment: str) -> Iterator[str]:
        app = Path(feature_atlas.dashboards.__file__).parent / "app.py"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = {"address": "127.0.0.1", "port": str(port), "headless": "true"}
        words = [word for name, value in options.items() for word in (f"--server.{name}", value)]
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(app), *words],
            env={**os.environ, "ATLAS_DATABASE_URL": url, **environment},
            cwd=tmp_path_factory.mktemp("elsewhere"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)

    return serve


@pytest.fixture
def open_tab(browser: Browser, server: str) -> Iterator[Callable[[], Page]]:
    """Opens a tab that notes every request that leaves this machine and every console error."""
    # what moves while a page loads is drawn by a processor here, and never tested
    context = browser.new_context(
        base_url=server, viewport={"width": 1400, "height": 1000}, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    faults: list[str] = []
    local = (server, server.replace("http", "ws"), "data:", "blob:")
    context.on("request", lambda r: None if r.url.startswith(local) else faults.append(r.url))
    context.on("weberror", lambda error: faults.append(str(error.error)))
    # below a page's name Streamlit looks for itself first, and finds itself one level up
    context.on(
        "console",
        lambda said: (
            faults.append(said.text)
            if said.type == "error" and "/_stcore/" not in str(said.location)
            else None
        ),
    )
    yield context.new_page
    context.close()
    assert not faults, f"requests that left this machine, or console errors: {faults}"


@pytest.fixture
def page(open_tab: Callable[[], Page]) -> Page:
    return open_tab()


@pytest.fixture
def settled() -> Callable[[Page], None]:
    """Waits until a page has run to its end, and not into an exception."""

    def settled(page: Page) -> None:
        done = page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
        done.wait_for(state="attached")
        expect(page.get_by_test_id("stException")).to_have_count(0)

    return settled


@pytest.fixture
def visit(page: Page, settled: Callable[[Page], None]) -> Visit:
    """Opens an address in the tab, and waits for a heading: `visit("/heads", "Heads")`."""

    def visit(address: str, title: str) -> None:
        page.goto(address)
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        settled(page)

    return visit


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Streamlit stopped with exit code {process.returncode}.")
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"Streamlit did not answer at {address} in {PATIENCE / 1000:.0f} s.")
