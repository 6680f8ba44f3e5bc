"""Additions to a published run: all of a measurement or none of it, and nothing else changes."""

import json
from datetime import UTC
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from later_measurement import add, digest, entry, labels, shift
from run_folder import read_rows
from sqlalchemy import Engine

from feature_atlas.etl.run_folder.manifest import DatasetEntry
from feature_atlas.etl.warehouse.addition import add_measurement
from feature_atlas.etl.warehouse.load import ingest


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
