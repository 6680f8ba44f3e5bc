"""Search in SQL on a run whose texts are known (tests/support/run_folder.py)."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from feature_atlas.models.session import make_reader_engine

Key = tuple[int, int]

DESCRIBED = [(layer, feature) for layer in (0, 1) for feature in range(4)]
"""Said to be "asks for left of" (F1 0.8) and "asks where things are" (F1 0.6)."""

ASK_LEFT_OF = [(0, 0), (0, 4), (1, 0), (1, 4), (0, 3), (1, 3), (0, 2), (1, 2)]
"""Two of their six samples ask "left of": places 0, 0, 0, 0, then 1, 1, then 2, 2."""

ASK_ABOVE = [(0, 2), (1, 2), (0, 1), (0, 5), (1, 1), (1, 5), (0, 0), (0, 4), (1, 0), (1, 4)]

FIRE_ON_LEFT = [(layer, feature) for layer in (0, 1) for feature in range(6)]
"""All candidates fire most on the token `left"of`."""

RELATIONS = ["above", "below", "in", "on", "under", "behind", "left of", "in front of", "over"]


@pytest.fixture
def connection(loaded_engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone."""
    with loaded_engine.connect() as connection:
        yield connection
        connection.rollback()


def found(connection: Connection, words: str, kind: str) -> list[Key]:
    """Features of one list, best first."""
    query = (
        "SELECT layer, feature FROM atlas.search_text(:words, 1) WHERE kind = :kind ORDER BY place"
    )
    return [
        (layer, feature)
        for layer, feature in connection.execute(text(query), {"words": words, "kind": kind})
    ]


def search(connection: Connection, words: str, **more: Any) -> list[Any]:
    arguments = "".join(f", {name} => :{name}" for name in more)
    query = text(f"SELECT * FROM atlas.search(:words{arguments})")
    return list(connection.execute(query, {"words": words, **more}))


def review(
    connection: Connection, layer: int, feature: int, verdict: str, said: str | None
) -> None:
    query = (
        "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer,"
        " created_at) SELECT id, :layer, :feature, :verdict, :said, 'Ada', clock_timestamp()"
        " FROM atlas.current_run"
    )
    values = {"layer": layer, "feature": feature, "verdict": verdict, "said": said}
    connection.execute(text(query), values)


def test_each_kind_of_text_is_found_in_its_order(connection: Connection):
    assert found(connection, "left of", "description") == DESCRIBED
    assert found(connection, "left of", "question") == ASK_LEFT_OF
    assert found(connection, "left of", "token") == FIRE_ON_LEFT


def test_above_is_found_though_english_calls_it_a_stop_word(connection: Connection):
    english = text("SELECT numnode(websearch_to_tsquery('english', 'above'))")
    assert connection.scalar(english) == 0

    assert found(connection, "above", "question") == ASK_ABOVE
    assert found(connection, "above", "description") == []
    assert found(connection, "above", "token") == []


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_is_found_by_its_words(connection: Connection, relation: str):
    review(connection, 1, 5, "edit", f"the cat is {relation} the box")

    assert (1, 5) in found(connection, relation, "description")
    assert (1, 5) in found(connection, f'"{relation} the box"', "description")
    assert (1, 5) not in found(connection, f"cat -{relation.split()[0]}", "description")


def test_words_are_found_in_every_form(connection: Connection):
    assert found(connection, "thing asked", "description") == DESCRIBED
    assert found(connection, "circles", "question") != []
    assert found(connection, '"circle square"', "question") == []


def test_tokens_match_any_word_but_not_the_article(connection: Connection):
    assert found(connection, "the left circle", "token") == FIRE_ON_LEFT
    assert found(connection, "the circle", "token") == []
    assert found(connection, "of", "token") == FIRE_ON_LEFT  # the only word counts
    assert found(connection, "circle -left", "token") == []


