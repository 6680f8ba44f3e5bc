"""The paper's claims as rows: numbers against pandas and scipy, verdicts against their rule."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folder import read_rows
from scipy.stats import binomtest, t
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.cookbook import cookbook


@pytest.fixture(scope="module")
def checks(loaded_engine: Engine) -> pd.DataFrame:
    """Every check of the one run, by claim and number."""
    rows = pd.read_sql("SELECT * FROM atlas.claim_check", loaded_engine)
    return rows.set_index(["claim", "check_no"]).sort_index()


@pytest.fixture(scope="module")
def claims(loaded_engine: Engine) -> pd.DataFrame:
    return pd.read_sql("SELECT * FROM atlas.claim ORDER BY claim_no", loaded_engine)


@pytest.fixture(scope="module")
def written(run_folder: Path):
    """A table of the run folder as a frame."""
    return lambda table: read_rows(run_folder, table).to_pandas()


@pytest.mark.parametrize(("n", "error"), [(3, 0.11), (4, 0.03), (6, 0.003), (20, 1e-4)])
def test_the_interval_of_a_mean_is_students(n: int, error: float, loaded_engine: Engine):
    with loaded_engine.connect() as connection:
        low, high = connection.execute(
            text("SELECT * FROM atlas.mean_interval(2, 0.5, :n)"), {"n": n}
        ).one()

    expected = t.interval(0.95, n - 1, loc=2, scale=0.5 / np.sqrt(n))
    assert low + high == pytest.approx(4)
    assert high - 2 == pytest.approx(expected[1] - 2, rel=error)


def test_one_value_has_no_interval(loaded_engine: Engine):
    with loaded_engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM atlas.mean_interval(2, NULL, 1)")).one()

    assert tuple(row) == (None, None)


@pytest.mark.parametrize(("hits", "n"), [(0, 6), (6, 6), (1, 3), (71, 377), (766, 1536)])
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int, loaded_engine: Engine):
    with loaded_engine.connect() as connection:
        found = connection.execute(
            text("SELECT * FROM atlas.share_interval(:hits, :n)"), {"hits": hits, "n": n}
        ).one()

    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert tuple(found) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_every_claim_has_its_checks_and_a_question_of_the_cookbook(
    claims: pd.DataFrame, checks: pd.DataFrame
):
    known = {query.slug for query in cookbook()}

    assert claims.claim_no.tolist() == list(range(1, 26))
    assert set(claims.saved_query) <= known
    for claim, of_claim in checks.groupby(level="claim"):
        numbers = of_claim.index.get_level_values("check_no")
        assert numbers.tolist() == list(range(1, len(numbers) + 1)), claim
        assert (of_claim.kind.iloc[0] == "claim") & (of_claim.kind.iloc[1:] != "claim").all()
    assert checks.index.get_level_values("claim").unique().sort_values().tolist() == sorted(
        claims.claim
    )


def test_every_number_is_one_of_a_known_check(loaded_engine: Engine, checks: pd.DataFrame):
    views = ("dictionary", "features", "sets", "meaning", "heads", "ablation")
    for view in views:
        rows = pd.read_sql(f"SELECT claim, check_no FROM atlas.claim_{view}", loaded_engine)
        assert not rows.duplicated().any()
        assert set(rows.itertuples(index=False, name=None)) <= set(checks.index), view


def outcome(check: pd.Series) -> str:
    """The rule, said once more."""
    if pd.isna(check.value):
        return "not measured"
    low, high = (check.value if pd.isna(x) else x for x in (check.low, check.high))
    lowest = -np.inf if pd.isna(check.claimed_low) else check.claimed_low
    highest = np.inf if pd.isna(check.claimed_high) else check.claimed_high
    if lowest < low and high < highest:
        return "passes"
    return "fails" if high <= lowest or low >= highest else "open"


def verdict(outcomes: list[str]) -> str:
    first, *others = outcomes
    if first == "passes":
        return "holds" if set(others) <= {"passes"} else "holds partly"
    said = {"not measured": "not measured", "open": "not shown", "fails": "refuted in this run"}
    return said[first]


def test_outcomes_and_verdicts_follow_their_rules(claims: pd.DataFrame, checks: pd.DataFrame):
    expected = checks.apply(outcome, axis=1)
    verdicts = {claim: verdict(rows.tolist()) for claim, rows in expected.groupby(level="claim")}

    assert checks.outcome.tolist() == expected.tolist()
    assert claims.set_index("claim").verdict.to_dict() == verdicts
    assert set(expected) == {"passes", "fails", "open", "not measured"}
    assert len(set(claims.verdict)) >= 4


def test_what_was_not_measured_is_never_refuted(claims: pd.DataFrame):
    silent = claims[claims.claim.isin(["one-meaning-in-both", "unrelated-questions-do-not"])]

    assert silent.verdict.tolist() == ["not measured", "not measured"]
    assert claims[claims.value.isna()].verdict.unique().tolist() == ["not measured"]


def test_shares_of_features_are_counted(checks: pd.DataFrame):
    few = checks.loc[("few-adapt", 1)]
    expected = binomtest(32, 128).proportion_ci(method="wilson")

    assert few[["value", "low", "high"]].tolist() == pytest.approx(
        [0.25, expected.low, expected.high], abs=1e-6
    )
    assert few.outcome == "fails"
    assert checks.loc[("spatial-recruits-some", 1)].value == 12 / 32
    assert checks.loc[("neutral-prompts-decide", 1)].value == 8 / 12


def test_differences_between_layers_are_those_of_the_wide_rows(
    checks: pd.DataFrame, loaded_engine: Engine
):
    rows = pd.read_sql("SELECT * FROM atlas.feature_record", loaded_engine)
    shallow, deep = (rows[rows.layer == layer] for layer in (0, 1))
    rise = checks.loc[("deeper-layers-align", 1)]
    error = np.sqrt(sum(of.cosine_image.astype(float).var() / len(of) for of in (shallow, deep)))

    assert rise.value == pytest.approx(
        deep.cosine_image.astype(float).mean() - shallow.cosine_image.astype(float).mean()
    )
    assert rise.high - rise.value == pytest.approx(1.96 * error)
    text_full = (shallow.cosine - shallow.cosine_full).astype(float)
    assert checks.loc[("text-stays-aligned", 1)].value == pytest.approx(text_full.mean(), rel=1e-5)
    assert checks.loc[("middle-layers-adapt", 1)].outcome == "not measured"  # two layers


def test_reconstruction_is_compared_layer_by_layer_at_the_end(checks: pd.DataFrame, written):
    curve = written("training_curve")
    if "role" in curve:
        curve = curve[curve.role.fillna("all") == "all"]
    last = curve.sort_values("tokens_seen").groupby(["regime", "layer"]).fvu.last().unstack(0)

    found = checks.loc[("text-adapts-best", 2)]
    assert found.value == pytest.approx((last.text - last.full).astype(float).mean(), rel=1e-5)


def test_what_other_seeds_and_untrained_dictionaries_say_is_taken_from_their_tables(
    checks: pd.DataFrame,
):
    seeds, untrained = checks.loc[("vision-turned-them", 4)], checks.loc[("descriptions-hold", 4)]
    interval = binomtest(30, 40).proportion_ci(method="wilson")

    assert seeds[["value", "low", "high"]].tolist() == pytest.approx(
        [0.75, interval.low, interval.high], abs=1e-6
    )
    reach = np.hypot(0.1, 0.1)  # of both intervals
    assert untrained[["value", "low", "high"]].tolist() == pytest.approx(
        [0.3, 0.3 - reach, 0.3 + reach]
    )
    assert checks.loc[("removal-hurts", 6)].outcome == "not measured"


def test_removals_are_averaged_over_the_six_that_hurt_most(
    checks: pd.DataFrame, loaded_engine: Engine
):
    rows = pd.read_sql(
        "SELECT * FROM atlas.ablation_summary ORDER BY delta_vsr, layer, feature", loaded_engine
    )
    six = rows[:6].delta_vsr.astype(float)
    interval = t.interval(0.95, 5, loc=six.mean(), scale=six.std() / np.sqrt(6))
    hurts = checks.loc[("removal-hurts", 1)]

    assert hurts[["value", "low", "high"]].tolist() == pytest.approx(
        [six.mean(), *interval], rel=5e-3
    )
    assert checks.loc[("removal-hurts", 5)].value == pytest.approx(rows.delta_vsr.mean(), rel=1e-5)
    odds = np.log(rows[:6].odds_ratio.astype(float)).mean()
    assert checks.loc[("odds-are-high", 1)].value == pytest.approx(np.exp(odds), rel=1e-5)


def test_first_heads_and_what_two_methods_share(checks: pd.DataFrame, written):
    rows = written("head_attribution")
    if "corruption" in rows:
        rows = rows[rows.corruption == "mean"]
    rows["drive"] = np.where(rows.method == "A", -rows.score, rows.score)
    beyond = []
    for _, of_feature in rows.groupby(["layer", "feature"]):
        first = {}
        for method, of_method in of_feature.groupby("method"):
            top = of_method.sort_values(
                ["drive", "head_layer", "head"], ascending=[False, True, True]
            )[:5]
            first[method] = {(r.head_layer, r.head) for r in top[top.drive > 0].itertuples()}
        n_heads = len(of_feature) / 2
        lot = len(first["A"]) * len(first["B"]) / n_heads
        beyond.append((len(first["A"] & first["B"]) - lot) / 5)

    assert checks.loc[("methods-agree", 1)].value == pytest.approx(np.mean(beyond))
