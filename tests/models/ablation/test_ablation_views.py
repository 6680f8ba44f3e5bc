"""Views about removals: the paper's tables, their significance, groups and steering."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, false_discovery_control
from sqlalchemy import Connection, text


@pytest.fixture
def ask(connection: Connection):
    return lambda sql: pd.read_sql(sql, connection)


@pytest.fixture
def connection(loaded_engine):
    with loaded_engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(("b", "c"), [(5, 0), (0, 0), (0, 3), (17, 9), (109, 42), (6, 6)])
def test_mcnemar_in_sql_is_scipys_binomial_test(connection: Connection, b: int, c: int):
    found = connection.scalar(text("SELECT atlas.mcnemar_exact(:b, :c)"), {"b": b, "c": c})

    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert found == pytest.approx(expected, rel=1e-9)


def test_published_rows_are_tested_at_their_own_n(ask):
    rows = ask("SELECT * FROM atlas.published_significance ORDER BY table_no, delta_vsr")

    assert rows.groupby("table_no").size().to_dict() == {1: 6, 2: 11}
    for row in rows.itertuples():
        lost = round(-row.delta_vsr * row.n_samples / 100)
        mended = int(0.05 * row.n_samples + 0.5)
        best = binomtest(0, lost, 0.5).pvalue
        counter = binomtest(mended, lost + 2 * mended, 0.5).pvalue
        assert (row.net_lost, row.assumed_mended) == (lost, mended)
        assert row.p_best == pytest.approx(best, rel=1e-9)
        assert row.p_counter == pytest.approx(counter, rel=1e-9)
    for _, table in rows.groupby("table_no"):
        np.testing.assert_allclose(table.q_best, false_discovery_control(table.p_best))
        np.testing.assert_allclose(table.q_counter, false_discovery_control(table.p_counter))


def test_the_weakest_published_row_is_significant_under_no_pattern(ask):
    rows = ask("SELECT * FROM atlas.published_significance WHERE NOT is_significant_at_best")

    assert rows[["table_no", "layer", "feature", "n_samples"]].to_numpy().tolist() == [
        [2, 23, 4060, 94]
    ]
    assert rows.p_best[0] == pytest.approx(0.0625)  # five lost, none mended: 2 / 2^5
    assert rows.p_counter[0] == pytest.approx(0.302, abs=0.001)
    half = (rows.delta_vsr_high - rows.delta_vsr_low)[0] / 2
    assert half == pytest.approx(8.0, abs=0.1)  # sqrt(15 - 25 / 94) / 94, times 196


def test_other_interventions_and_controls_leave_a_row_per_feature(ask):
    rows = ask("SELECT * FROM atlas.ablation_summary ORDER BY delta_vsr")
    wide = ask("SELECT ablation_delta FROM atlas.feature WHERE ablation_delta IS NOT NULL")

    assert len(rows) == len(wide) == 8
    assert (rows.n_controls == 3).all()
    assert rows.random_control_mean.notna().all() & rows.direction_control_mean.notna().all()
    assert np.allclose(rows.interaction, -0.2) & np.allclose(rows.control_p, 0.25)
    assert (rows.delta_other.abs() <= 0.02).all()


def test_a_run_stands_in_the_papers_columns_below_the_paper(ask):
    rows = ask("SELECT * FROM atlas.paper_table ORDER BY table_no, source, place")

    counts = rows.groupby(["table_no", "source"]).size().to_dict()
    assert counts == {
        (1, "the paper"): 6,
        (1, "this run"): 6,
        (1, "this run, the paper's way"): 6,
        (2, "the paper"): 11,
        (2, "this run"): 8,
        (2, "this run, the paper's way"): 8,
    }
    ours = rows[rows.source == "this run"]
    for number in ("delta_vsr", "delta_vsr_probability", "delta_vqa", "vsr_odds_ratio"):
        assert (ours[f"{number}_low"] <= ours[number]).all()
        assert (ours[number] <= ours[f"{number}_high"]).all()
    assert ours[["q_value", "q_value_vqa", "delta_control"]].notna().all(axis=None)
    assert ours.delta_vsr.iloc[0] == -25
    papers = rows[(rows.source == "the paper") & (rows.table_no == 1)]
    assert papers.delta_vsr.tolist() == [-15.54, -12.77, -11.19, -10.21, -9.05, -7.98]
    assert papers.n_samples.tolist() == [341, 94, 277, 480, 210, 188]


def test_beside_the_paper_says_whether_its_row_is_significant(ask):
    rows = ask("SELECT * FROM atlas.beside_paper WHERE table_no = 2 ORDER BY paper_p_best DESC")

    assert (rows.feature[0], rows.paper_is_significant[0]) == (4060, False)
    assert rows.our_delta_vsr.isna().all()  # none of them was removed in this little run


def test_a_dose_costs_more_than_a_matched_set(ask):
    rows = ask("SELECT * FROM atlas.dose_response WHERE name = '0' ORDER BY n_features")

    assert rows.n_features.tolist() == [1, 2, 4]
    np.testing.assert_allclose(rows.delta_accuracy, [-0.1, -0.2, -0.4], rtol=1e-6)
    assert rows.control_mean.tolist() == [0, 0, 0]


def test_steering_is_summed_up_per_feature(ask):
    rows = ask("SELECT * FROM atlas.steering_summary ORDER BY layer")

    assert rows[["layer", "feature", "n_strengths"]].to_numpy().tolist() == [[0, 0, 3], [1, 0, 3]]
    assert rows.yes_margin_slope.tolist() == pytest.approx([0.5, 0.5])
    assert rows.mirror_correlation.tolist() == pytest.approx([-0.8, -0.8])
    assert rows.is_mirror.all()
