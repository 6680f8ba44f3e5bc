"""Which colons ask for a value; the rest is SQL."""

import pytest

from feature_atlas.models.named_parameters import numbered, parameter_names

ALONE = [
    "SELECT ':n'",
    "SELECT 'it''s :n'",
    r"SELECT E'it\'s :n', e'\\', 'x'",
    "SELECT E'a'\n  'it\\'s :n'",
    'SELECT 1 AS ":n"',
    'SELECT 1 AS "a "":n"',
    "SELECT 1 -- :n",
    "SELECT 1 /* :n /* :n */ :n */",
    "SELECT $$ :n $$",
    "SELECT $tag$ :n $$ :n $tag$",
    "SELECT $ä$ :n $ä$",
    "SELECT 1::n",
    "SELECT a[1:n]",
    "SELECT a[:n]",
    "SELECT a[lo :n]",
    "SELECT (a)[1: :n]",
    "SELECT (a)[f(x):n]",
    "SELECT a[1][2:n]",
    "SELECT f(a := n)",
    "SELECT ' :n",
    "SELECT /* :n",
    "SELECT $$ :n",
    "SELECT U&'d\\0061t :n'",
]
REPLACED = [
    ("SELECT :n", "SELECT $1"),
    ("SELECT ':n', :n", "SELECT ':n', $1"),
    ("SELECT '\\', :n, '\\'", "SELECT '\\', $1, '\\'"),
    ("SELECT :n::int", "SELECT $1::int"),
    ("SELECT a[(:n)]", "SELECT a[($1)]"),
    ("SELECT a[f(:n):2]", "SELECT a[f($1):2]"),
    ("SELECT ARRAY[:n, :n]", "SELECT ARRAY[$1, $1]"),
    ("SELECT array [[:n], [1]]", "SELECT array [[$1], [1]]"),
    ("SELECT (ARRAY[:n])[1:n]", "SELECT (ARRAY[$1])[1:n]"),
    ("SELECT a$b$, :n, c$b$", "SELECT a$b$, $1, c$b$"),
    ("SELECT like'x', :n", "SELECT like'x', $1"),
    ("SELECT -- it's\n:n", "SELECT -- it's\n$1"),
    ("SELECT /* ' */ :n", "SELECT /* ' */ $1"),
    ("SELECT 100 % :n, '%s'", "SELECT 100 % $1, '%s'"),
    ("WHERE x>:n AND y=:other", "WHERE x>$1 AND y=:other"),
]


@pytest.mark.parametrize("statement", ALONE)
def test_what_is_no_parameter_is_left_alone(statement: str):
    assert numbered(statement, {"n": 1}).sql == statement
    assert parameter_names(statement) == []


@pytest.mark.parametrize(("statement", "sent"), REPLACED)
def test_a_parameter_is_a_number(statement: str, sent: str):
    found = numbered(statement, {"n": 7})

    assert (found.sql, found.values) == (sent, [7])
    assert "n" in parameter_names(statement)


def test_a_name_that_comes_twice_has_one_number_and_places_lead_back():
    statement = "SELECT :long_name, 'x', :b, :long_name + nothing"
    found = numbered(statement, {"b": 2, "long_name": 1})

    assert found.sql == "SELECT $1, 'x', $2, $1 + nothing"
    assert found.values == [1, 2]
    for word in ("SELECT", "'x'", "nothing"):
        assert found.written_place(found.sql.index(word)) == statement.index(word)
    assert found.written_place(found.sql.index("$2")) == statement.index(":b")
    assert parameter_names(statement) == ["long_name", "b"]
