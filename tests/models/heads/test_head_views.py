"""Views about heads, on a run whose numbers are known (tests/support/run_folder.py)."""

from collections.abc import Iterator

import pandas as pd
import pytest
from sqlalchemy import Connection, Engine


@pytest.fixture
def connection(loaded_engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone."""
    with loaded_engine.connect() as connection:
        yield connection
        connection.rollback()


def test_a_head_is_causal_only_where_it_was_patched_and_confirmed(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.driving_head", connection)

    evidence = rows.groupby("head").evidence.unique().map(list).to_dict()
    assert evidence == {0: ["causal"], 1: ["not confirmed"], 2: ["screened"], 3: ["screened"]}
    patched = rows[rows["head"] == 0]
    assert (patched.exact_drive == 4).all()
    assert (patched.exact_low == 3.75).all()
    assert (patched.exact_high == 4.25).all()
    assert rows[rows["head"] > 1].exact_drive.isna().all()


def test_both_methods_and_the_fix_are_turned_the_same_way(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.driving_head", connection)

    assert (rows.drive == 4 - rows["head"]).all()
    assert (rows.drive_fix == rows.drive).all()
    assert (rows.mean_drive == rows.drive).all()


def test_the_mean_is_that_of_b_and_minus_a(connection: Connection):
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql("UPDATE atlas.head_attribution SET score = 0 WHERE method = 'A'")

    rows = pd.read_sql("SELECT * FROM atlas.driving_head", connection)

    assert (rows.mean_drive == (4 - rows["head"]) / 2).all()


def test_a_head_counts_the_features_that_it_was_confirmed_for(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.head_ranking WHERE head_layer = 0", connection)

    of_first = rows[rows["head"] == 0]
    assert (of_first.n_causal == of_first.n_features).all()
    assert (of_first.evidence == "causal").all()
    of_second = rows[rows["head"] == 1]
    assert (of_second.n_patched == of_second.n_features).all()
    assert (of_second.n_causal == 0).all()
    assert (rows[rows["head"] > 1].n_patched == 0).all()


def test_where_projections_were_summed_is_said_beside_each_head(connection: Connection):
    update = """UPDATE atlas.measurement SET params = '{"positions": "last", "direction": "base"}'
        WHERE stage = 'head_attribution'"""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql(update)

    rows = pd.read_sql("SELECT * FROM atlas.driving_head", connection)

    for column, word in (("positions", "last"), ("direction", "base")):
        assert (rows[column] == word).all()


def test_corruptions_are_never_counted_together(connection: Connection):
    """Every row once more under another one, the scores turned round and twice as large."""
    views = ("driving_head", "head_ranking", "head_map", "head_layer_curve", "head_recurrence",
             "attribution_report", "head_knockout_summary")  # fmt: skip
    before = {view: pd.read_sql(f"SELECT * FROM atlas.{view}", connection) for view in views}
    tables = ("head_attribution", "head_estimate", "head_exact", "head_knockout",
              "head_stability", "attribution_agreement", "feature_agreement")  # fmt: skip
    for table in tables:
        connection.exec_driver_sql(f"CREATE TEMP TABLE other AS SELECT * FROM atlas.{table}")
        connection.exec_driver_sql("UPDATE other SET corruption = 'opposite'")
        if table == "head_attribution":
            connection.exec_driver_sql("UPDATE other SET score = -2 * score")
        connection.exec_driver_sql(f"INSERT INTO atlas.{table} SELECT * FROM other")
        connection.exec_driver_sql("DROP TABLE other")

    for view, known in before.items():
        rows = pd.read_sql(f"SELECT * FROM atlas.{view}", connection)
        of_mean = rows[rows.corruption == "mean"]
        columns = list(known.columns)
        pd.testing.assert_frame_equal(
            of_mean.astype(str).sort_values(columns).reset_index(drop=True),
            known.astype(str).sort_values(columns).reset_index(drop=True),
        )
        others = rows[rows.corruption == "opposite"]
        assert len(others) == len(known) or view == "head_recurrence"
    others = pd.read_sql("SELECT * FROM atlas.driving_head", connection)
    others = others[others.corruption == "opposite"]
    assert (others.drive == -2 * (4 - others["head"])).all()


def test_the_report_has_what_screening_missed_of_the_same_method(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.attribution_report", connection)

    assert len(rows) == 45  # fifteen estimates, three scopes
    assert rows.spearman.isna().sum() == 1
    of_method = rows[rows.estimate.str[0].isin(["A", "B"])]
    assert (of_method.n_random == 12).all()  # head 1: 4 features on layer 0, 4 on layers 0 and 1
    assert (of_method.n_random_causal == 0).all()
    assert (of_method.n_top_causal == 12).all()
    assert rows[rows.estimate.str.startswith("mean")].n_random.isna().all()


def test_a_knock_out_stands_beside_its_controls(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.head_knockout_summary", connection)

    assert len(rows) == 4  # two layers, two parts
    assert (rows.delta_accuracy == -0.25).all()
    assert (rows.control_mean == 0).all()
    assert (rows.n_controls == 2).all()
    assert (rows.projection_delta == -1).all()
    assert (rows.projection_delta_corrupt == -1.5).all()
    assert (rows.control_projection_delta == 0).all()
    assert rows.heads.map(list).tolist() == [["L0H0", "L0H1"]] * 4
