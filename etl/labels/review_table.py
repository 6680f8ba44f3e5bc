"""Reviews by spreadsheet: labels out as CSV, verdicts back in.

A row is a feature. The reviewer fills in `verdict` (accept, edit, reject), `description` where it
is edit, and `note`; rows without a verdict are passed over. What is in `label` when the file comes
back is the label that was judged. A file that comes back as it went changes nothing.
"""

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from feature_atlas.etl.labels.review import Reviewed, add_reviews, reviewed_run
from feature_atlas.models.meaning.judgement import Judgement
from feature_atlas.models.notation.csv_text import SHEET_ENCODING, read_csv, write_csv

TOLD = ("run", "layer", "feature", "label", "label_source", "f1", "informative", "asked")
"""What the reviewer is told."""
TOLD_BLIND = ("run", "layer", "feature", "label", "asked")
"""What the reviewer of a sheet is told: neither scores nor what others said."""
SAID = ("verdict", "description", "note", "reviewer")
"""What the reviewer says."""


class ReviewTable(NamedTuple):
    """What an export wrote."""

    slug: str
    """The run."""
    n_rows: int
    """Features in the file."""


def export_reviews(
    engine: Engine, named: str | None, file: Path, *, everything: bool
) -> ReviewTable:
    """Write the described features that nobody has reviewed; ``everything``: the others too."""
    return _export(engine, named, file, TOLD, ROWS, {"everything": everything})


def export_sheet(
    engine: Engine, named: str | None, file: Path, n_features: int, seed: int
) -> ReviewTable:
    """Write described features drawn by strata, one of each in turn, in an order that hides them.

    The strata are survivors of neutral prompts, other features turned by vision, other candidates,
    and the rest; where one has too few, the others give more. The same seed draws the same, also
    after reviews: the label is what the explainer said, whatever reviewers made of it.
    """
    return _export(engine, named, file, TOLD_BLIND, SHEET, {"n": n_features, "seed": str(seed)})


def _export(
    engine: Engine,
    named: str | None,
    file: Path,
    told: tuple[str, ...],
    sql: str,
    values: dict[str, Any],
) -> ReviewTable:
    with engine.connect() as connection:
        run = reviewed_run(connection, named)
        rows = connection.execute(text(sql), {"run": run.id, **values}).mappings()
        with file.open("w", encoding=SHEET_ENCODING, newline="") as stream:
            names = (*told, *SAID)
            n_rows = write_csv(stream, names, ([row[name] for name in names] for row in rows))
    return ReviewTable(run.slug, n_rows)


def import_reviews(engine: Engine, named: str | None, file: Path, reviewer: str) -> Reviewed:
    """Add the verdicts of a file, all or none; ``reviewer`` signs rows that name nobody."""
    rows = _rows(file)
    runs = {row["run"] for _, row in rows}
    if len(runs) != 1:
        raise ValueError(
            f"{file}: its rows are of {len(runs)} runs; expected one. Nothing was written."
        )
    slug = runs.pop()
    with engine.connect() as connection:
        run = reviewed_run(connection, named or slug)
    if run.slug != slug:
        raise ValueError(
            f"{file} reviews run {slug}, not {run.slug}: labels differ between runs. Nothing was "
            "written."
        )
    said = [_judgement(file, n, row, reviewer) for n, row in rows if row["verdict"]]
    return add_reviews(engine, slug, said)


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with their line numbers, without the blanks that people type; the label as it went."""
    names, rows = read_csv(file)
    missing = [name for name in ("run", "layer", "feature", "label", *SAID) if name not in names]
    if missing:
        raise ValueError(
            f"{file} has no column {', '.join(missing)}: expected a file that "
            "`feature-atlas review export` wrote. Nothing was written."
        )
    return [
        (line, {name: cell if name == "label" else cell.strip() for name, cell in row.items()})
        for line, row in rows
    ]


def _judgement(file: Path, line: int, row: dict[str, str], reviewer: str) -> Judgement:
    where = f"{file}, line {line}"
    try:
        layer, feature = int(row["layer"]), int(row["feature"])
    except ValueError:
        raise ValueError(
            f"{where}: layer {row['layer']!r} and feature {row['feature']!r}, expected whole "
            "numbers. Nothing was written."
        ) from None
    return Judgement(
        layer=layer,
        feature=feature,
        verdict=row["verdict"].lower(),
        description=row["description"] or None,
        note=row["note"] or None,
        reviewer=row["reviewer"] or reviewer,
        judged=row["label"] or None,
        source=where,
    )


ASKED = """
LEFT JOIN LATERAL (
    SELECT string_agg(question, ' | ' ORDER BY rank, source) AS questions
    FROM atlas.top_example AS top
    WHERE top.run_id = labelled.run_id AND top.layer = labelled.layer
      AND top.feature = labelled.feature AND top.rank < 3
) AS asked ON true
"""

ROWS = f"""
SELECT run.slug AS run, labelled.layer, labelled.feature, labelled.label,
       CASE WHEN newest.verdict IS NOT NULL THEN 'review'
            WHEN best.is_imported THEN 'imported' ELSE 'auto_interp' END AS label_source,
       best.f1, best.is_informative AS informative, asked.questions AS asked,
       newest.verdict, newest.description, newest.note, newest.reviewer
FROM atlas.feature_label AS labelled
JOIN atlas.run ON run.id = labelled.run_id
LEFT JOIN atlas.best_description AS best USING (run_id, layer, feature)
LEFT JOIN (
    SELECT DISTINCT ON (run_id, layer, feature) *
    FROM atlas.review ORDER BY run_id, layer, feature, created_at DESC, id DESC
) AS newest USING (run_id, layer, feature)
{ASKED}WHERE labelled.run_id = :run AND (:everything OR newest.verdict IS NULL)
ORDER BY labelled.layer, labelled.feature
"""

SHEET = f"""
WITH described AS (
    SELECT best.*, md5(:seed || '/' || layer || '/' || feature) AS lot,
           CASE WHEN recruited.survives THEN 'survivor'
                WHEN is_turned_by_vision THEN 'turned by vision'
                WHEN recruited.survives IS NOT NULL THEN 'candidate'
                ELSE 'other' END AS stratum
    FROM atlas.best_description AS best
    JOIN atlas.feature_record USING (run_id, layer, feature)
    LEFT JOIN (
        SELECT run_id, layer, feature, bool_or(survives) AS survives
        FROM atlas.candidate GROUP BY run_id, layer, feature
    ) AS recruited USING (run_id, layer, feature)
    WHERE run_id = :run
),
labelled AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY lot) AS turn FROM described
    ) AS queued
    ORDER BY turn, stratum
    LIMIT :n
)
SELECT run.slug AS run, labelled.layer, labelled.feature, labelled.description AS label,
       asked.questions AS asked,
       NULL AS verdict, NULL AS description, NULL AS note, NULL AS reviewer
FROM labelled
JOIN atlas.run ON run.id = labelled.run_id
{ASKED}
ORDER BY lot
"""
