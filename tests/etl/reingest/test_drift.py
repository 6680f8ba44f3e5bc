"""Drift between two runs, against the same thing computed with pandas from the two folders."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from run_folder import read_rows, replace_rows, write_run_folder
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.config.run_config import DRIFT, DriftConfig
from feature_atlas.etl.reingest.drift import KINDS, compare, layer_rows, run_before, write_drift
from feature_atlas.etl.reingest.drift_report import as_markdown, drift_between, print_drift
from feature_atlas.etl.warehouse.drop import drop_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

KEYS = ["layer", "feature"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two seeds; in the later run feature 1 means and does something else, and sets differ."""
    before = write_run_folder(tmp_path_factory.mktemp("before"), seed=0)
    after = write_run_folder(tmp_path_factory.mktemp("after"), seed=1)
    edit(after, "auto_interp", lambda rows: change(rows, "description", "asks for above"))
    edit(after, "ablation", hurt)
    edit(after, "selection", lambda rows: not_adapted(rows, feature=1))
    edit(before, "selection", lambda rows: not_adapted(rows, feature=3))
    edit(before, "candidate", lambda rows: with_ocr_survivor(rows, layer=1))
    edit(after, "candidate", lambda rows: with_ocr_survivor(rows, layer=0))
    return before, after


def edit(folder: Path, table: str, how) -> None:
    rows = read_rows(folder, table)
    frame = how(rows.to_pandas())
    replace_rows(folder, table, pa.Table.from_pandas(frame, rows.schema, preserve_index=False))


def change(rows: pd.DataFrame, column: str, value: object, feature: int = 1) -> pd.DataFrame:
    rows.loc[rows.feature == feature, column] = value
    return rows


def not_adapted(rows: pd.DataFrame, feature: int) -> pd.DataFrame:
    """What is not adapted was not turned by vision either."""
    return change(change(rows, "is_adapted", False, feature), "is_turned_by_vision", False, feature)


def with_ocr_survivor(rows: pd.DataFrame, layer: int) -> pd.DataFrame:
    one = rows.head(1).assign(skill="ocr", layer=layer, feature=9, survives=True)
    return pd.concat([rows, one], ignore_index=True)


def hurt(rows: pd.DataFrame) -> pd.DataFrame:
    mine = (rows.feature == 2) & (rows.evaluation == "vsr_relation") & (rows.control_no == 0)
    for column, value in (("delta_accuracy", -0.5), ("delta_low", -0.6), ("delta_high", -0.4)):
        rows.loc[mine, column] = np.float32(value)
    other = (rows.feature == 3) & (rows.evaluation == "vsr_relation") & (rows.control_no == 0)
    rows.loc[other, ["delta_low", "delta_high"]] = np.float32(0.9)  # far away, but
    rows.loc[other, "relation"] = "across from"  # of another relation: not comparable
    rows.loc[other, "delta_accuracy"] = np.float32(0.9)
    return rows


@pytest.fixture(scope="module")
def url(postgres_url: str, template_database: str, folders: tuple[Path, Path]):
    from databases import create_database, drop_database

    url = create_database(postgres_url, "drift", template_database)
    engine = make_engine(url)
    for folder in folders:
        ingest(folder, engine)
    engine.dispose()
    yield url
    drop_database(postgres_url, "drift")


@pytest.fixture
def two(url: str):
    """A database with the two runs, 1 and 2."""
    engine = make_engine(url)
    yield engine
    engine.dispose()


def wide(folder: Path) -> pd.DataFrame:
    """One row per feature, from the files alone."""
    cosine = read_rows(folder, "decoder_cosine").to_pandas().query("regime == 'text'")
    rows = cosine.set_index(KEYS)[["cosine"]]
    rows["energy"] = read_rows(folder, "visual_energy").to_pandas().set_index(KEYS).energy_question
    rows["adapted"] = read_rows(folder, "selection").to_pandas().set_index(KEYS).is_adapted
    shift = read_rows(folder, "firing_shift").to_pandas()
    survives = read_rows(folder, "candidate").to_pandas().set_index(["skill", *KEYS]).survives
    for skill in ("spatial", "ocr"):
        mine = shift[shift.skill == skill].set_index(KEYS)
        rows[[f"{skill}_low", f"{skill}_high"]] = mine[["odds_ratio_low", "odds_ratio_high"]]
        of_skill = survives[survives.index.get_level_values("skill") == skill].droplevel("skill")
        kept = of_skill.reindex(rows.index).fillna(False).astype(bool)
        rows[skill] = rows.adapted & mine.is_candidate & kept
    best = read_rows(folder, "auto_interp").to_pandas().sort_values("f1", ascending=False)
    rows["label"] = best.drop_duplicates(KEYS).set_index(KEYS).description
    removed = read_rows(folder, "ablation").to_pandas()
    removed = removed[removed.intervention == "directional"]
    removed = removed[(removed.evaluation == "vsr_relation") & (removed.control_no == 0)]
    columns = ["relation", "delta_low", "delta_high"]
    return rows.join(removed.set_index(KEYS)[columns])


