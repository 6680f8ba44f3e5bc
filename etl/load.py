"""Load a run folder into the atlas and publish it: readers see all of it or nothing.

    verify    the manifest, every file, every value; a bad one names itself
    copy      into tables of the run's own, in the schema atlas_staging
    index     keys, references and the CHECK that makes attaching them instant
    record    the wide row of every feature, built from those tables
    publish   one short transaction: dense tables become partitions, sparse rows move over,
              the run is published, the one before it superseded

A killed load leaves only staging tables, which the next load of the same run drops. The only
file that writes to the database.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, LiteralString, NamedTuple, cast

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Integer,
    SmallInteger,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from feature_atlas.etl.binary_copy import HEADER, TRAILER, BinaryRows
from feature_atlas.etl.manifest import (
    FileEntry,
    Manifest,
    open_table_file,
    read_manifest,
    verify_files,
)
from feature_atlas.etl.table_rows import (
    BATCH,
    DENSE,
    LOCAL,
    SPARSE,
    WHAT,
    Batch,
    expected_columns,
    read_batches,
    table_of,
    verify_tables,
)
from feature_atlas.models.base import SCHEMA

log = logging.getLogger(__name__)

STAGING = "atlas_staging"
PUBLISH_LOCK = 0x7075626C6973  # "publis": one publication at a time in a database

Progress = Callable[[str, int, int], None]
"""Called with the step and with how many of how many rows are done."""

Connection = psycopg.Connection[tuple[Any, ...]]


class IngestReport(NamedTuple):
    """What a load did."""

    status: str
    """'published', or 'already published' when there was nothing to do."""
    slug: str
    """Name of the run."""
    run_id: int
    """The run in the database."""
    rows: dict[str, int]
    """Rows loaded by table; empty when there was nothing to do."""
    seconds: dict[str, float]
    """Time by step: verify, copy, index, record, publish."""


def ingest(folder: Path, engine: Engine, progress: Progress | None = None) -> IngestReport:
    """Load and publish a finished run folder. Doing it again changes nothing."""
    manifest = read_manifest(folder)
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        with _only_loader(connection, manifest):
            return _ingest(folder, manifest, connection, progress or _silent)


def _ingest(
    folder: Path, manifest: Manifest, connection: Connection, progress: Progress
) -> IngestReport:
    found = _find_run(connection, manifest)
    if found is not None and found[1] in ("published", "superseded"):
        return IngestReport("already published", manifest.slug, found[0], {}, {})
    seconds: dict[str, float] = {}
    with _timed(seconds, "verify"):
        _verify(folder, manifest, progress)
    load = _Load(folder, manifest, connection, progress, _open_run(connection, manifest))
    try:
        with _timed(seconds, "copy"):
            rows = load.copy()
        with _timed(seconds, "index"):
            load.index()
        with _timed(seconds, "record"):
            rows["feature_record"] = load.build_record()
        with _timed(seconds, "publish"):
            load.publish()
    except BaseException:
        _give_up(connection, load.run_id)
        raise
    log.info("published %s: %s rows", manifest.slug, sum(rows.values()))
    return IngestReport("published", manifest.slug, load.run_id, rows, seconds)


def _silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""


def _verify(folder: Path, manifest: Manifest, progress: Progress) -> None:
    verify_files(folder, manifest)
    total, done = _n_rows(manifest), 0
    for n_rows in verify_tables(folder, manifest):
        done += n_rows
        progress("verify", done, total)


def _n_rows(manifest: Manifest) -> int:
    return sum(file.rows for file in manifest.files)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin


# ---------------------------------------------------------------------- the run's own rows


@contextmanager
def _only_loader(connection: Connection, manifest: Manifest) -> Iterator[None]:
    """Hold the run's lock; it goes when this process ends, however it ends."""
    key = int(manifest.config_hash[:15], 16)
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    connection.commit()
    if row != (True,):
        raise RuntimeError(
            f"another process is loading {manifest.slug} at this moment. Wait until it ended; "
            "then this command finds the run published, or loads it."
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))
            connection.commit()


