"""Two runs side by side, in SQL."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from run_folder import read_rows, write_run_folder
from sqlalchemy import Connection, text

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine, make_reader_engine


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one name; the later one has a layer more and no layer 0."""
    folder = tmp_path_factory.mktemp("two")
    return write_run_folder(folder, seed=0), write_run_folder(folder, seed=1, layers=(1, 2))


@pytest.fixture(scope="module")
def url(postgres_url: str, template_database: str, folders: tuple[Path, Path]) -> Iterator[str]:
    from databases import create_database, drop_database

    url = create_database(postgres_url, "run_diff", template_database)
    engine = make_engine(url)
    for folder in folders:
        ingest(folder, engine)
    engine.dispose()
    yield url
    drop_database(postgres_url, "run_diff")


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A reader: what people have who write SQL."""
    reader = make_reader_engine(url)
    with reader.connect() as connection:
        yield connection
    reader.dispose()


def plan(connection: Connection, sql: str) -> str:
    lines = connection.execute(text(f"EXPLAIN (FORMAT JSON) {sql}")).scalar_one()
    return json.dumps(lines)


def test_there_is_a_row_for_every_feature_of_either_run(connection: Connection):
    rows = pd.read_sql(text("SELECT * FROM atlas.run_diff(1, 2)"), connection)

    assert len(rows) == 3 * 64
    assert not rows.duplicated(["layer", "feature"]).any()
    assert rows[rows.layer == 0].cosine_after.isna().all()
    assert rows[rows.layer == 2].cosine_before.isna().all()
    assert rows[rows.layer == 1].cosine_delta.notna().all()


def test_the_numbers_are_those_of_the_two_folders(
    connection: Connection, folders: tuple[Path, Path]
):
    keys = ["layer", "feature"]
    cosine, energy = (
        [read_rows(folder, table).to_pandas() for folder in folders]
        for table in ("decoder_cosine", "visual_energy")
    )
    shift = [read_rows(folder, "firing_shift").to_pandas() for folder in folders]
    rows = pd.read_sql(text("SELECT * FROM atlas.run_diff(1, 2)"), connection)

    for number, side in enumerate(("before", "after")):
        truth = (
            cosine[number].query("regime == 'text'")
            .merge(energy[number], on=keys)
            .merge(shift[number].query("skill == 'ocr'"), on=keys)
            .set_index(keys)
        )  # fmt: skip
        found = rows.set_index(keys).loc[truth.index]
        for ours, theirs in (
            ("cosine", "cosine"),
            ("visual_energy", "energy_question"),
            ("ocr_odds_ratio", "odds_ratio"),
            ("ocr_odds_ratio_low", "odds_ratio_low"),
            ("ocr_odds_ratio_high", "odds_ratio_high"),
        ):
            assert (found[f"{ours}_{side}"].astype("float32") == truth[theirs]).all(), ours
    both = rows.dropna(subset=["cosine_before", "cosine_after"])
    assert (both.cosine_delta - (both.cosine_after - both.cosine_before)).abs().max() < 1e-6


def test_runs_can_be_named_by_slug(connection: Connection, folders: tuple[Path, Path]):
    named = text(
        "SELECT count(*) FROM run_diff(run_id(:before), run_id(:after)) WHERE cosine_delta > 0"
    )
    numbered = text("SELECT count(*) FROM atlas.run_diff(1, 2) WHERE cosine_delta > 0")
    slugs = {"before": folders[0].name, "after": folders[1].name}
    connection.execute(text("SET LOCAL search_path = atlas"))

    assert connection.scalar(named, slugs) == connection.scalar(numbered) > 0
    assert connection.scalar(text("SELECT atlas.run_id('nobody')")) is None


TOP = "SELECT layer, feature, cosine_delta FROM {} ORDER BY abs(cosine_delta) DESC LIMIT 50"


@pytest.mark.parametrize(
    "call", ["atlas.run_diff(1, 2)", "atlas.run_diff(atlas.run_id('a'), atlas.run_id('b'))"]
)
def test_the_planner_sees_through_it_and_drops_joins_nobody_needs(
    call: str, connection: Connection
):
    seen = plan(connection, TOP.format(call))

    assert "Function Scan" not in seen
    assert "auto_interp" not in seen
    assert "review" not in seen
    assert '"ablation"' not in seen


def test_joins_that_are_asked_for_are_there(connection: Connection):
    seen = plan(connection, "SELECT label_after, ablation_delta_after FROM atlas.run_diff(1, 2)")

    assert "auto_interp" in seen
    assert '"ablation"' in seen


def test_labels_are_those_of_the_feature_view(connection: Connection):
    of_view = text(
        "SELECT layer, feature, label FROM atlas.feature_all_runs"
        " WHERE run_id = :run AND label IS NOT NULL ORDER BY layer, feature"
    )
    for run, side in ((1, "before"), (2, "after")):
        of_diff = text(
            f"SELECT layer, feature, label_{side} FROM atlas.run_diff(1, 2)"
            f" WHERE label_{side} IS NOT NULL ORDER BY layer, feature"
        )
        found = connection.execute(of_diff).all()

        assert len(found) == 8
        assert found == connection.execute(of_view, {"run": run}).all()


@pytest.mark.parametrize(
    ("verdict", "description", "label"),
    [("reject", None, None), ("edit", "mine", "mine"), ("accept", None, "asks for left of")],
)
def test_a_review_changes_the_label(
    verdict: str, description: str | None, label: str | None, url: str
):
    owner = make_engine(url)
    review = text(
        "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
        " VALUES (2, 1, 0, :verdict, :description, 'Ada'), (2, 1, 50, 'edit', 'new', 'Ada')"
    )
    with owner.connect() as connection:
        connection.execute(review, {"verdict": verdict, "description": description})
        rows = connection.execute(
            text("SELECT feature, label_after FROM atlas.run_diff(1, 2) WHERE layer = 1")
        )
        labels = {row.feature: row.label_after for row in rows}
        connection.rollback()
    owner.dispose()

    assert labels[0] == label
    assert labels[50] == "new"  # described by a person alone
    assert labels[51] is None


def test_only_the_two_runs_are_read(connection: Connection):
    seen = plan(connection, TOP.format("atlas.run_diff(1, 1)"))

    assert "feature_record_run_1" in seen
    assert "feature_record_run_2" not in seen


def test_functions_are_for_the_reader_and_for_nobody_else(url: str, connection: Connection):
    assert connection.scalar(text("SELECT count(*) FROM atlas.run_drift(1, 2)")) > 0
    owner = make_engine(url)
    with owner.connect() as someone:
        someone.execute(text("CREATE ROLE stranger"))
        someone.execute(text("GRANT USAGE ON SCHEMA atlas TO stranger"))
        someone.execute(text("SET LOCAL ROLE stranger"))
        with pytest.raises(Exception, match="permission denied for function") as refused:
            someone.execute(text("SELECT atlas.run_id('a')"))
        someone.rollback()
    owner.dispose()
    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)
