"""Pictures for docs/screenshots: every page of the tiny world's atlas, as a reader sees it first.

feature-atlas demo, and while it serves:  python tests/docs/screenshots.py http://127.0.0.1:8501
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs/screenshots"
WIDTH, HEIGHT, TALLEST = 1280, 800, 1800
N_COLOURS = 200
PAGES = {
    "overview": "/",
    "explore": "/explore?where=is_turned_by_vision:yes&where=visual_energy:0.1..&sort=cosine",
    "feature": "/feature?layer=0&feature=846",
    "feature-fires": "/feature?layer=0&feature=846&fires=true&examples=by+quantile",
    "feature-drives": "/feature?layer=0&feature=846&drives=true",
    "search": "/search?q=left+of",
    "lists": "/lists",
    "sql": "/sql",
    "ablation": "/ablation",
    "shift": "/shift",
    "heads": "/heads",
    "thresholds": "/thresholds",
    "compare": "/compare",
    "layers": "/layers",
    "runs": "/runs",
    "try": "/try",
}
SECTIONS = {"feature-fires": "When it fires", "feature-drives": "What drives it"}
"""Of the Feature page: what the picture begins with."""


def main() -> None:
    """Write one file a page."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=sys.argv[1], viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(120_000)
        for name, address in PAGES.items():
            _save(_seen(page, address, SECTIONS.get(name)), FOLDER / f"{name}.png")
        browser.close()


def _seen(page: Page, address: str, section: str | None) -> bytes:
    """The page at its height, up to a bound; from a section of it on."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.goto(address)
    page.get_by_role("heading", level=1).first.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(
        state="attached"
    )
    main = "document.querySelector('[data-testid=stMain]')"
    top = 0
    if section:
        begin = page.get_by_text(section).first.bounding_box()
        top = int(begin["y"]) - 20 if begin else 0
    whole = int(page.evaluate(f"{main}.scrollHeight"))
    page.set_viewport_size({"width": WIDTH, "height": min(whole, top + TALLEST)})
    page.wait_for_timeout(3000)  # charts grow into their place
    end = min(int(page.evaluate(f"{main}.scrollHeight")), top + TALLEST)
    return page.screenshot(clip={"x": 0, "y": top, "width": WIDTH, "height": end - top})


def _save(picture: bytes, file: Path) -> None:
    """Few colours: small, and still sharp."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(N_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
