"""The README, CONTRIBUTING and the pages of docs/: short, linked, and true to the folders."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
FLOORS = ("configs", "dashboards", "docs", "etl", "migrations", "models", "src", "tests")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def linked(document: Path) -> list[Path]:
    """Files that a document's links and pictures name."""
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    names = (target.partition("#")[0] for target in targets if "://" not in target)
    return [document.parent / name for name in names if name]


def named(document: Path) -> list[str]:
    """Paths from the top of the repository in code spans; `<room>` stands for any."""
    spans = re.findall(r"`([^`\s]+)`", document.read_text(encoding="utf-8"))
    return [span for span in spans if "/" in span and span.split("/")[0] in FLOORS]


def pages_of(nav: list | dict | str) -> list[str]:
    """Files in the order in which a nav of mkdocs names them."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages_of(part)]


def method_rows() -> list[list[str]]:
    """Cells of the table of docs/method.md: paper, idea, room, mathematics, stage, table."""
    lines = (ROOT / "docs" / "method.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if len(row) == 6 and row[0] != "paper" and "---" not in row[0]]


def test_the_readme_is_a_door():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 90
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_whom_it_is_for(page: Path):
    title, empty, audience, after = page.read_text(encoding="utf-8").splitlines()[:4]

    assert title.startswith("# ")
    assert re.fullmatch(r"\*For [^*]+\.\*", audience)
    assert (empty, after) == ("", "")


def test_the_site_has_every_page_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    assert sorted(pages_of(nav)) == [page.name for page in PAGES]


@every_document
def test_what_a_document_links_to_is_there(document: Path):
    assert [path for path in linked(document) if not path.exists()] == []


@every_document
def test_paths_that_a_document_names_are_there(document: Path):
    patterns = {name: re.sub("<[^>]+>", "*", name).rstrip("/") for name in named(document)}

    assert [name for name, pattern in patterns.items() if not any(ROOT.glob(pattern))] == []


@every_document
def test_modules_that_a_document_imports_are_there(document: Path):
    said = re.findall(r"^from (feature_atlas[\w.]*) import", document.read_text(), re.MULTILINE)
    files = [(ROOT / "src").joinpath(*module.split(".")) for module in said]

    assert [f for f in files if not (f.with_suffix(".py").is_file() or f.is_dir())] == []


@pytest.mark.parametrize(
    ("column", "floor"), [(3, "src/feature_atlas"), (4, "etl/stages"), (5, "models")]
)
def test_the_method_names_files_of_its_rooms(column: int, floor: str):
    found = [
        name if "/" in name else f"{row[2]}/{name}"
        for row in method_rows()
        for name in re.findall("`([^`]+)`", row[column])
    ]

    assert len(found) > 10
    assert [name for name in found if not (ROOT / floor / f"{name}.py").is_file()] == []


def test_the_site_shares_its_versions_with_the_atlas():
    pins = {
        name: dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-docs.lock")
    }
    ours, site = pins.values()

    assert "mkdocs-material" in site
    assert ours.keys() & site.keys() == set()  # the lock is a constraint of the site's
