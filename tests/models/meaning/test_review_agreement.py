"""Cohen's kappa between reviewers, against statsmodels and numbers done by hand."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, text
from statsmodels.stats.inter_rater import cohens_kappa

VERDICTS = ("accept", "edit", "reject")
SAY = text(
    "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, judged, reviewer,"
    " created_at) SELECT id, 0, :feature, :verdict, CASE :verdict WHEN 'edit' THEN 'own' END,"
    " :judged, :reviewer, clock_timestamp() FROM atlas.current_run"
)


@pytest.fixture
def connection(loaded_engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone."""
    with loaded_engine.connect() as connection:
        yield connection
        connection.rollback()


def say(
    connection: Connection, who: str, verdicts: dict[int, str], judged: str = "a label"
) -> None:
    rows = [
        {"feature": feature, "verdict": verdict, "judged": judged, "reviewer": who}
        for feature, verdict in verdicts.items()
    ]
    connection.execute(SAY, rows)


def agreement(connection: Connection) -> pd.DataFrame:
    found = pd.read_sql("SELECT * FROM atlas.review_agreement", connection)
    return found.set_index(found.reviewer.fillna("all") + found.other_reviewer.fillna(""))


def test_kappa_of_two_reviewers_by_hand(connection: Connection) -> None:
    """Both accept 4, both reject 3, and they differ on 3: (0.7 - 0.5) / (1 - 0.5) = 0.4."""
    say(connection, "Ada", {f: "accept" if f < 6 else "reject" for f in range(10)})
    say(connection, "Bob", {f: "accept" if f in (0, 1, 2, 3, 6) else "reject" for f in range(10)})

    found = agreement(connection)

    for row in found.loc[["AdaBob", "all"]].itertuples():
        assert row.n_features == 10
        assert (row.share_same, row.share_by_chance) == (0.7, pytest.approx(0.5))
        assert row.kappa == pytest.approx(0.4)
        reach = 1.96 * (0.7 * 0.3 / 10) ** 0.5 / 0.5
        assert row.kappa_low == pytest.approx(0.4 - reach)
        assert row.kappa_high == pytest.approx(0.4 + reach)


def test_pairs_are_compared_on_the_same_words_by_their_newest_verdicts(
    connection: Connection,
) -> None:
    rng = np.random.default_rng(0)
    said = {who: dict(enumerate(rng.choice(VERDICTS, 40))) for who in ("Ada", "Bob", "Eve")}
    said["Eve"] = {f: v for f, v in said["Ada"].items() if f < 25} | {30: "reject", 31: "edit"}
    say(connection, "Bob", dict.fromkeys(range(40), "accept"))  # thought better of
    for who, verdicts in said.items():
        say(connection, who, verdicts)
    say(connection, "Eve", dict.fromkeys(range(33, 40), "accept"), judged="another label")

    found = agreement(connection)

    weights, shares, by_chance = [], [], []
    for one, other in (("Ada", "Bob"), ("Ada", "Eve"), ("Bob", "Eve")):
        both = sorted(said[one].keys() & said[other].keys())
        table = np.zeros((3, 3))
        for f in both:
            table[VERDICTS.index(said[one][f]), VERDICTS.index(said[other][f])] += 1
        row = found.loc[one + other]
        assert row.n_features == len(both)
        assert row.kappa == pytest.approx(cohens_kappa(table).kappa)
        shares.append(np.trace(table) / len(both))
        by_chance.append(table.sum(0) @ table.sum(1) / len(both) ** 2)
        weights.append(len(both))
    same, chance = np.average(shares, weights=weights), np.average(by_chance, weights=weights)
    assert found.loc["all"].kappa == pytest.approx((same - chance) / (1 - chance))
    assert found.loc["all"].n_features == 40
    assert pd.isna(found.loc["all"].kappa_low)  # the pairs share features


def test_reviewers_who_always_say_one_thing_tell_nothing(connection: Connection) -> None:
    say(connection, "Ada", dict.fromkeys(range(5), "accept"))
    say(connection, "Bob", dict.fromkeys(range(5), "accept"))

    row = agreement(connection).loc["AdaBob"]

    assert row.share_same == row.share_by_chance == 1
    assert pd.isna(row.kappa)
