"""A comparison of two runs for people: on the terminal, as CSV or JSON, as Markdown."""

from typing import Any, TextIO

from sqlalchemy import Connection

from feature_atlas.etl.config.run_config import DriftConfig
from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.etl.reingest.drift import Drift, compare, headline, layer_rows
from feature_atlas.etl.terminal import console_on
from feature_atlas.etl.warehouse.markdown_table import markdown_table
from feature_atlas.etl.warehouse.runs import resolve_run
from feature_atlas.models.notation.csv_text import write_csv
from feature_atlas.models.notation.json_text import json_text


def drift_between(
    connection: Connection, before: str, after: str, config: DriftConfig, limit: int
) -> Drift:
    """Compare two runs by slug or number; both must have been published."""
    found = [resolve_run(connection, named) for named in (before, after)]
    for run in found:
        if run.state not in ("published", "superseded"):
            raise ValueError(
                f"run {run.slug} is {run.state}: only published runs have numbers to compare. "
                "Finish it with `feature-atlas build` or `feature-atlas ingest`."
            )
    return compare(connection, found[0].id, found[1].id, config, limit)


def print_drift(drift: Drift, output: str, stream: TextIO) -> None:
    """As tables; as CSV, the features; as JSON, everything."""
    if output == "csv":
        names = list(drift.top[0]) if drift.top else ["layer", "feature"]
        write_csv(stream, names, [list(row.values()) for row in drift.top])
    elif output == "json":
        facts = {name: getattr(drift, name) for name in ("before", "after", "same_saes")}
        totals = {"n_features": drift.n_features, "n_changed": drift.n_changed}
        counts = [
            {"layer": layer, "kind": kind, "n_features": n}
            for (layer, kind), n in sorted(drift.counts.items())
        ]
        lists = {"counts": counts, "features": drift.top}
        stream.write(f"{json_text(facts | totals | lists)}\n")
    else:
        console = console_on(stream)
        console.print(headline(drift), highlight=False, markup=False)
        if drift.n_changed:
            print_rows(console, "Changed features per layer", layer_rows(drift))
            print_rows(console, "Features that changed in most ways", _short(drift))


def as_markdown(drift: Drift) -> str:
    """The comparison as a page: the sentence, the layers, the first features."""
    if not drift.n_changed:
        return headline(drift)
    parts = [headline(drift), _markdown(layer_rows(drift)), _markdown(_short(drift))]
    return "\n\n".join(parts)


def _short(drift: Drift) -> list[dict[str, Any]]:
    """A line per feature: what changed, and the pairs of numbers."""
    return [
        {
            "layer": row["layer"],
            "feature": row["feature"],
            "changes": row["changes"],
            **{
                title: _pair(row[f"{name}_before"], row[f"{name}_after"])
                for title, name in (
                    ("cosine", "cosine"),
                    ("energy", "visual_energy"),
                    ("spatial OR", "spatial_odds_ratio"),
                    ("ablation", "ablation_delta"),
                    ("label", "label"),
                )
            },
        }
        for row in drift.top
    ]


def _pair(before: float | str | None, after: float | str | None) -> str:
    if before is None and after is None:
        return ""
    return f"{_said(before)} -> {_said(after)}"


def _said(value: float | str | None) -> str:
    if value is None:
        return "none"
    return value[:40] if isinstance(value, str) else f"{value:.3g}"


def _markdown(rows: list[dict[str, Any]]) -> str:
    return markdown_table([*map(_cell, rows[0])], (map(_cell, row.values()) for row in rows))


def _cell(value: object) -> str:
    """Descriptions come from outside: a bar or a line break would leave the cell."""
    return " ".join(str(value).replace("|", "\\|").split())
