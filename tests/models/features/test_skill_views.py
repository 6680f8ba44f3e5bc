"""Skills in SQL: what a run meant by one, which questions ask for it, VSR in both readings."""

import json
from pathlib import Path

import pandas as pd
import pytest
from run_folder import seal, sha256, write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.load import ingest

DEFINITION = {"name": "spatial", "patterns": ["above"]}


def with_definitions(folder: Path, **definitions: object) -> Path:
    """A run folder whose configuration says what its skills are."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["harvest"] = {"definitions": definitions}
    manifest["config_hash"] = sha256(json.dumps(manifest["config"]).encode())
    manifest["slug"] = f"synthetic-{manifest['config_hash'][:8]}"
    path.write_text(json.dumps(manifest))
    seal(folder)
    return folder


def test_the_first_definition_stands_with_the_skill_and_each_runs_own_in_a_view(
    engine: Engine, tmp_path: Path
):
    other = DEFINITION | {"patterns": ["below"]}
    for seed, definition in enumerate((DEFINITION, other)):
        folder = write_run_folder(tmp_path / str(seed), seed=seed)
        ingest(with_definitions(folder, spatial=definition), engine)

    kept = pd.read_sql("SELECT name, definition FROM atlas.skill", engine).set_index("name")
    own = pd.read_sql("SELECT * FROM atlas.skill_definition ORDER BY run_id", engine)

    assert kept.definition["spatial"] == DEFINITION
    assert kept.definition["vsr"] == {}
    assert own.skill.tolist() == ["spatial", "spatial"]
    assert own.definition.tolist() == [DEFINITION, other]


def test_a_question_stands_beside_the_rule_that_it_matched(loaded_engine: Engine):
    rows = pd.read_sql("SELECT * FROM atlas.skill_question ORDER BY sample_id", loaded_engine)

    assert rows.skill.unique().tolist() == ["spatial"]
    assert len(rows) == 6
    for row in rows.itertuples():
        assert row.rule in row.question
        assert row.dataset == "vqav2-val"


def test_vsr_odds_ratios_stand_side_by_side_in_both_readings(loaded_engine: Engine):
    both = pd.read_sql("SELECT * FROM atlas.vsr_odds_ratio", loaded_engine)
    shift = pd.read_sql("SELECT * FROM atlas.skill_shift", loaded_engine)

    assert len(both) == 128
    keys = ["layer", "feature"]
    for reading, skill in (("statements", "vsr"), ("spatial", "spatial")):
        joined = both.merge(shift[shift.skill == skill], on=keys)
        assert (joined[f"{reading}_odds_ratio"] == joined.odds_ratio).all()
        assert (joined[f"{reading}_odds_ratio_low"] == joined.odds_ratio_boot_low).all()
    assert shift[shift.skill == "vsr"].matched_odds_ratio.isna().all()
    assert shift[shift.skill == "ocr"].matched_odds_ratio.notna().all()


def test_the_shuffled_picture_is_shown_beside_the_verdict(loaded_engine: Engine):
    rows = pd.read_sql("SELECT * FROM atlas.neutral_evidence", loaded_engine)

    assert rows.firing_rate_shuffled_image.round(4).unique().tolist() == [0.2667]
    assert rows.groupby("prompt_no").has_skill_word.first().tolist() == [False, True]


@pytest.mark.parametrize("column", ["odds_ratio_boot_low", "role_odds_ratio_high"])
def test_the_database_refuses_an_interval_without_its_ratio(engine: Engine, column: str):
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TEMP TABLE one (LIKE atlas.firing_shift INCLUDING CONSTRAINTS)")
        )
        connection.execute(text("ALTER TABLE one ALTER skill_id DROP NOT NULL"))
        for name in pd.read_sql("SELECT * FROM atlas.firing_shift LIMIT 0", connection).columns:
            connection.execute(text(f"ALTER TABLE one ALTER {name} DROP NOT NULL"))
        values = "0.5" if column.endswith("high") else "2"
        insert = f"INSERT INTO one (odds_ratio, role_odds_ratio, {column})"
        with pytest.raises(Exception, match="interval"):
            connection.execute(text(f"{insert} VALUES (1, 1, {values})"))
