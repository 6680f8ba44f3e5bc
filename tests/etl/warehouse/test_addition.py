"""Additions to a published run: all of a measurement or none of it, and nothing else changes."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from databases import create_database, temporary_database
from rich.console import Console
from run_folder import read_rows, replace_rows, seal, sha256, table_file, write_run_folder
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.ingest import check_folder
from feature_atlas.etl.run_folder.manifest import DatasetEntry, MeasurementEntry
from feature_atlas.etl.warehouse.addition import AdditionReport, add_folder, add_measurement
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the skills spatial, ocr and vsr."""
    return write_run_folder(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def spatial(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without ocr."""
    folder = tmp_path_factory.mktemp("spatial") / whole.name
    shutil.copytree(whole, folder)
    rows = read_rows(folder, "firing_shift")
    replace_rows(folder, "firing_shift", rows.filter(pa.compute.not_equal(rows["skill"], "ocr")))
    return folder


@pytest.fixture(scope="module")
def published(postgres_url: str, template_database: str, spatial: Path) -> str:
    """Name of a database with that run published; copied, never used."""
    engine = make_engine(create_database(postgres_url, "to_add_to", template_database))
    ingest(spatial, engine)
    engine.dispose()
    return "to_add_to"


@pytest.fixture(scope="module")
def kept(postgres_url: str, published: str) -> Iterator[Engine]:
    """A database with the run published, shared by the tests of what is refused."""
    engine = make_engine(create_database(postgres_url, "added_kept", published))
    yield engine
    engine.dispose()


@pytest.fixture
def url(postgres_url: str, published: str) -> Iterator[str]:
    with temporary_database(postgres_url, published) as url:
        yield url


@pytest.fixture
def atlas(url: str) -> Iterator[Engine]:
    """A database with the run published, the test's own."""
    engine = make_engine(url)
    yield engine
    engine.dispose()


def entry(stage: str, **params: object) -> MeasurementEntry:
    """The provenance of a measurement that was made later."""
    return MeasurementEntry(
        stage=stage,
        params=params,
        params_hash=sha256(json.dumps(params).encode()),
        input_fingerprint="f" * 64,
        seeds=[7],
        device="cuda:0",
        libraries={"numpy": np.__version__},
        code_version="later",
        dirty=True,
        inputs={"labels": "f" * 64},
        started_at=datetime(2026, 11, 23, tzinfo=UTC),
        finished_at=datetime(2026, 11, 23, 1, tzinfo=UTC),
    )


def labels(whole: Path, **changed: object) -> pa.Table:
    """Descriptions by another model, whose F1 is perfect."""
    rows = read_rows(whole, "auto_interp").to_pandas()
    changed = {"model": "another", "description": "sees left of", "f1": np.float32(1)} | changed
    return pa.Table.from_pandas(rows.assign(**changed), preserve_index=False)


def shift(whole: Path, skill: str) -> dict[str, pa.Table]:
    """What another skill's measurement holds: firing, candidates, neutral prompts."""
    firing = read_rows(whole, "firing_shift").to_pandas()
    of_ocr = firing[firing.skill == "ocr"].assign(skill=skill)
    candidate, neutral = (
        read_rows(whole, table).to_pandas().assign(skill=skill)
        for table in ("candidate", "neutral_prompt")
    )
    return {
        "firing_shift": pa.Table.from_pandas(of_ocr, preserve_index=False),
        "candidate": pa.Table.from_pandas(candidate, preserve_index=False),
        "neutral_prompt": pa.Table.from_pandas(neutral, preserve_index=False),
    }


def add(atlas: Engine, made: MeasurementEntry, rows: dict[str, pa.Table]) -> AdditionReport:
    return add_measurement(atlas, 1, made, rows)


def digest(engine: Engine) -> dict[str, str]:
    """A checksum of every table that can change when a measurement joins."""
    tables = "measurement run auto_interp firing_shift candidate neutral_prompt feature_record"
    with engine.connect() as connection:
        return {
            table: str(
                connection.scalar(
                    text(
                        f"SELECT md5(string_agg(fact::text, ';' ORDER BY fact::text))"
                        f" FROM atlas.{table} AS fact"
                    )
                )
            )
            for table in (*tables.split(), "skill", "sample", "image", "overlay", "dataset")
        }


def staged(engine: Engine) -> int:
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'atlas_staging'"
    with engine.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def refusal(atlas: Engine, made: MeasurementEntry, rows: dict[str, pa.Table]) -> str:
    """Why an addition is refused; nothing may have come of it."""
    before = digest(atlas)
    with pytest.raises(ValueError) as refused:
        add(atlas, made, rows)
    assert digest(atlas) == before
    assert staged(atlas) == 0
    return str(refused.value)


def test_new_labels_join_the_run_and_say_when(atlas: Engine, whole: Path):
    before = pd.read_sql("SELECT * FROM atlas.auto_interp ORDER BY id", atlas)

    report = add(atlas, entry("labels", by="another"), {"auto_interp": labels(whole)})

    assert (report.status, report.stages) == ("added", ["labels"])
    assert report.rows == {"auto_interp": len(before)}
    after = pd.read_sql("SELECT * FROM atlas.auto_interp ORDER BY id", atlas)
    pd.testing.assert_frame_equal(after[: len(before)], before)
    assert set(after.model[len(before) :]) == {"another"}
    shown = pd.read_sql("SELECT label FROM atlas.feature WHERE label IS NOT NULL", atlas)
    assert set(shown.label) == {"sees left of"}
    made = pd.read_sql("SELECT * FROM atlas.measurement ORDER BY id", atlas)
    assert made.added_at[:-1].isna().all()
    last = made.iloc[-1]
    assert last.added_at > pd.Timestamp.now(UTC) - pd.Timedelta(minutes=1)
    assert (last.stage, last.code_version, last.dirty, last.device) == (
        "labels",
        "later",
        True,
        "cuda:0",
    )
    assert (last.inputs, last.rows) == ({"labels": "f" * 64}, len(before))
    assert set(after.measurement_id[len(before) :]) == {last.id}


def test_adding_twice_is_adding_once(atlas: Engine, whole: Path):
    made = entry("labels", by="another")
    add(atlas, made, {"auto_interp": labels(whole)})
    before = digest(atlas)

    again = add(atlas, made, {"auto_interp": labels(whole)})

    assert (again.status, again.stages, again.rows) == ("already there", [], {})
    assert digest(atlas) == before


def test_the_same_measurement_of_other_inputs_is_refused(atlas: Engine, whole: Path):
    made = entry("labels", by="another")
    add(atlas, made, {"auto_interp": labels(whole)})
    other = made.model_copy(update={"input_fingerprint": "0" * 64})

    said = refusal(atlas, other, {"auto_interp": labels(whole, model="third")})

    assert "a measurement labels with these params already, from other inputs" in said


def test_a_skill_of_ones_own_joins_the_run(atlas: Engine, whole: Path):
    before = digest(atlas)

    report = add(atlas, entry("counting"), shift(whole, "counting"))

    assert report.rows == {"firing_shift": 128, "candidate": 12, "neutral_prompt": 24}
    query = """
        SELECT layer, feature, odds_ratio FROM atlas.firing_shift
        WHERE skill_id = (SELECT id FROM atlas.skill WHERE name = 'counting')
        ORDER BY layer, feature
    """
    found = pd.read_sql(query, atlas)
    written = shift(whole, "counting")["firing_shift"].to_pandas()
    assert found.odds_ratio.tolist() == pytest.approx(written.odds_ratio.tolist())
    after = digest(atlas)
    assert after["feature_record"] == before["feature_record"]  # it has no columns for it
    assert after["run"] == before["run"]


def test_ocr_that_joins_later_is_in_the_wide_row_as_if_it_had_come_first(
    atlas: Engine, engine: Engine, whole: Path
):
    ingest(whole, engine)
    every = "SELECT * FROM atlas.feature_record ORDER BY layer, feature"
    before = pd.read_sql(every, atlas)
    assert before.ocr_odds_ratio.isna().all()

    add(atlas, entry("ocr"), {"firing_shift": shift(whole, "ocr")["firing_shift"]})

    after = pd.read_sql(every, atlas)
    pd.testing.assert_frame_equal(after, pd.read_sql(every, engine))
    assert after.is_ocr_candidate.sum() == 2
    of_ocr = [name for name in after if "ocr" in name]
    pd.testing.assert_frame_equal(after.drop(columns=of_ocr), before.drop(columns=of_ocr))


@pytest.mark.parametrize("table", ["firing_shift", "candidate", "neutral_prompt"])
def test_a_skill_that_the_run_has_measured_is_refused(table: str, kept: Engine, whole: Path):
    rows = shift(whole, "spatial")[table]

    said = refusal(kept, entry("again"), {table: rows})

    assert f"has {table} of skill spatial already" in said


@pytest.mark.parametrize("stage", ["../labels", "a/b", "/tmp/labels", ".."])
def test_a_stage_that_is_a_path_is_refused(stage: str, kept: Engine, whole: Path):
    with pytest.raises(ValueError, match="expected the name of one folder"):
        add(kept, entry(stage), {"auto_interp": labels(whole)})


def test_a_label_that_is_there_is_refused(kept: Engine, whole: Path):
    said = refusal(kept, entry("labels"), {"auto_interp": read_rows(whole, "auto_interp")})

    assert "has such a row already" in said
    assert "over-representation" in said


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"f1": np.float32("inf")}, "f1 is inf, expected 0 to 1"),
        ({"f1": np.float32(1.5)}, "f1 is 1.5, expected 0 to 1"),
        ({"layer": np.int16(9)}, "layer 9 has no SAE; the run has layers [0, 1]"),
        ({"feature": np.int32(64)}, "feature is 64, expected 0 to 63"),
        ({"explainer": "a friend"}, "explainer is 'a friend'"),
        ({"description": None}, "description is missing"),
        ({"layer": np.int16(0), "feature": np.int32(0), "variant": "RAW"}, "comes twice"),
        ({"mood": "good"}, "has columns mood that table auto_interp does not know"),
    ],
)
def test_bad_rows_are_refused_as_when_a_run_is_loaded(
    changed: dict[str, object], complaint: str, kept: Engine, whole: Path
):
    said = refusal(kept, entry("labels"), {"auto_interp": labels(whole, **changed)})

    assert complaint in said
    assert "auto_interp.0.parquet" in said


