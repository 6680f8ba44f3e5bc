"""The wide row of every feature, from the run's own tables: `feature_record.sql`, filled in.

Part of the loader (`load.py`).
"""

from importlib.resources import files

from psycopg import sql

from feature_atlas.etl.run_folder.table_rows import DENSE, REGIMES, table_of
from feature_atlas.etl.warehouse.registry import Ids
from feature_atlas.etl.warehouse.staged_keys import index_record
from feature_atlas.etl.warehouse.staging import Load, in_atlas

WORDS = {"regime": REGIMES, "skill": ("spatial", "ocr", "vsr")}
"""What the wide row has columns for; other skills are in the narrow tables alone."""


def build_record(load: Load, ids: Ids) -> int:
    """Fill and index the run's feature_record; returns the number of features."""
    expected = len(load.manifest.sae_set.layers) * load.manifest.sae_set.d_sae
    query = _record_query(load, _staged(load), ids)
    with load.connection.transaction():
        load.run("SET LOCAL work_mem = '128MB'")  # hash tables of a million features fit
        load.run("ANALYZE {}", load.staged("candidate"))
        n_rows = load.connection.execute(query).rowcount
    if n_rows != expected:
        raise RuntimeError(f"feature_record has {n_rows} rows, expected {expected}: a bug.")
    index_record(load)
    load.progress("record", n_rows, expected)
    return n_rows


def refresh_record(load: Load, ids: Ids) -> None:
    """Rebuild the wide rows of a published run that was added to, within one transaction.

    Readers see the old rows until it commits. What was filled stays as it was: a measurement that
    is published never changes.
    """
    own = {name: _partition(load, name) for name in (*DENSE, "feature_record")}
    load.run(
        "CREATE TEMP TABLE run_candidate ON COMMIT DROP AS"
        " SELECT * FROM atlas.candidate WHERE run_id = {}",
        sql.Literal(load.run_id),
    )
    load.run("ANALYZE run_candidate")
    load.run("SET LOCAL work_mem = '128MB'")
    load.run("DELETE FROM {}", own["feature_record"])
    tables = own | {"candidate": sql.Identifier("run_candidate")}
    load.connection.execute(_record_query(load, tables, ids))


def _partition(load: Load, table: str) -> sql.Identifier:
    return in_atlas(f"{table}_run_{load.run_id}")


def _staged(load: Load) -> dict[str, sql.Identifier]:
    return {name: load.staged(name) for name in (*DENSE, "candidate", "feature_record")}


def _record_query(load: Load, tables: dict[str, sql.Identifier], ids: Ids) -> sql.Composed:
    """With the run's number in it: so every table comes in the order of its key, unsorted."""
    template = (files("feature_atlas.etl.warehouse") / "feature_record.sql").read_text(
        encoding="utf-8"
    )
    statement = template.partition("\n")[2]  # the first line explains the braces
    words = {word: sql.Literal(ids[kind][word]) for kind, words in WORDS.items() for word in words}
    columns = sql.SQL(", ").join(
        sql.Identifier(column.name) for column in table_of("feature_record").columns
    )
    run = sql.Literal(load.run_id)
    return sql.SQL(statement).format(columns=columns, run=run, **tables, **words)
