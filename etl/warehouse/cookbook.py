"""The cookbook's questions, read from its Markdown, and the view that keeps them in the database.

    ## What they see                                          a topic
    ### Which features fire much more on spatial questions?   a question
    Twice the odds, or what you choose.                       what else there is to know
    Choose `least = 2.0`.                                     defaults of what the SQL calls :least
    ```sql title="spatial-odds"                               its name

Defaults are written as in SQL: 2 is a whole number, 2.0 any number, 'two' a text.
"""

import json
import re
from importlib.resources import files

from feature_atlas.etl.warehouse.schema.sql_text import sql_text
from feature_atlas.models.named_parameters import parameter_names
from feature_atlas.models.saved_query import Parameter, SavedQuery

_HEADING = re.compile(r"^(##|###) (.+)$", re.MULTILINE)
_QUESTION = re.compile(
    r"\s*(?P<description>.*?)\s*"
    r"^```sql title=\"(?P<slug>[a-z0-9-]+)\"\n(?P<sql>.*?)\s*^```\s*\Z",
    re.MULTILINE | re.DOTALL,
)
_CHOICE = re.compile(r"(?:\A|\n\n)Choose (?P<defaults>`[^\n]+)\Z")
_DEFAULT = re.compile(r"`(?P<name>\w+) = (?P<value>[^`]+)`")
_LITERALS = (
    (r"-?\d+", "bigint", int),
    (r"-?\d+\.\d+", "double precision", float),
    (r"'(?:[^']|'')*'", "text", lambda said: said[1:-1].replace("''", "'")),
)


def cookbook() -> list[SavedQuery]:
    """The questions of docs/cookbook.md, which comes with the package."""
    return read_cookbook((files(__package__) / "cookbook.md").read_text(encoding="utf-8"))


def read_cookbook(document: str) -> list[SavedQuery]:
    """Questions in their order; ValueError names the one that cannot be read."""
    _, *pieces = _HEADING.split(document)
    found: dict[str, SavedQuery] = {}
    topic = ""
    for level, heading, body in zip(*[iter(pieces)] * 3, strict=True):
        if level == "##":
            topic = heading
            continue
        query = _question(topic, heading, body)
        if query.slug in found:
            raise _fault(heading, f"its name, {query.slug}, is also that of another.")
        found[query.slug] = query
    return list(found.values())


def saved_query_view(queries: list[SavedQuery]) -> str:
    """The SQL that makes atlas.saved_query."""
    rows = [
        ", ".join(
            [str(place), *map(sql_text, query[:5]), f"{sql_text(_json(query.parameters))}::jsonb"]
        )
        for place, query in enumerate(queries, start=1)
    ]
    return VIEW.format(rows="),\n    (".join(rows))


def _question(topic: str, title: str, body: str) -> SavedQuery:
    read = _QUESTION.fullmatch(body)
    if read is None:
        raise _fault(
            title, 'expected some words, and then SQL that begins with ```sql title="name".'
        )
    description, slug, sql = read.group("description", "slug", "sql")
    choice = _CHOICE.search(description)
    defaults = {} if choice is None else _defaults(title, choice["defaults"])
    names = parameter_names(sql)
    if sorted(names) != sorted(defaults):
        raise _fault(
            title,
            f"its SQL asks for {', '.join(names) or 'nothing'}, and the line before it has "
            f"defaults of {', '.join(defaults) or 'nothing'}: Choose `name = 2.0`.",
        )
    words = description if choice is None else description[: choice.start()]
    return SavedQuery(slug, topic, title, words, sql, [defaults[name] for name in names])


def _defaults(title: str, said: str) -> dict[str, Parameter]:
    return {
        found["name"]: _parameter(title, found["name"], found["value"])
        for found in _DEFAULT.finditer(said)
    }


def _parameter(title: str, name: str, literal: str) -> Parameter:
    for pattern, kind, read in _LITERALS:
        if re.fullmatch(pattern, literal):
            return Parameter(name, kind, read(literal))
    raise _fault(title, f"{name} is {literal}; expected a default such as 2, 2.0 or 'two'.")


def _fault(title: str, what: str) -> ValueError:
    return ValueError(f"the cookbook's question {title!r}: {what}")


def _json(parameters: list[Parameter]) -> str:
    return json.dumps([parameter._asdict() for parameter in parameters], ensure_ascii=False)


VIEW = """\
CREATE VIEW atlas.saved_query AS
SELECT place, slug, topic, title, description, sql, parameters
FROM (VALUES
    ({rows})
) AS cookbook (place, slug, topic, title, description, sql, parameters);

COMMENT ON VIEW atlas.saved_query IS
    'questions of the cookbook with their SQL: `feature-atlas query --saved SLUG`';
COMMENT ON COLUMN atlas.saved_query.place IS 'place in the cookbook, 1-based';
COMMENT ON COLUMN atlas.saved_query.slug IS 'name in commands and addresses';
COMMENT ON COLUMN atlas.saved_query.topic IS 'the chapter of the cookbook';
COMMENT ON COLUMN atlas.saved_query.title IS 'the question';
COMMENT ON COLUMN atlas.saved_query.description IS 'what else there is to know, in Markdown';
COMMENT ON COLUMN atlas.saved_query.sql IS 'one SELECT; `:name` stands for a parameter';
COMMENT ON COLUMN atlas.saved_query.parameters IS
    'list of name, type and default of each parameter';
"""
