"""A skill's filter checked by eye: 200 hits and 200 near misses, and how many were right.

The sheet is a CSV (and an HTML page of the same rows) with an empty column `is_right`: y where the
filter decided as you would have, n where not. Hits tell the filter's precision. Near misses are
questions without the skill: first those from which a look-alike was cut, then those with one of the
skill's words, then any; they show what it leaves out, and stand for no share of anything.
"""

import html
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from sqlalchemy import Connection, text

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.features.skills import matched_rules
from feature_atlas.features.skill import Skill, has_look_alike, has_skill_word
from feature_atlas.models.notation.csv_text import read_csv, write_csv
from feature_atlas.statistics.uncertainty import wilson_interval

HIT, MISS = "hit", "near miss"
COLUMNS = ("kind", "rule", "question", "answer", "question_type", "dataset", "id", "is_right")
YES, NO = ("y", "yes", "1", "true"), ("n", "no", "0", "false")


class Row(NamedTuple):
    """One question of the sheet."""

    kind: str
    """hit or near miss."""
    rule: str
    """The rule that matched; of a near miss, why it is one."""
    sample: Sample


class Score(NamedTuple):
    """What a filled-in sheet says."""

    kind: str
    """hit or near miss."""
    n_right: int
    """Rows marked y."""
    n_marked: int
    """Rows marked y or n."""
    n_open: int
    """Rows not filled in."""
    low: float
    """Lower end of the share's 95 % Wilson interval."""
    high: float
    """Upper end."""


def sheet_of(skill: Skill, samples: Sequence[Sample], n: int, seed: int) -> list[Row]:
    """At most n hits and n near misses, drawn by the seed, in random order within each kind."""
    random = Random(seed)
    rules = matched_rules(skill, samples)
    hits = [Row(HIT, r, s) for r, s in zip(rules, samples, strict=True) if r is not None]
    if not hits:
        raise ValueError(
            f"skill {skill.name!r} matches none of {len(samples)} questions: there is nothing to "
            "look at. Mend its patterns, or take other questions."
        )
    misses = [
        Row(MISS, _why(skill, s), s) for r, s in zip(rules, samples, strict=True) if r is None
    ]
    for rows in (hits, misses):
        random.shuffle(rows)
    misses.sort(key=lambda row: REASONS.index(row.rule))  # stable: random within a reason
    return [*hits[:n], *misses[:n]]


REASONS = ("a look-alike was cut out", "has a word of the skill", "no rule matches")


def _why(skill: Skill, sample: Sample) -> str:
    if has_look_alike(skill, sample.question):
        return REASONS[0]
    return REASONS[1] if has_skill_word(skill, sample.question) else REASONS[2]


def write_sheet(rows: Sequence[Row], file: Path) -> Path:
    """Write the CSV to fill in, and beside it a page to read; returns the page."""
    values = [
        (row.kind, row.rule, s.question, s.answer, s.question_type or "", s.dataset, s.external_id)
        for row in rows
        for s in (row.sample,)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        write_csv(stream, COLUMNS, [(*row, None) for row in values])
    page = file.with_suffix(".html")
    page.write_text(_page(values), encoding="utf-8")
    return page


def _page(values: Sequence[tuple[str, ...]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    body = "\n".join(line(row, "td") for row in values)
    return (
        '<!doctype html><meta charset="utf-8"><title>Skill check</title>\n'
        "<style>body{font:15px sans-serif}td,th{padding:2px 10px;text-align:left}"
        "tr:nth-child(even){background:#f4f4f4}</style>\n"
        f"<table>\n{line(COLUMNS[:-1], 'th')}\n{body}\n</table>\n"
    )


def score_sheet(file: Path) -> list[Score]:
    """Read a filled-in sheet back: how many of each kind are right, with an interval."""
    if not file.is_file():
        raise FileNotFoundError(f"no sheet at {file}: `feature-atlas skills check` writes one.")
    names, rows = read_csv(file)
    missing = {"kind", "is_right"} - set(names)
    if missing:
        raise ValueError(
            f"{file} has no column {', '.join(sorted(missing))}: expected the sheet that "
            "`feature-atlas skills check` writes, with is_right filled in."
        )
    marks = [(row["kind"], _mark(file, number, row)) for number, row in rows]
    return [_score(kind, [mark for of, mark in marks if of == kind]) for kind in (HIT, MISS)]


def _mark(file: Path, number: int, row: dict[str, str]) -> bool | None:
    word = (row["is_right"] or "").strip().lower()
    if word and word not in (*YES, *NO):
        raise ValueError(
            f"{file}, line {number}: is_right is {row['is_right']!r}, expected y, n or nothing."
        )
    return None if not word else word in YES


def _score(kind: str, marks: Sequence[bool | None]) -> Score:
    marked = [mark for mark in marks if mark is not None]
    interval = wilson_interval(sum(marked), len(marked))
    n_open = len(marks) - len(marked)
    return Score(kind, sum(marked), len(marked), n_open, float(interval.low), float(interval.high))


def published_samples(connection: Connection, dataset: str) -> list[Sample]:
    """The questions of the current run's split of a data set, as the database has them."""
    found = connection.execute(text(SAMPLES), {"kind": dataset}).all()
    if not found:
        raise ValueError(
            f"the atlas has no current run with questions of {dataset}: build one, or name a "
            "configuration with --config."
        )
    return [Sample(image=Path(), **row._mapping) for row in found]


SAMPLES = """
SELECT dataset.name AS dataset, sample.external_id, sample.question, sample.answer,
       sample.question_type, sample.answer_type, sample.relation
FROM atlas.sample JOIN atlas.dataset ON dataset.id = sample.dataset_id
WHERE dataset.kind = :kind AND dataset.split IN ('val', 'train', 'controlled') AND EXISTS (
    SELECT FROM atlas.measurement
    WHERE run_id = (SELECT id FROM atlas.current_run)
      AND inputs ->> dataset.name = dataset.fingerprint
)
ORDER BY sample.id
"""
