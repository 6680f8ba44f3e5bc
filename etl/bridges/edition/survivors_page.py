"""survivors.html: the features that survived, on one page that opens from the disk.

No script, no picture, no address: the page asks the network for nothing, and its policy forbids it.
All that comes from data is escaped, word by word.
"""

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import duckdb

from feature_atlas.etl.bridges.edition.credit import Credit, title
from feature_atlas.etl.bridges.exported_run import ExportedRun

MOST = 500
"""Features on the page; the others are in the database file beside it."""


def write_survivors(
    database: duckdb.DuckDBPyConnection, folder: Path, run: ExportedRun, said: Credit
) -> None:
    """Ask the edition itself, and write what it says."""
    found = _rows(database, SURVIVORS, [MOST + 1])
    shown = found[:MOST]
    examples: dict[str, list[dict[str, Any]]] = {}
    for example in _rows(database, EXAMPLES, []):
        examples.setdefault(_anchor(example), []).append(example)
    parts = [_feature(row, examples.get(_anchor(row), [])) for row in shown]
    said_of_cut = "" if shown == found else f" The first {MOST} of them; all are in the database."
    template = Template((files(__package__) / "survivors.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=escape(title(run)),
        intro=escape(
            f"Of {len(run.layers) * run.d_sae:,} features in {len(run.layers)} layers, these "
            f"turned in fine-tuning, see, serve a skill, and fire without its words.{said_of_cut}"
        ),
        rows="\n".join(map(_table_row, shown)) or NONE,
        features="\n".join(parts),
        foot=escape(f"{title(run)}, published {run.published_at[:10]}. {said.licence}."),
    )
    (folder / "survivors.html").write_text(text, encoding="utf-8")


def _table_row(row: dict[str, Any]) -> str:
    cells = (
        f'<a href="#{_anchor(row)}">{row["layer"]}/{row["feature"]}</a>',
        escape(row["skill"]),
        escape(row["label"] or ""),
        *(_number(row[name]) for name in ("f1", "cosine", "visual_energy")),
        _interval(row, "odds_ratio"),
        _interval(row, "ablation"),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _feature(row: dict[str, Any], examples: list[dict[str, Any]]) -> str:
    heading = f"{row['layer']}/{row['feature']} {row['label'] or 'no label'}"
    lines = "\n".join(f"<li>{_example(example)}</li>" for example in examples)
    return (
        f'<section id="{_anchor(row)}"><h3>{escape(heading)}</h3>\n'
        f"<p>{escape(row['skill'])}</p>\n<ol>\n{lines}\n</ol></section>"
    )


def _example(example: dict[str, Any]) -> str:
    """The question's tokens with the strongest one marked, and the answer."""
    tokens = [escape(token) for token in example["tokens"]]
    strongest = example["activations"].index(max(example["activations"]))
    tokens[strongest] = f"<mark>{tokens[strongest]}</mark>"
    # tokenizers that keep spaces put them in the tokens, the others leave them to us
    keeps_spaces = any(token[:1].isspace() for token in example["tokens"])
    said = ("" if keeps_spaces else " ").join(tokens)
    return (
        f"{said} <small>{escape(example['answer'] or '')}, {example['max_activation']:.3g}</small>"
    )


def _interval(row: dict[str, Any], name: str) -> str:
    """A number with its 95 % interval."""
    if row[name] is None:
        return ""
    value, low, high = (_number(row[name + end]) for end in ("", "_low", "_high"))
    return f"{value} <small>{low} to {high}</small>"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _anchor(row: dict[str, Any]) -> str:
    return f"f-{row['layer']}-{row['feature']}"


def _rows(
    database: duckdb.DuckDBPyConnection, query: str, values: list[int]
) -> list[dict[str, Any]]:
    answer = database.execute(query, values)
    names = [name for name, *_ in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


SURVIVORS = """
SELECT
    f.layer, f.feature, f.label, f.f1, f.cosine, f.visual_energy,
    string_agg(s.skill, ', ' ORDER BY s.odds_ratio DESC) AS skill,
    max(s.odds_ratio) AS odds_ratio,
    max_by(s.odds_ratio_low, s.odds_ratio) AS odds_ratio_low,
    max_by(s.odds_ratio_high, s.odds_ratio) AS odds_ratio_high,
    f.ablation_delta AS ablation, f.ablation_low, f.ablation_high
FROM atlas.skill_shift AS s JOIN atlas.feature AS f USING (run_id, layer, feature)
WHERE s.survives
GROUP BY ALL
ORDER BY ablation NULLS LAST, odds_ratio DESC, f.layer, f.feature
LIMIT ?
"""

EXAMPLES = """
SELECT layer, feature, tokens, activations, answer, max_activation
FROM atlas.top_example
SEMI JOIN (FROM atlas.skill_shift WHERE survives) AS survivor USING (layer, feature)
QUALIFY row_number() OVER (PARTITION BY layer, feature ORDER BY rank, source) <= 4
ORDER BY layer, feature, rank, source
"""

NONE = '<tr><td colspan="8">No feature of this run survived.</td></tr>'
