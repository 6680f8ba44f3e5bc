"""What of the paper holds in a run, in Markdown: every claim with its number, controls, verdict.

All of it is read from views: `atlas.claim` has the verdicts and their rule, `atlas.claim_check` the
numbers. Links lead to the pages of docs/, beside which the document is meant to lie.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.markdown_table import markdown_table
from feature_atlas.etl.warehouse.runs import published_run

VERDICTS = {
    "holds": "hold",
    "holds partly": "hold partly",
    "not shown": "are not shown",
    "refuted in this run": "are refuted in this run",
    "not measured": "are not measured",
}
"""As several claims have them."""

CLAIM_HEAD = ("", "claim", "the paper", "this run", "verdict", "rows")
CHECK_HEAD = ("", "number", "claimed", "this run", "over", "outcome")

Record = dict[str, Any]


def reproduction(engine: Engine, named: str | None) -> str:
    """The document of a published run, the newest unless another is named."""
    with engine.connect() as connection:
        run = published_run(connection, named).id
        (facts,) = _rows(connection, RUN, run)
        claims = _rows(connection, CLAIMS, run)
        checks = _rows(connection, CHECKS, run)
        (called,) = _rows(connection, CALLED, run)
    parts = (
        HEAD.format_map({name: _cell(value) for name, value in facts.items()}),
        _counted(claims),
        RULE,
        "## The claims",
        markdown_table(
            ("", "claim", "the paper", "this run", "verdict", "rows"), map(_claim, claims)
        ),
        "## Every number",
        NUMBERS,
        markdown_table(
            ("", "number", "claimed", "this run", "over", "outcome"), map(_check, checks)
        ),
        "## What is called spatial",
        CALLED_SPATIAL,
        markdown_table(("features", "how many"), _called(called)),
        TRUTH,
    )
    return "\n\n".join(parts) + "\n"


def _rows(connection: Connection, sql: str, run: int) -> list[Record]:
    return [dict(row) for row in connection.execute(text(sql), {"run": run}).mappings()]


def _counted(claims: Sequence[Record]) -> str:
    n = Counter(claim["verdict"] for claim in claims)
    said = ", ".join(f"**{n[verdict]}** {words}" for verdict, words in VERDICTS.items())
    return f"Of {len(claims)} claims {said}."


def _claim(claim: Record) -> list[str]:
    number = "" if claim["value"] is None else f": {_number(claim)}"
    return [
        str(claim["claim_no"]),
        f"{_cell(claim['says'])} ({_cell(claim['section'])})",
        _cell(claim["paper"]),
        _cell(claim["measured"]) + number,
        f"**{claim['verdict']}**",
        f"[{claim['saved_query']}](cookbook.md#{_anchor(claim['title'])})",
    ]


def _check(check: Record) -> list[str]:
    name = f"{check['claim_no']}.{check['check_no']}"
    says = check["says"] if check["check_no"] == 1 else f"{check['kind']}: {check['says']}"
    return [
        name,
        _cell(says),
        _cell(check["claimed"]),
        "" if check["value"] is None else _number(check),
        _cell(check["drawn"]),
        check["outcome"],
    ]


def _number(row: Record) -> str:
    """A number with its interval."""
    value = _shortly(row["value"])
    if row["low"] is None or row["high"] is None:
        return value
    return f"{value} [{_shortly(row['low'])}, {_shortly(row['high'])}]"


def _shortly(value: float) -> str:
    """Three digits after the point; more where these would be zeros."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1g}"


def _called(counted: Record) -> Iterable[list[str]]:
    for name, words in WORDS.items():
        n = counted[name]
        yield [words, "not measured" if n is None else f"{n:,}"]


def _cell(value: object) -> str:
    """Plain words in a cell of a table."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", str(value)).replace("\n", " ")


def _anchor(title: str) -> str:
    """The name that Markdown's table of contents gives to a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


HEAD = """\
# The paper, restated

*For referees and for readers of the paper: what of it holds in one run, by which number.*

Run {slug}: {vlm}, base SAEs {sae_set}, {n_features} features, code {code_version}. This page is
what `feature-atlas reproduction --run {slug} --output docs/reproduction.md` wrote; nothing in
it is typed by hand. On the pages it is on the Overview; in SQL it is `atlas.claim` and
`atlas.claim_check`. The page that ships is of the tiny world with every stage and control:
`feature-atlas demo --full` builds that run again."""

