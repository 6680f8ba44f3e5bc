"""A VLM that was known without its base model's hash gets it from the first run that has it."""

import json
from pathlib import Path

from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.load import ingest


def load(engine: Engine, folder: Path, seed: int, base: str | None) -> list[str | None]:
    """Load a run of the one VLM, and return what the atlas knows of base models after it."""
    run = write_run_folder(folder, seed=seed)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["vlm"]["base_fingerprint"] = base
    (run / "manifest.json").write_text(json.dumps(manifest))
    ingest(run, engine)
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT base_fingerprint FROM atlas.vlm")))


def test_a_later_run_fills_in_the_hash_and_none_replaces_it(engine: Engine, tmp_path: Path):
    assert load(engine, tmp_path, 0, None) == [None]
    assert load(engine, tmp_path, 1, "first") == ["first"]
    assert load(engine, tmp_path, 2, None) == ["first"]
    assert load(engine, tmp_path, 3, "other") == ["first"]
