"""The cookbook's Markdown as saved queries, and these in the database."""

import re

import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.cookbook import cookbook, read_cookbook, saved_query_view
from feature_atlas.models.saved_query import SAVED_QUERIES, Parameter, saved_query

BOOK = """# Cookbook

## Views to begin with

A table.

## Seeing

Said of the whole topic.

### Which see?

```sql title="see"
SELECT 1;
```

### Which see *more* than that?

Words, in
two lines.

Choose `least = -2`, `share = 0.50` and `word = 'it''s'`.

```sql title="see-more"
SELECT 'of :nobody' -- or :comment
WHERE :word = 'x' AND :share < :least
AND :word = 'y';
```

## Hearing

### Which hear?

Words.

```sql title="hear"
SELECT 2
```
"""


def test_topics_questions_words_and_defaults_are_read():
    see, more, hear = read_cookbook(BOOK)

    assert see == ("see", "Seeing", "Which see?", "", "SELECT 1;", [])
    assert more[:4] == (
        "see-more",
        "Seeing",
        "Which see *more* than that?",
        "Words, in\ntwo lines.",
    )
    assert more.sql.splitlines()[0] == "SELECT 'of :nobody' -- or :comment"
    assert more.parameters == [
        Parameter("word", "text", "it's"),
        Parameter("share", "double precision", 0.5),
        Parameter("least", "bigint", -2),
    ]
    assert hear[:4] == ("hear", "Hearing", "Which hear?", "Words.")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('```sql title="see"', "```sql", "'Which see?': expected some words, and then SQL"),
        ('title="hear"', 'title="see"', "'Which hear?': its name, see, is also that of another"),
        ("`share = 0.50` and ", "", "asks for word, share, least, and the line before it has"),
        ("SELECT 2", "SELECT :two", "asks for two, and the line before it has defaults of nothing"),
        ("= 0.50", "= half", "share is half; expected a default such as 2, 2.0 or 'two'"),
    ],
)
def test_a_question_that_cannot_be_read_is_named(old: str, new: str, complaint: str):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_cookbook(BOOK.replace(old, new))


def test_the_database_holds_what_the_cookbook_says(engine: Engine):
    with engine.connect() as connection:
        held = [saved_query(*row) for row in connection.execute(text(SAVED_QUERIES))]

    assert held == cookbook()


def test_words_stay_as_they_are_in_the_database(engine: Engine):
    queries = read_cookbook(BOOK.replace("Words.", r"100 % of \'%s\' :x $1 {y}"))
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP VIEW atlas.saved_query")
        connection.exec_driver_sql(
            saved_query_view(queries), execution_options={"no_parameters": True}
        )
        held = [saved_query(*row) for row in connection.execute(text(SAVED_QUERIES))]
        connection.rollback()

    assert held == queries
