"""What programs may ask of the atlas: four questions that only read, each answered in JSON.

`feature-atlas mcp` hands them to models and their tools. Every answer is bounded: in rows, in
characters, in time (the reader's `statement_timeout`).
"""

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from feature_atlas.models.notation.json_text import json_lines, quoted
from feature_atlas.models.user_sql import Answer, run_user_sql

MOST_ROWS = 1000
"""Rows of one answer."""
MOST_CHARACTERS = 200_000
"""Of one answer: some 50,000 tokens of a language model."""


class Tools:
    """The questions; their docstrings are what a model reads before it asks.

    ValueError: one sentence on what is wrong with a question, and where.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tables(self) -> str:
        """Every table, view and function of the atlas: what one row is, and about how many.

        Begin here. rows is null for views, which the database does not count; `feature` has a row
        for every feature of the current run.
        """
        return _rows(_ask(self._engine, TABLES))

    def describe(self, name: str) -> str:
        """The columns of a table or view: type, and meaning with unit and section of the paper."""
        name = name.removeprefix("atlas.")
        found = _ask(self._engine, COLUMNS, {"name": name})
        if not found.rows:
            raise ValueError(
                f"there is no table or view {name!r} in the schema atlas: ask `tables`."
            )
        return _rows(found)

    def query(self, sql: str, max_rows: int = 100) -> str:
        """The rows of one SELECT in PostgreSQL's SQL; is_cut says whether there were more.

        Tables are in the schema atlas. A run is millions of rows: filter, aggregate, LIMIT.
        max_rows is at most 1,000.
        """
        if not 1 <= max_rows <= MOST_ROWS:
            raise ValueError(f"max_rows is {max_rows}, expected 1 to {MOST_ROWS}.")
        return _rows(_ask(self._engine, sql, max_rows=max_rows))

    def feature(self, layer: int, feature: int, run: str | None = None) -> str:
        """All that is known of one feature: numbers, descriptions, samples, heads, removals.

        run is a slug, a number, or "stable"; none: the current run.
        """
        found = _ask(self._engine, RUN, {"run": run})
        if not found.rows:
            raise ValueError(
                f"there is no published run {run!r}: SELECT run_id, slug FROM atlas.runs."
            )
        run_id, slug = found.rows[0]
        values = {"run": run_id, "layer": layer, "feature": feature}
        parts = {name: _ask(self._engine, sql, values) for name, sql in OF_FEATURE.items()}
        if not parts["feature"].rows:
            raise ValueError(
                f"run {slug} has no feature {layer}/{feature}: SELECT layer, n_features FROM "
                f"atlas.layer_summary WHERE run_id = {run_id}."
            )
        members = [f"{quoted(name)}: {_list(part)}" for name, part in parts.items()]
        return "{" + ",\n".join(members) + "}"


def _ask(
    engine: Engine, sql: str, values: Mapping[str, Any] | None = None, max_rows: int = MOST_ROWS
) -> Answer:
    try:
        return run_user_sql(engine, sql, max_rows=max_rows, values=values)
    except psycopg.errors.QueryCanceled as error:
        raise ValueError(
            "the query took longer than it may (`feature-atlas mcp --seconds`): filter by run_id "
            "and layer, aggregate, or ask for a part."
        ) from error
    except (DBAPIError, psycopg.Error) as error:
        raise ValueError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    """What the database says on one line: what is wrong, the place, and its advice."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    said, *rest = str(reason).splitlines() or [type(error).__name__]
    if rest and (place := re.fullmatch(r"(line \d+, column \d+):", rest[0])):
        said, rest = f"{said} ({place[1]})", rest[3:]  # the line itself and its caret
    return "; ".join([said, *rest])


def _rows(answer: Answer) -> str:
    """An object: the rows that fit, and whether there were more."""
    lines, n_characters = [], 0
    for line in json_lines(answer.names, answer.rows):
        n_characters += len(line)
        if n_characters > MOST_CHARACTERS:
            break
        lines.append(line)
    if answer.rows and not lines:
        raise ValueError(
            f"the first row alone is longer than {MOST_CHARACTERS:,} characters: name fewer "
            "columns, or take a part of them, e.g. left(question, 100)."
        )
    is_cut = answer.is_cut or len(lines) < len(answer.rows)
    return f'{{"is_cut": {"true" if is_cut else "false"}, "rows": [\n' + ",\n".join(lines) + "\n]}"


def _list(answer: Answer) -> str:
    return "[\n" + ",\n".join(json_lines(answer.names, answer.rows)) + "\n]"


TABLES = """
SELECT DISTINCT relation AS name, kind, n_rows_estimate AS rows, relation_description AS meaning
FROM atlas.columns
WHERE schema = 'atlas'
UNION ALL
SELECT
    format('%s(%s)', called.proname, pg_get_function_arguments(called.oid)),
    'function',
    NULL,
    obj_description(called.oid, 'pg_proc')
FROM pg_proc AS called
WHERE called.pronamespace = 'atlas'::regnamespace AND called.prorettype <> 'trigger'::regtype
    AND has_function_privilege(called.oid, 'EXECUTE')
ORDER BY kind DESC, name
"""

COLUMNS = """
SELECT "column" AS name, type,
    concat(description, ' [' || unit || coalesce('; ' || range, '') || ']') AS meaning
FROM atlas.columns
WHERE schema = 'atlas' AND relation = :name
ORDER BY place
"""

RUN = """
SELECT id, slug FROM atlas.run
WHERE state IN ('published', 'superseded') AND CASE
    WHEN :run::text IS NULL THEN id = (SELECT id FROM atlas.current_run)
    WHEN :run = 'stable' THEN id = (SELECT id FROM atlas.stable_run)
    ELSE slug = :run OR id::text = :run
END
ORDER BY id DESC LIMIT 1
"""

PLACE = "run_id = :run AND layer = :layer AND feature = :feature"

OF_FEATURE = {
    "feature": f"SELECT * FROM atlas.feature_all_runs WHERE {PLACE}",
    "descriptions": f"""
        SELECT source, description, f1 FROM atlas.description WHERE {PLACE}
        ORDER BY f1 DESC NULLS LAST LIMIT 10
    """,
    "samples": f"""
        SELECT source, rank, question, answer, relation, top_token, max_activation, image_uri
        FROM atlas.top_example WHERE {PLACE} ORDER BY rank, source LIMIT 10
    """,
    "skills": f"""
        SELECT skill, is_candidate, survives, delta_p, odds_ratio, odds_ratio_low, odds_ratio_high,
            q_value
        FROM atlas.skill_shift WHERE {PLACE} ORDER BY skill
    """,
    "heads": f"""
        SELECT corruption, method, head_layer, head, place, drive, standard_error, evidence
        FROM atlas.driving_head WHERE {PLACE} AND place <= 5
        ORDER BY corruption <> 'mean', corruption, method, place
    """,
    "removals": f"""
        SELECT relation, delta_vsr, delta_vsr_low, delta_vsr_high, q_value, delta_vqa,
            delta_vqa_low, delta_vqa_high, control_min, description
        FROM atlas.ablation_summary WHERE {PLACE}
    """,
    "neighbours": f"""
        SELECT near_feature, cosine FROM atlas.near_feature WHERE {PLACE} ORDER BY place LIMIT 10
    """,
}