def _find_run(connection: Connection, manifest: Manifest) -> tuple[int, str] | None:
    query = "SELECT id, state FROM atlas.run WHERE config_hash = %s"
    found = connection.execute(query, (manifest.config_hash,)).fetchone()
    connection.commit()
    return cast(tuple[int, str] | None, found)


def _open_run(connection: Connection, manifest: Manifest) -> int:
    """The run as 'building', with what it refers to; leftovers of a killed load are dropped."""
    with connection.transaction():
        values = {
            "slug": manifest.slug,
            "config": Jsonb(manifest.config),
            "config_hash": manifest.config_hash,
            "vlm_id": _identify(connection, "vlm", manifest.vlm.model_dump()),
            "sae_set_id": _identify(connection, "sae_set", manifest.sae_set.model_dump()),
            "code_version": manifest.code_version,
            "dirty": manifest.dirty,
            "state": "building",
            "n_layers": len(manifest.sae_set.layers),
            "d_sae": manifest.sae_set.d_sae,
            "checksum": manifest.checksum(),
        }
        found = _find_run_id(connection, manifest)
        if found is None:
            return _insert(connection, "run", values)
        _drop_staging(connection, found)
        connection.execute("DELETE FROM atlas.measurement WHERE run_id = %s", (found,))
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in values
        )
        query = sql.SQL("UPDATE atlas.run SET {}, created_at = now() WHERE id = {}")
        connection.execute(query.format(assignments, sql.Literal(found)), values)
        return found


def _find_run_id(connection: Connection, manifest: Manifest) -> int | None:
    query = "SELECT id FROM atlas.run WHERE config_hash = %s FOR UPDATE"
    found = connection.execute(query, (manifest.config_hash,)).fetchone()
    return None if found is None else int(found[0])


def _identify(connection: Connection, table: str, values: dict[str, Any]) -> int:
    """Id of the row with these values, inserted if it is new."""
    unique = [c.name for c in _unique_columns(table_of(table))]
    condition = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT DISTINCT FROM {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in unique
    )
    query = sql.SQL("SELECT id FROM {} WHERE {}").format(_in_atlas(table), condition)
    found = connection.execute(query, values).fetchone()
    return _insert(connection, table, values) if found is None else int(found[0])


def _unique_columns(table: Table) -> list[Column[Any]]:
    return next(list(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint))


def _insert(connection: Connection, table: str, values: dict[str, Any]) -> int:
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        _in_atlas(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def _drop_staging(connection: Connection, run_id: int) -> None:
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"
    )
    for (name,) in connection.execute(query, (STAGING,)).fetchall():
        if name.endswith(f"_run_{run_id}"):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(STAGING, name)))


def _give_up(connection: Connection, run_id: int) -> None:
    """Leave no trace but the run marked as failed; the first error is the one to report."""
    try:
        connection.rollback()
        with connection.transaction():
            _drop_staging(connection, run_id)
            connection.execute("UPDATE atlas.run SET state = 'failed' WHERE id = %s", (run_id,))
    except psycopg.Error:
        log.warning("could not clean up after run %s; the next load does", run_id)


def _in_atlas(table: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table)


