"""The wide row of every feature, from the run's own tables: `feature_record.sql`, filled in.

Part of the loader (`etl/load.py`).
"""

from importlib.resources import files

from psycopg import sql

from feature_atlas.etl.registry import Ids
from feature_atlas.etl.staging import Load, index_staged
from feature_atlas.etl.table_rows import DENSE, table_of


def build_record(load: Load, ids: Ids) -> int:
    """Fill and index the run's feature_record; returns the number of features."""
    expected = len(load.manifest.sae_set.layers) * load.manifest.sae_set.d_sae
    query = _record_query(load, ids)
    with load.connection.transaction():
        load.run("SET LOCAL work_mem = '128MB'")  # hash tables of a million features fit
        load.run("ANALYZE {}", load.staged("candidate"))
        n_rows = load.connection.execute(query).rowcount
    if n_rows != expected:
        raise RuntimeError(f"feature_record has {n_rows} rows, expected {expected}: a bug.")
    index_staged(load, "feature_record")
    load.progress("record", n_rows, expected)
    return n_rows


def _record_query(load: Load, ids: Ids) -> sql.Composed:
    template = (files("feature_atlas.etl") / "feature_record.sql").read_text()
    statement = template.partition("\n")[2]  # the first line explains the braces
    tables = {name: load.staged(name) for name in (*DENSE, "candidate", "feature_record")}
    words = {
        word: sql.Literal(number)
        for kind in ("regime", "skill")
        for word, number in ids[kind].items()
    }
    columns = sql.SQL(", ").join(
        sql.Identifier(column.name) for column in table_of("feature_record").columns
    )
    return sql.SQL(statement).format(columns=columns, **tables, **words)