def test_a_layer_that_is_not_whole_is_refused(kept: Engine, whole: Path):
    rows = shift(whole, "counting")["firing_shift"].slice(1)

    said = refusal(kept, entry("counting"), {"firing_shift": rows})

    assert "firing_shift has 63 of 64 features for layer 0 of skill counting" in said


@pytest.mark.parametrize("table", ["decoder_cosine", "selection", "training_curve"])
def test_what_a_run_has_from_the_first_is_not_added(table: str, kept: Engine, whole: Path):
    said = refusal(kept, entry("more"), {table: read_rows(whole, table)})

    assert f"has rows for {table}, which a run has from its first publication" in said


def test_rows_that_name_samples_find_those_that_are_there(atlas: Engine, whole: Path):
    manifest = json.loads((whole / "manifest.json").read_text())
    overlay = read_rows(whole, "overlay").to_pandas().assign(head=2, kind="random")
    overlay = overlay.drop_duplicates(["layer", "feature", "sample"])
    rows = {
        "image": read_rows(whole, "image"),
        "sample": read_rows(whole, "sample"),
        "overlay": pa.Table.from_pandas(overlay, preserve_index=False),
    }
    before = digest(atlas)

    add_measurement(
        atlas,
        1,
        entry("overlay", heads="random"),
        rows,
        [DatasetEntry(**dataset) for dataset in manifest["datasets"]],
    )

    after = digest(atlas)
    assert (after["sample"], after["image"]) == (before["sample"], before["image"])
    query = """
        SELECT fact.layer, feature, external_id FROM atlas.overlay AS fact
        JOIN atlas.sample ON sample.id = sample_id WHERE kind = 'random'
    """
    found = pd.read_sql(query, atlas)
    expected = {(o.layer, o.feature, f"question-{o.sample}") for o in overlay.itertuples()}
    assert set(found.itertuples(index=False, name=None)) == expected


