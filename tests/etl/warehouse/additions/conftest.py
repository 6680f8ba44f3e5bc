"""An atlas with a run that lacks a skill, and a folder that adds labels to it."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from databases import create_database
from later_measurement import entry, labels
from run_folder import read_rows, replace_rows, seal, write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the skills spatial, ocr and vsr."""
    return write_run_folder(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def spatial(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without ocr."""
    folder = tmp_path_factory.mktemp("spatial") / whole.name
    shutil.copytree(whole, folder)
    rows = read_rows(folder, "firing_shift")
    replace_rows(folder, "firing_shift", rows.filter(pa.compute.not_equal(rows["skill"], "ocr")))
    return folder


@pytest.fixture(scope="session")
def filled(postgres_url: str, template_database: str, spatial: Path) -> str:
    """Name of a database with that run published; copied, never used."""
    engine = make_engine(create_database(postgres_url, "to_add_to", template_database))
    ingest(spatial, engine)
    engine.dispose()
    return "to_add_to"


@pytest.fixture
def addition(atlas: Engine, whole: Path, tmp_path: Path) -> Path:
    """A folder that adds labels, written from nothing but its description."""
    folder = tmp_path / "labels"
    manifest = json.loads((whole / "manifest.json").read_text())
    made = entry("labels", by="folder").model_dump(mode="json")
    manifest |= {
        "adds_to": manifest["config_hash"],
        "datasets": [],
        "measurements": [made],
        "files": [
            {"path": "labels/auto_interp.0.parquet", "stage": "labels", "table": "auto_interp"}
        ],
    }
    (folder / "labels").mkdir(parents=True)
    pa.parquet.write_table(labels(whole), folder / "labels/auto_interp.0.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    return folder