class _Load:
    """One run on its way into the database."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        connection: Connection,
        progress: Progress,
        run_id: int,
    ) -> None:
        self.folder, self.manifest = folder, manifest
        self.connection, self.progress, self.run_id = connection, progress, run_id

    def staged(self, table: str) -> sql.Identifier:
        """The run's own table beside a table of the atlas."""
        return sql.Identifier(STAGING, f"{table}_run_{self.run_id}")

    # ------------------------------------------------------------------ copy

    def copy(self) -> dict[str, int]:
        """Every row of the folder into the run's own tables."""
        with self.connection.transaction():
            self.ids = self._registry_ids()
            for table in (*WHAT, *SPARSE, *DENSE, "feature_record"):
                self._create_staged(table)
        # the empty tables are committed first: what a crash of the server leaves can be dropped
        rows, total, done = {}, _n_rows(self.manifest), 0
        for table in (*WHAT, *SPARSE, *DENSE):
            rows[table] = 0
            copy = self._copy_dense if table in DENSE else self._copy_sparse
            for file in self.manifest.tables.get(table, []):
                with self.connection.transaction():
                    for n_rows in copy(table, file):
                        rows[table] += n_rows
                        done += n_rows
                        self.progress("copy", done, total)
        return rows

    def _registry_ids(self) -> dict[str, dict[Any, int]]:
        """Database ids by what the files say: words, local numbers, stages."""
        connection, manifest = self.connection, self.manifest
        definitions = manifest.config.get("skills")
        for name in self._skills():
            known = definitions.get(name) if isinstance(definitions, dict) else None
            connection.execute(
                "INSERT INTO atlas.skill (name, definition) VALUES (%s, %s)"
                " ON CONFLICT (name) DO NOTHING",
                (name, Jsonb(known or {})),
            )
        return {
            "regime": dict(connection.execute("SELECT name, id FROM atlas.regime").fetchall()),
            "skill": dict(connection.execute("SELECT name, id FROM atlas.skill").fetchall()),
            "dataset": {
                entry.key: _identify(connection, "dataset", entry.model_dump(exclude={"key"}))
                for entry in manifest.datasets
            },
            "stage": {
                entry.stage: _insert(
                    connection,
                    "measurement",
                    {
                        **entry.model_dump(),
                        "run_id": self.run_id,
                        "params": Jsonb(entry.params),
                        "libraries": Jsonb(entry.libraries),
                        "code_version": manifest.code_version,
                        "rows": sum(f.rows for f in manifest.files if f.stage == entry.stage),
                        "checksum": manifest.checksum(entry.stage),
                    },
                )
                for entry in manifest.measurements
            },
        }

    def _skills(self) -> list[str]:
        """Skills that the rows name, in a stable order."""
        found: set[str] = set()
        for table, entries in self.manifest.tables.items():
            if "skill" in expected_columns(table_of(table)):
                for file in entries:
                    words = open_table_file(self.folder, file).read(columns=["skill"])
                    found |= set(words["skill"].unique().to_pylist())
        return sorted(found)

    def _create_staged(self, table: str) -> None:
        staged = self.staged(table)
        self._run(
            "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)",
            staged,
            _in_atlas(table),
        )
        if table not in WHAT and "id" in table_of(table).columns:
            self._run("ALTER TABLE {} DROP COLUMN id", staged)

    def _copy_dense(self, table: str, file: FileEntry) -> Iterator[int]:
        columns = list(table_of(table).columns)
        rows = BinaryRows([_dtype(column) for column in columns], BATCH)
        with self.connection.cursor() as cursor:
            with cursor.copy(self._copy_statement(table, columns, "(FORMAT binary)")) as copy:
                copy.write(HEADER)
                for batch in read_batches(self.folder, file):
                    copy.write(rows.encode([self._array(c, batch, file) for c in columns]))
                    yield batch.rows.num_rows
                copy.write(TRAILER)
            self._expect(cursor.rowcount, file)

    def _array(self, column: Column[Any], batch: Batch, file: FileEntry) -> np.ndarray | int:
        """A column's values as the database wants them."""
        if column.name == "run_id":
            return self.run_id
        if column.name == "measurement_id":
            return self.ids["stage"][file.stage]
        field = LOCAL.get(column.name, column.name)
        values = batch.column(field)
        if field in ("regime", "skill"):
            words = values.dictionary_encode()
            ids = np.array([self.ids[field][word] for word in words.dictionary.to_pylist()])
            return cast(np.ndarray, ids[words.indices.to_numpy()])
        return cast(np.ndarray, values.to_numpy(zero_copy_only=False))

    def _copy_sparse(self, table: str, file: FileEntry) -> Iterator[int]:
        fields = expected_columns(table_of(table))
        columns = list(fields.values())
        own = [] if table in WHAT else [self.run_id, self.ids["stage"][file.stage]]
        if own:
            columns = [table_of(table).columns[n] for n in ("run_id", "measurement_id")] + columns
        with self.connection.cursor() as cursor:
            with cursor.copy(self._copy_statement(table, columns, "")) as copy:
                for batch in read_batches(self.folder, file):
                    values = [
                        self._values(field, column, batch) for field, column in fields.items()
                    ]
                    for row in zip(*values, strict=True):
                        copy.write_row([*own, *row])
                    yield batch.rows.num_rows
            self._expect(cursor.rowcount, file)

    def _values(self, field: str, column: Column[Any], batch: Batch) -> Sequence[Any]:
        values: list[Any] = batch.column(field).to_pylist()
        if field in ("regime", "skill", "dataset"):
            return [self.ids[field][value] for value in values]
        if isinstance(column.type, JSONB):
            return [None if value is None else Jsonb(json.loads(value)) for value in values]
        return values

    def _copy_statement(
        self, table: str, columns: Sequence[Column[Any]], options: LiteralString
    ) -> sql.Composed:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        return sql.SQL("COPY {} ({}) FROM STDIN {}").format(
            self.staged(table), names, sql.SQL(options)
        )

    def _expect(self, n_rows: int, file: FileEntry) -> None:
        if n_rows != file.rows:
            raise RuntimeError(
                f"{self.folder / file.path}: the database took {n_rows} of {file.rows} rows. "
                "Nothing is published; run the same command again."
            )

    # ------------------------------------------------------------------ index

    def index(self) -> None:
        """Keys, references, statistics, and the CHECK that spares a scan when attaching."""
        for number, table in enumerate(DENSE):
            self._index(table)
            self.progress("index", number + 1, len(DENSE))

    def _index(self, name: str) -> None:
        table, staged = table_of(name), self.staged(name)
        with self.connection.transaction():
            self._run("ALTER TABLE {} ADD PRIMARY KEY ({})", staged, _names(table.primary_key))
            for index in table.indexes:
                where = index.dialect_options["postgresql"]["where"]
                condition = sql.SQL("WHERE " + str(where) if where is not None else "")
                self._run("CREATE INDEX ON {} ({}) {}", staged, _names(index), condition)
            for key in sorted(table.foreign_key_constraints, key=lambda key: str(key.name)):
                target = key.referred_table.name
                self._run(
                    "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} (id)",
                    staged,
                    sql.Identifier(str(key.name)),
                    _names(key),
                    _in_atlas(target),
                )
            self._run(
                "ALTER TABLE {} ADD CONSTRAINT of_this_run CHECK (run_id = {})",
                staged,
                sql.Literal(self.run_id),
            )
        with self.connection.transaction():
            self._run("ANALYZE {}", staged)

    # ------------------------------------------------------------------ record

    def build_record(self) -> int:
        """The wide row of every feature."""
        template = (files("feature_atlas.etl") / "feature_record.sql").read_text()
        tables = {name: self.staged(name) for name in (*DENSE, "candidate", "feature_record")}
        words = {
            word: sql.Literal(number)
            for kind in ("regime", "skill")
            for word, number in self.ids[kind].items()
        }
        statement = template.partition("\n")[2]  # the first line explains the braces
        expected = len(self.manifest.sae_set.layers) * self.manifest.sae_set.d_sae
        with self.connection.transaction():
            self._run("SET LOCAL work_mem = '128MB'")  # hash tables of a million features fit
            self._run("ANALYZE {}", self.staged("candidate"))
            columns = sql.SQL(", ").join(
                sql.Identifier(column.name) for column in table_of("feature_record").columns
            )
            query = sql.SQL(statement).format(columns=columns, **tables, **words)
            n_rows = self.connection.execute(query).rowcount
        if n_rows != expected:
            raise RuntimeError(f"feature_record has {n_rows} rows, expected {expected}: a bug.")
        self._index("feature_record")
        self.progress("record", n_rows, expected)
        return n_rows

    # ------------------------------------------------------------------ publish

    def publish(self) -> None:
        """All or nothing, and short: no row of a dense table is touched."""
        with self.connection.transaction():
            self._run("SET LOCAL lock_timeout = '60s'")
            self._run("SELECT pg_advisory_xact_lock({})", sql.Literal(PUBLISH_LOCK))
            for table in (*DENSE, "feature_record"):
                self._attach(table)
            self._move_samples()
            for table in SPARSE:
                self._move(table)
            for table in (*WHAT, *SPARSE):
                self._run("DROP TABLE {}", self.staged(table))
            self._flip()
        self.progress("publish", 1, 1)
        with self.connection.transaction():
            for table in (*WHAT, *SPARSE):
                self._run("ANALYZE {}", _in_atlas(table))

    def _attach(self, table: str) -> None:
        self._run("ALTER TABLE {} SET SCHEMA {}", self.staged(table), sql.Identifier(SCHEMA))
        own = _in_atlas(f"{table}_run_{self.run_id}")
        self._run(
            "ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})",
            _in_atlas(table),
            own,
            sql.Literal(self.run_id),
        )
        self._run("ALTER TABLE {} DROP CONSTRAINT of_this_run", own)

    def _move_samples(self) -> None:
        """Images and samples that are new; then the database's id of every local number."""
        image, sample = self.staged("image"), self.staged("sample")
        columns = [c for c in table_of("image").columns if c.name != "id"]
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        self._run(
            "INSERT INTO atlas.image ({}) SELECT {} FROM {} ORDER BY sha256"
            " ON CONFLICT (sha256) DO NOTHING",
            names,
            names,
            image,
        )
        columns = [c for c in table_of("sample").columns if c.name not in ("id", "image_id")]
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        self._run(
            "INSERT INTO atlas.sample (image_id, {}) SELECT found.id, {} FROM {} AS staged"
            " JOIN (SELECT id AS image_id, sha256 FROM {}) AS local USING (image_id)"
            " JOIN atlas.image AS found USING (sha256) ORDER BY dataset_id, external_id"
            " ON CONFLICT (dataset_id, external_id) DO NOTHING",
            names,
            sql.SQL(", ").join(sql.Identifier("staged", column.name) for column in columns),
            sample,
            image,
        )
        self._run(
            "CREATE TEMP TABLE sample_number ON COMMIT DROP AS SELECT staged.id AS number, found.id"
            " FROM {} AS staged JOIN atlas.sample AS found USING (dataset_id, external_id)",
            sample,
        )
        self._run("ANALYZE sample_number")

    def _move(self, table: str) -> None:
        names = [c.name for c in table_of(table).columns if c.name != "id"]
        refers = "sample_id" in names
        values = [
            sql.Identifier("sample_number", "id")
            if name == "sample_id"
            else sql.Identifier("staged", name)
            for name in names
        ]
        join = "JOIN sample_number ON sample_number.number = staged.sample_id" if refers else ""
        self._run(
            "INSERT INTO {} ({}) SELECT {} FROM {} AS staged {}",
            _in_atlas(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(values),
            self.staged(table),
            sql.SQL(join),
        )

    def _flip(self) -> None:
        """This run is what readers see; the one before it of the same name steps back."""
        previous = self.connection.execute(
            "UPDATE atlas.run AS old SET state = 'superseded' FROM atlas.run AS new"
            " WHERE new.id = %s AND old.id <> new.id AND old.state = 'published'"
            " AND old.vlm_id = new.vlm_id AND old.sae_set_id = new.sae_set_id"
            " AND coalesce(old.config ->> 'name', old.slug) = %s RETURNING old.id",
            (self.run_id, self.manifest.name),
        ).fetchall()
        self.connection.execute(
            "UPDATE atlas.run SET state = 'published', published_at = clock_timestamp(),"
            " parent_id = %s WHERE id = %s",
            (max((number for (number,) in previous), default=None), self.run_id),
        )

    def _run(self, statement: LiteralString, *parts: sql.Composable) -> None:
        self.connection.execute(sql.SQL(statement).format(*parts))


def _names(of: Any) -> sql.Composed:
    """The columns of a key or index."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in of.columns)


def _dtype(column: Column[Any]) -> np.dtype:
    """How numpy stores what a column stores."""
    kind = column.type
    if isinstance(kind, Boolean):
        return np.dtype(np.bool_)
    if isinstance(kind, SmallInteger):
        return np.dtype(np.int16)
    if isinstance(kind, BigInteger):
        return np.dtype(np.int64)
    if isinstance(kind, Integer):
        return np.dtype(np.int32)
    return np.dtype(np.float32 if isinstance(kind, REAL) else np.float64)