def drift_by_pandas(folders: tuple[Path, Path]) -> set[tuple[str, int, int]]:
    """(kind, layer, feature) of everything that changed, by the definition in docs/drift.md."""
    old, new = (wide(folder) for folder in folders)

    def apart(low: str, high: str) -> pd.Series:
        return (new[low] > old[high]) | (new[high] < old[low])

    a, b = old.energy.astype(float) + 1e-3, new.energy.astype(float) + 1e-3
    changed = {
        "cosine": (new.cosine - old.cosine).abs().astype(float) > 0.1,
        "visual_energy": (a > 2 * b) | (b > 2 * a),
        "spatial_odds_ratio": apart("spatial_low", "spatial_high"),
        "ocr_odds_ratio": apart("ocr_low", "ocr_high"),
        "ablation": apart("delta_low", "delta_high") & (old.relation == new.relation),
        "label": (old.label != new.label) & old.label.notna() & new.label.notna(),
        "newly_adapted": ~old.adapted & new.adapted,
        "no_longer_adapted": old.adapted & ~new.adapted,
        "newly_spatial": ~old.spatial & new.spatial,
        "no_longer_spatial": old.spatial & ~new.spatial,
        "newly_ocr": ~old.ocr & new.ocr,
        "no_longer_ocr": old.ocr & ~new.ocr,
    }
    return {(kind, *key) for kind, where in changed.items() for key in where[where].index}


def rows_of(engine: Engine, sql: str, **values: object) -> set[tuple]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text(sql), values)}


def test_the_stored_drift_is_that_of_pandas(two: Engine, folders: tuple[Path, Path]):
    truth = drift_by_pandas(folders)

    drift = write_drift(two, 1, 2, DRIFT)

    stored = rows_of(two, "SELECT kind, layer, feature FROM atlas.drift WHERE run_id = 2")
    assert stored == truth
    assert {kind for kind, *_ in truth} == set(KINDS)  # none was compared in vain
    assert {t[1:] for t in truth if t[0] == "ablation"} == {(0, 2), (1, 2)}
    assert drift.n_features == 128
    assert drift.n_changed == len({(layer, feature) for _, layer, feature in truth})


def test_the_report_keeps_its_thresholds_values_and_labels(two: Engine):
    write_drift(two, 1, 2, DriftConfig(cosine_threshold=0.3))
    write_drift(two, 1, 2, DRIFT)  # again: in its place

    reports = rows_of(
        two, "SELECT against_run_id, cosine_threshold, energy_factor FROM atlas.drift_report"
    )
    labels = rows_of(two, "SELECT layer, feature, label_before, label_after FROM atlas.drift"
                          " WHERE kind = 'label'")  # fmt: skip
    ablations = rows_of(two, "SELECT layer, value_after, change + value_before - value_after"
                             " FROM atlas.drift WHERE kind = 'ablation'")  # fmt: skip
    assert reports == {(1, 0.1, 2.0)}
    assert labels == {(n, 1, "asks for left of", "asks for above") for n in (0, 1)}
    assert {(layer, after) for layer, after, _ in ablations} == {(0, -0.5), (1, -0.5)}
    assert all(abs(rest) < 1e-6 for *_, rest in ablations)