def test_scores_add_up_over_the_lists(connection: Connection):
    rows = search(connection, "left of", max_rows=100)

    lists = {"description": DESCRIBED, "question": ASK_LEFT_OF, "token": FIRE_ON_LEFT}
    expected = {
        key: sum(1 / (60 + 1 + places.index(key)) for places in lists.values() if key in places)
        for key in FIRE_ON_LEFT
    }
    assert {(row.layer, row.feature): row.score for row in rows} == pytest.approx(expected)
    assert [row.score for row in rows] == sorted(expected.values(), reverse=True)
    assert rows[0].score == pytest.approx(3 / 61)  # layer 0, feature 0 leads all three
    last = rows[-1]
    assert (last.layer, last.feature, last.matched) == (1, 5, ["token"])
    assert last.score == pytest.approx(1 / 72)


def test_a_hit_says_what_matched(connection: Connection):
    best, *_ = search(connection, "left of", max_rows=1)

    assert (best.run_id, best.layer, best.feature) == (1, 0, 0)
    assert (best.label, best.f1) == ("asks for left of", pytest.approx(0.8))
    assert best.matched == ["description", "question", "token"]
    assert best.snippet == "asks for «left» «of»"
    [above] = search(connection, "above", max_rows=1)
    assert above.snippet == "Is the circle «above» the square?"
    assert above.matched == ["question"]


def test_a_token_in_angle_brackets_stays_in_the_text(connection: Connection):
    review(connection, 1, 5, "edit", 'says giraffe, firing most on "<assistant>"')

    [hit] = search(connection, "giraffe", max_rows=1)

    assert hit.snippet == 'says «giraffe», firing most on "<assistant>"'


def test_rows_are_limited_and_depth_follows(connection: Connection):
    assert len(search(connection, "left of", max_rows=3)) == 3
    assert search(connection, "left of", searched_run=99) == []


@pytest.mark.parametrize(
    ("verdict", "said", "is_found"),
    [
        ("accept", None, True),
        ("reject", None, False),
        ("edit", "the word port", False),
    ],
)
def test_a_review_overrules_what_an_explainer_said(
    connection: Connection, verdict: str, said: str | None, is_found: bool
):
    review(connection, 0, 2, "edit", "an older word, left of")
    review(connection, 0, 2, verdict, said)

    assert ((0, 2) in found(connection, "left", "description")) is is_found
    assert ((0, 2) in found(connection, "port", "description")) is (said is not None)
    assert found(connection, "older", "description") == []


HOSTILE = [
    "", " ", '"', "''", "\\", "(((", ")", "& | ! <->", ":*", "left & | !", "-", "- - -", "-left",
    "left or -right", "or or or", "'; DROP TABLE atlas.run; --", "%s %(x)s :words $1", "{}", "\x01",
    "\u202eleft", "‘left’ “of”", "🙂", "ﷺ", "left:*", "!!left", "'left' <-> 'of'", "a/b/c",
    "<b>x</b>", "http://a.b/c?d=e", "x" * 9000, "a or " * 3000, '"' * 3001, "left " * 2000,
    "\t\n\r", "é" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_an_error(connection: Connection, words: str):
    for row in search(connection, words):
        assert 0 < row.score <= 3 / 61


@pytest.mark.parametrize("words", ["-left", "left or -right", "!", "", "the or -the"])
def test_what_must_not_occur_alone_finds_nothing(connection: Connection, words: str):
    assert search(connection, words) == []


def test_words_are_found_through_the_indexes(connection: Connection):
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    for query, index in (
        ("SELECT FROM atlas.auto_interp WHERE to_tsvector('atlas.words', description) @@ 'left'",
         "ix__auto_interp__description_words"),
        ("SELECT FROM atlas.sample WHERE to_tsvector('atlas.words', question) @@ 'abov'",
         "ix__sample__question_words"),
        ("SELECT FROM atlas.example WHERE to_tsvector('atlas.words', tokens[max_token + 1])"
         " @@ 'left' AND rank < 3", "ix__example__token_words"),
    ):  # fmt: skip
        plan = "\n".join(connection.scalars(text(f"EXPLAIN {query}")))
        assert index in plan


def test_a_reader_may_search(loaded_url: str):
    reader = make_reader_engine(loaded_url)
    with reader.connect() as connection:
        assert len(search(connection, "left of")) == 12
        assert connection.scalar(text("SELECT count(*) FROM atlas.description")) == 16
    reader.dispose()