RULE = """\
Each claim is held to some numbers. The first is the claim itself, measured as well as the run
can; the others are its further parts, the paper's own figure, and the controls that the paper
lacks. A number *passes* where its whole 95 % interval lies in the claimed range, *fails* where
the whole interval lies outside of it, and is *open* where the interval reaches over an end; a
count, which has no interval, passes or fails. The verdict then follows (the view `claim` has it
in SQL):

| verdict | when |
|---|---|
| holds | every number passes |
| holds partly | the claim itself passes; a part or a control does not, or is not measured |
| not shown | the claim itself is open |
| refuted in this run | the claim itself fails |
| not measured | the run has no number for the claim itself |

*Refuted* is said of this run: another model may do what the paper says."""

NUMBERS = """\
*Over* says what the interval is drawn over; everything else is held fixed. Deltas are after
minus before, as fractions: -0.09 is 9 points lost. The six removals that hurt most are chosen,
as in Table 1, by what they cost on the same statements; *all* is the same of every removed
feature."""

CALLED_SPATIAL = """\
The steps of the paper call a feature spatial when it is adapted, recruited by spatial
questions, and still fires on neutral prompts. What the controls of this run say of those
features:"""

TRUTH = """\
Controls are not the truth. How often these names are right where it is planted:
[the tiny world](tiny_world.md#how-often-a-label-is-right)."""

WORDS = {
    "candidates": "candidates: adapted, and recruited by spatial questions",
    "no_longer": "of these, no more often on questions of equal length (interval reaches 1)",
    "language": "of these, turned no further than refitting or the questions alone turn them",
    "silent": "of these, silent on neutral prompts, or firing on the mean image as well",
    "survivors": "survivors: what the paper calls spatial features",
    "survivors_language": "of these, turned no further than refitting or the questions alone",
    "survivors_shuffled": "of these, firing as often with another sample's picture",
    "removed": "survivors that were removed",
    "removed_unharmed": "of these, without a loss that is significant (q < 0.05)",
}
"""Rows of the last table, by the columns of CALLED."""

RUN = """
SELECT slug, vlm, sae_set, n_features, left(code_version, 12) AS code_version
FROM atlas.runs WHERE run_id = :run
"""

CLAIMS = """
SELECT claim.*, saved_query.title
FROM atlas.claim JOIN atlas.saved_query ON saved_query.slug = claim.saved_query
WHERE run_id = :run ORDER BY claim_no
"""

CHECKS = """
SELECT said.claim_no, checked.*
FROM atlas.claim_check AS checked JOIN atlas.paper_claim AS said USING (claim)
WHERE run_id = :run ORDER BY claim_no, check_no
"""

CALLED = """
SELECT
    count(*) AS candidates,
    count(*) FILTER (WHERE NOT matched_odds_ratio_low > 1) AS no_longer,
    CASE WHEN count(is_turned_by_vision) > 0
        THEN count(*) FILTER (WHERE NOT is_turned_by_vision) END AS language,
    count(*) FILTER (WHERE NOT survives) AS silent,
    count(*) FILTER (WHERE survives) AS survivors,
    CASE WHEN count(is_turned_by_vision) > 0
        THEN count(*) FILTER (WHERE survives AND NOT is_turned_by_vision) END
        AS survivors_language,
    CASE WHEN count(n_fired_shuffled_image) > 0
        THEN count(*) FILTER (WHERE survives AND n_fired_shuffled_image >= n_fired) END
        AS survivors_shuffled,
    count(*) FILTER (WHERE survives AND delta_vsr IS NOT NULL) AS removed,
    count(*) FILTER (WHERE survives AND delta_vsr IS NOT NULL
        AND NOT (delta_vsr < 0 AND coalesce(q_removal, 1) < 0.05)) AS removed_unharmed
FROM (
    SELECT shift.run_id, shift.layer, shift.feature, shift.survives,
        shift.matched_odds_ratio_low, selection.is_turned_by_vision, tried.n_fired,
        tried.n_fired_shuffled_image, removal.delta_accuracy AS delta_vsr,
        removal.q_value AS q_removal
    FROM atlas.skill_shift AS shift
    JOIN atlas.selection USING (run_id, layer, feature)
    LEFT JOIN atlas.candidate AS tried
        ON tried.run_id = shift.run_id AND tried.layer = shift.layer
        AND tried.feature = shift.feature
        AND tried.skill_id = (SELECT id FROM atlas.skill WHERE name = 'spatial')
    LEFT JOIN atlas.ablation AS removal
        ON removal.run_id = shift.run_id AND removal.layer = shift.layer
        AND removal.feature = shift.feature AND removal.evaluation = 'vsr_relation'
        AND removal.intervention = 'directional' AND removal.control_no = 0
    WHERE shift.run_id = :run AND shift.skill = 'spatial' AND shift.is_candidate
) AS called
"""