def test_layers_and_kinds_add_up(two: Engine, folders: tuple[Path, Path]):
    truth = drift_by_pandas(folders)
    drift = write_drift(two, 1, 2, DRIFT)

    rows = {row.pop("layer"): row for row in layer_rows(drift)}
    summary = rows_of(two, "SELECT layer, kind, n_features FROM atlas.drift_summary")

    assert sum(rows["all"].values()) == len(truth)
    assert rows[0]["label"] == 1
    for layer, kind, n in summary:
        assert n == rows[layer][KINDS[kind]] == sum(t[:2] == (kind, layer) for t in truth)


def test_the_defaults_in_sql_are_those_of_the_configuration(two: Engine):
    given = ", ".join(map(str, DRIFT.model_dump().values()))

    assert rows_of(two, "SELECT * FROM atlas.run_drift(1, 2)") == rows_of(
        two, f"SELECT * FROM atlas.run_drift(1, 2, {given})"
    )


def test_a_run_does_not_drift_from_itself(two: Engine):
    with two.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.run_drift(1, 1)")) == 0
        with pytest.raises(ValueError, match="given twice"):
            compare(connection, 1, 1, DRIFT, limit=1)


def test_the_run_before_is_the_one_published_last_of_the_same_name(engine: Engine, tmp_path: Path):
    for seed, name in ((0, "mine"), (0, "other"), (1, "mine"), (2, "mine")):
        ingest(write_run_folder(tmp_path, seed=seed, name=name), engine)

    with engine.connect() as connection:
        assert [run_before(connection, run) for run in (1, 2, 3, 4)] == [None, None, 1, 3]


def test_a_dropped_run_takes_its_reports_with_it(engine: Engine, tmp_path: Path):
    for seed in (0, 1):
        ingest(write_run_folder(tmp_path, seed=seed), engine)
    write_drift(engine, 1, 2, DRIFT)

    drop_run(engine, "1")

    assert rows_of(engine, "SELECT count(*) FROM atlas.drift") == {(0,)}
    assert rows_of(engine, "SELECT count(*) FROM atlas.drift_report") == {(0,)}


def test_other_saes_are_said_to_be_other_saes(two: Engine):
    with two.connect() as connection:
        drift = compare(connection, 1, 2, DRIFT, limit=3)

    assert "different SAEs" not in as_markdown(drift)
    assert "different SAEs" in as_markdown(drift._replace(same_saes=False))


def test_a_description_cannot_leave_its_cell(two: Engine):
    with two.connect() as connection:
        drift = compare(connection, 1, 2, DRIFT, limit=1)
    drift.top[0] |= {"label_before": "a | b", "label_after": "c\nd"}

    lines = as_markdown(drift).splitlines()

    assert r"a \| b -> c d" in lines[-1]
    assert lines[-1].count("|") - lines[-1].count(r"\|") == lines[-2].count("|")


def test_the_printed_features_come_by_how_much_they_changed(
    two: Engine, folders: tuple[Path, Path]
):
    truth, said = drift_by_pandas(folders), io.StringIO()
    with two.connect() as connection:
        drift = drift_between(connection, folders[0].name, "2", DRIFT, limit=5)

    print_drift(drift, "csv", said)

    said.seek(0)
    rows = pd.read_csv(said)
    kinds = [{t[0] for t in truth if t[1:] == (r.layer, r.feature)} for r in rows.itertuples()]
    assert [set(r.changes.split(", ")) for r in rows.itertuples()] == kinds
    assert [len(k) for k in kinds] == sorted((len(k) for k in kinds), reverse=True)
    assert len(rows) == 5


def test_the_command_prints_what_pandas_finds(
    url: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    names = [folder.name for folder in folders]
    run = CliRunner().invoke

    printed = run(app, ["runs", "diff", *names, "--limit", "2"])
    facts = json.loads(run(app, ["runs", "diff", *names, "--format", "json"]).stdout)

    truth = drift_by_pandas(folders)
    n_changed = len({(layer, feature) for _, layer, feature in truth})
    assert printed.exit_code == 0
    assert f"{n_changed} of 128 features changed" in printed.stdout
    assert facts["n_changed"] == n_changed
    found = {(c["layer"], c["kind"]): c["n_features"] for c in facts["counts"]}
    assert found == dict(Counter((layer, kind) for kind, layer, _ in truth))


def test_an_unknown_run_is_named(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    refused = CliRunner().invoke(app, ["runs", "diff", "1", "nobody"])

    assert refused.exit_code == 1
    assert "no run 'nobody'" in refused.stderr