def test_rows_that_name_samples_without_them_are_refused(kept: Engine, whole: Path):
    said = refusal(kept, entry("overlay", again=1), {"overlay": read_rows(whole, "overlay")})

    assert "sample 0 is not in the run's table sample" in said


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


def change(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_is_added_once(atlas: Engine, addition: Path):
    assert add_folder(addition, atlas).rows == {"auto_interp": 16}
    assert add_folder(addition, atlas).status == "already there"


def test_a_folder_that_grew_adds_what_is_new(atlas: Engine, addition: Path, whole: Path):
    add_folder(addition, atlas)
    manifest = json.loads((addition / "manifest.json").read_text())
    (addition / "more").mkdir()
    pa.parquet.write_table(labels(whole, model="third"), addition / "more/auto_interp.0.parquet")
    change(
        addition,
        measurements=[*manifest["measurements"], entry("more").model_dump(mode="json")],
        files=[
            *manifest["files"],
            {"path": "more/auto_interp.0.parquet", "stage": "more", "table": "auto_interp"},
        ],
    )
    seal(addition)

    report = add_folder(addition, atlas)

    assert (report.stages, report.rows) == (["more"], {"auto_interp": 16})


def test_folders_that_do_not_fit_are_refused(atlas: Engine, addition: Path, whole: Path):
    def said() -> str:
        before = digest(atlas)
        with pytest.raises(ValueError) as refused:
            add_folder(addition, atlas)
        assert digest(atlas) == before
        return str(refused.value)

    manifest = json.loads((addition / "manifest.json").read_text())
    change(addition, sae_set=manifest["sae_set"] | {"fingerprint": "another"})
    assert "measured another model or other SAEs" in said()
    change(addition, sae_set=manifest["sae_set"], adds_to="0" * 64)
    assert "is not in this atlas" in said()
    change(addition, adds_to=manifest["adds_to"], measurements=[], files=[])
    assert "has no measurements" in said()
    with pytest.raises(ValueError, match=r"has no adds_to.*feature-atlas ingest"):
        add_folder(whole, atlas)

    change(addition, measurements=manifest["measurements"], files=manifest["files"])
    table_file(addition, "auto_interp").write_bytes(b"0" * manifest["files"][0]["bytes"])
    assert "its content was changed" in said()


def test_a_folder_that_adds_is_not_loaded_as_a_run(engine: Engine, addition: Path):
    with pytest.raises(ValueError, match="feature-atlas runs add"):
        ingest(addition, engine)
    with pytest.raises(ValueError, match="feature-atlas runs add"):
        check_folder(addition, Console())


def test_a_run_that_is_not_published_gets_no_additions(engine: Engine, whole: Path, addition: Path):
    def fail(step: str, done: int, total: int) -> None:
        if step == "record":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(whole, engine, fail)

    with pytest.raises(ValueError, match="which is failed: publish it first"):
        add_folder(addition, engine)


def test_a_superseded_run_can_be_added_to(atlas: Engine, addition: Path, tmp_path: Path):
    ingest(write_run_folder(tmp_path, seed=1), atlas)

    assert add_folder(addition, atlas).status == "added"


def test_a_reader_in_a_transaction_sees_none_of_it_and_then_all(
    atlas: Engine, url: str, whole: Path
):
    query = "SELECT count(*) FROM atlas.firing_shift"
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute(query).fetchone() == (256,)

        add(atlas, entry("counting"), shift(whole, "counting"))

        assert reader.execute(query).fetchone() == (256,)
        reader.commit()
        assert reader.execute(query).fetchone() == (384,)


KILLED = """
import os, signal, sys
from pathlib import Path
from feature_atlas.etl.warehouse import addition
from feature_atlas.models.session import make_engine

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(addition, sys.argv[3], die)
addition.add_folder(Path(sys.argv[1]), make_engine(sys.argv[2]))
"""


@pytest.mark.parametrize("step", ["copy_rows", "move_rows", "_clean_up"])
def test_a_killed_addition_is_whole_or_nothing_and_the_next_one_is_right(
    step: str, atlas: Engine, url: str, addition: Path
):
    before = digest(atlas)

    killed = subprocess.run([sys.executable, "-c", KILLED, str(addition), url, step])

    assert killed.returncode == -signal.SIGKILL
    if step == "_clean_up":  # it had been committed
        assert add_folder(addition, atlas, wait=True).status == "already there"
    else:
        assert digest(atlas) == before
        assert add_folder(addition, atlas, wait=True).status == "added"
        assert staged(atlas) == 0


def test_the_command_adds_to_the_run_that_is_named(
    url: str, atlas: Engine, addition: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    added = CliRunner().invoke(app, ["runs", "add", whole.name, str(addition)])
    again = CliRunner().invoke(app, ["runs", "add", "1", str(addition)])
    listed = CliRunner().invoke(app, ["runs"])

    assert (added.exit_code, again.exit_code) == (0, 0), added.output
    assert "added labels" in added.output
    assert "16 rows of auto_interp" in added.output
    assert "already there" in again.output
    n_stages = len(json.loads((whole / "manifest.json").read_text())["measurements"])
    assert f" {n_stages + 1} " in listed.output


def test_the_command_refuses_a_folder_for_another_run(
    url: str, atlas: Engine, addition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = write_run_folder(tmp_path, seed=1)
    ingest(other, atlas)
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    refused = CliRunner().invoke(app, ["runs", "add", other.name, str(addition)])

    assert refused.exit_code == 1
    assert f"not to {other.name}" in " ".join(refused.output.split())
