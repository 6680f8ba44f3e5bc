"""What lies beside an edition's tables: manifest, citation, metadata, the page of survivors."""

import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import mlcroissant
import pytest
import yaml
from databases import create_database
from run_folder import write_run_folder
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.bridges.edition.credit import credit
from feature_atlas.etl.bridges.edition.edition import Edition, export_edition
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine, make_reader_engine

HOSTILE = """<script src="//x.test/a.js"></script><img src=x onerror=alert(1)>&'" $rows"""

REVIEW = """
INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)
SELECT run_id, layer, feature, 'edit', :said, 'somebody' FROM atlas.spatial
ORDER BY layer, feature LIMIT 1
"""


@pytest.fixture(scope="module")
def reader(postgres_url: str, template_database: str, tmp_path_factory) -> Iterator[Engine]:
    """A reader of an atlas whose first survivor has a label that would be HTML."""
    url = create_database(postgres_url, "edition-papers", template_database)
    owner = make_engine(url)
    ingest(write_run_folder(tmp_path_factory.mktemp("papers"), name="papers"), owner)
    with owner.begin() as connection:
        connection.execute(text(REVIEW), {"said": HOSTILE})
    owner.dispose()
    engine = make_reader_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def edition(reader: Engine, tmp_path_factory: pytest.TempPathFactory) -> Edition:
    said = credit(["Ada & Co", "Émilie"], "CC0-1.0")
    return export_edition(reader, "1", tmp_path_factory.mktemp("edition") / "edition", said)


def test_the_manifest_names_every_other_file_with_its_hash(edition: Edition):
    manifest = json.loads((edition.folder / "manifest.json").read_text())

    listed = {entry["path"]: entry for entry in manifest["files"]}
    there = {file.relative_to(edition.folder).as_posix(): file for file in _files(edition)}
    assert listed.keys() == there.keys() - {"manifest.json"}
    for path, entry in listed.items():
        content = there[path].read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert listed["parquet/feature.parquet"]["rows"] == 128
    assert listed[f"{manifest['edition']}.duckdb"]["rows"] == sum(edition.rows.values())
    assert manifest["licence"] == "CC0-1.0"
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["config_hash"])
    assert {entry["name"] for entry in manifest["data_sets"]} == {"vqav2-val", "vsr-test"}


def test_the_citation_says_who_what_and_when(edition: Edition):
    citation = yaml.safe_load((edition.folder / "CITATION.cff").read_text())

    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "Ada & Co"}, {"name": "Émilie"}]
    assert citation["version"] in citation["title"]
    assert (citation["type"], citation["license"]) == ("dataset", "CC0-1.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", citation["date-released"])


def test_mlcroissant_accepts_the_metadata_and_loads_records(edition: Edition):
    dataset = mlcroissant.Dataset(edition.folder / "croissant.json")

    assert (dataset.metadata.issues.errors, dataset.metadata.issues.warnings) == (set(), set())
    rows = list(dataset.records("feature"))
    assert len(rows) == 128
    assert {(row["feature/layer"], row["feature/feature"]) for row in rows} == {
        (layer, feature) for layer in (0, 1) for feature in range(64)
    }
    (cosine,) = [field for field in _fields(dataset, "feature") if field.name == "cosine"]
    assert "decoder cosine in the text regime" in cosine.description
    example = next(iter(dataset.records("example")))
    assert len(example["example/tokens"]) == len(example["example/activations"]) > 1
    filled = {name for name, n in edition.rows.items() if n}
    assert {records.name for records in dataset.metadata.record_sets} == filled


def test_the_page_of_survivors_holds_nothing_but_words(edition: Edition):
    page = (edition.folder / "survivors.html").read_text()
    read = _Read()
    read.feed(page)

    assert read.tags <= {
        *("html", "meta", "title", "style", "h1", "h2", "h3", "p", "table", "thead", "tbody"),
        *("tr", "th", "td", "a", "small", "section", "ol", "li", "mark", "footer"),
    }
    assert read.attributes <= {
        *("lang", "charset", "http-equiv", "content", "name", "title", "href", "id"),
    }
    assert all(address.startswith("#f-") for address in read.addresses)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?:", page)
    assert HOSTILE in " ".join(read.words)
    assert len(read.addresses) == 8
    assert page.count("<mark>") == page.count("<li>") > 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--licence", "do what you want"], "SPDX's short name"),
        (["--author", " "], "--author is empty"),
        (["--output", "."], "is there already"),
    ],
)
def test_what_cannot_be_written_is_refused_before(
    options: list[str], said: str, reader: Engine, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    monkeypatch.setenv("ATLAS_DATABASE_URL", reader.url.render_as_string(hide_password=False))

    result = CliRunner().invoke(app, ["export", "edition", "1", *options])

    assert (result.exit_code, said in result.output) == (1, True)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_the_command_writes_beside_where_it_is_called(reader: Engine, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLAS_DATABASE_URL", reader.url.render_as_string(hide_password=False))

    result = CliRunner().invoke(app, ["export", "edition", "papers"])

    assert result.exit_code == 0, result.output
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("atlas-papers-")
    assert "CC-BY-4.0" in (folder / "README.md").read_text()


class _Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _files(edition: Edition) -> list[Path]:
    return [file for file in edition.folder.rglob("*") if file.is_file()]


def _fields(dataset: mlcroissant.Dataset, name: str) -> list[mlcroissant.Field]:
    return next(r.fields for r in dataset.metadata.record_sets if r.name == name)
