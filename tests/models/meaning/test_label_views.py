"""Which description becomes the label, and which scores say nothing."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.stages.meaning.auto_interp import NO_DESCRIPTION

PLACE = "run_id = (SELECT id FROM atlas.current_run) AND layer = 1 AND feature = 2"
FEATURE = "SELECT label, label_source, f1, label_is_informative FROM atlas.feature WHERE layer = 1 AND feature = 2"  # noqa: E501


@pytest.fixture
def connection(loaded_engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone; feature 2 of layer 1 is not described."""
    with loaded_engine.connect() as connection:
        connection.execute(text(f"DELETE FROM atlas.auto_interp WHERE {PLACE}"))
        yield connection
        connection.rollback()


def describe(connection: Connection, description: str, f1: float, **changed) -> None:
    """One more description of the feature, 8 of 10 right on both sides but for `changed`."""
    row = {
        "description": description,
        "f1": f1,
        "variant": "RAW",
        "explainer": "openai",
        "model": description,
        "true_positive": 8,
        "false_positive": 2,
        "false_negative": 2,
        "true_negative": 8,
        "balanced_accuracy": 0.8,
        "mcc": 0.6,
        "f1_gain_low": 0.1,
        "chance_p": 0.01,
        "picture_gain_low": None,
        "scorer": None,
        **changed,
    }
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.execute(
        text(
            f"INSERT INTO atlas.auto_interp (run_id, layer, feature, measurement_id, n_positive,"
            f" n_negative, prompt_hash, raw_reply, tokens_used, n_failed, {names})"
            " SELECT run_id, 1, 2, min(measurement_id), 10, 10, '', '', 0, 0,"
            f" {values} FROM atlas.auto_interp GROUP BY run_id"
        ),
        row,
    )


def label(connection: Connection) -> tuple:
    return tuple(connection.execute(text(FEATURE)).one())


def score(connection: Connection, names: str) -> tuple:
    return tuple(
        connection.execute(text(f"SELECT {names} FROM atlas.label_score WHERE {PLACE}")).one()
    )


IMPORTED = {"explainer": "delphi", "f1_gain_low": None, "chance_p": None}


def test_our_own_description_comes_before_an_imported_one_with_a_higher_f1(
    connection: Connection,
) -> None:
    describe(connection, "delphi says", 0.99, scorer="detection", **IMPORTED)
    assert label(connection) == ("delphi says", "imported", pytest.approx(0.99), None)

    describe(connection, "we say", 0.3, f1_gain_low=-0.2)

    assert label(connection) == ("we say", "auto_interp", pytest.approx(0.3), False)


def test_of_imported_ones_detection_comes_before_fuzzing(connection: Connection) -> None:
    describe(connection, "highlights", 0.9, scorer="fuzz", **IMPORTED)
    describe(connection, "whole samples", 0.5, scorer="detection", **IMPORTED)
    describe(connection, "whole samples, better", 0.6, scorer="detection", **IMPORTED)

    assert label(connection)[0] == "whole samples, better"


def test_an_informative_description_comes_before_a_higher_f1_that_says_nothing(
    connection: Connection,
) -> None:
    describe(connection, "anything at all", 0.67, f1_gain_low=0.0, chance_p=1.0)
    describe(connection, "left of", 0.6)
    describe(connection, "left of, say", 0.5)

    assert label(connection) == ("left of", "auto_interp", pytest.approx(0.6), True)


def test_what_a_feature_writes_is_no_label(connection: Connection) -> None:
    describe(connection, "writing left", 0.9, variant="OUTPUT")
    assert label(connection) == (None, None, None, None)

    describe(connection, "asks for left of", 0.3)
    assert label(connection)[0] == "asks for left of"


def test_runs_from_before_these_scores_keep_their_order(connection: Connection) -> None:
    old = {"f1_gain_low": None, "chance_p": None}
    describe(connection, "worse", 0.6, **old)
    describe(connection, "better", 0.7, **old)

    assert label(connection) == ("better", "auto_interp", pytest.approx(0.7), None)


ALWAYS_YES = {"true_positive": 10, "false_positive": 10, "false_negative": 0, "true_negative": 0,
              "balanced_accuracy": 0.5, "mcc": 0, "f1_gain_low": 0.0, "chance_p": 1.0}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "is_informative", "is_constant"),
    [
        ({}, True, False),
        (ALWAYS_YES, False, True),
        ({"f1_gain_low": 0.0}, False, False),  # takes any sentence for any other
        ({"chance_p": 0.17}, False, False),  # right, but of four samples
        ({"f1_gain_low": None}, None, False),  # no other feature was described
    ],
)
def test_scores_that_say_nothing_are_flagged(
    connection: Connection, changed: dict, is_informative: bool | None, is_constant: bool
) -> None:
    describe(connection, "said", 2 / 3, **changed)

    assert score(connection, "is_informative, grader_is_constant") == (is_informative, is_constant)


@pytest.mark.parametrize(("low", "needs"), [(0.2, True), (0.0, False), (None, None)])
def test_a_description_that_text_alone_confirms_does_not_need_the_picture(
    connection: Connection, low: float | None, needs: bool | None
) -> None:
    describe(connection, "said", 0.8, picture_gain_low=low)

    assert score(connection, "needs_picture") == (needs,)


def test_an_unreadable_description_is_no_label(connection: Connection) -> None:
    describe(connection, NO_DESCRIPTION, 0.9)
    assert label(connection) == (None, None, None, None)
    assert score(connection, "is_readable") == (False,)
    said = f"SELECT count(*) FROM atlas.description WHERE {PLACE}"
    assert connection.scalar(text(said)) == 0

    describe(connection, "left of", 0.1)

    assert label(connection)[0] == "left of"


def test_every_label_view_says_the_same(connection: Connection) -> None:
    describe(connection, "left of", 0.6)
    review = (
        "INSERT INTO atlas.review (run_id, layer, feature, verdict, judged, reviewer)"
        " SELECT id, 1, 2, 'accept', 'as it was then', 'Ada' FROM atlas.current_run"
    )
    for expected in ("left of", "as it was then"):
        labels = {
            connection.scalar(text(f"SELECT label FROM atlas.{view} WHERE {PLACE}"))
            for view in ("feature_all_runs", "feature_label")
        }
        assert labels == {expected}
        connection.execute(text(review))
