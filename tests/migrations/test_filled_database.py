"""A database of the first whole schema, filled, survives every revision since, up and down.

The old database is made by the old revisions alone and never sees newer ones before it is filled;
its rows are those of two published runs and of a person's review.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from databases import create_database, drop_database
from psycopg import sql
from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import configured, current_revision, downgrade, migrate
from feature_atlas.models.session import make_engine

FIRST_WHOLE = "20261122_05_reader"

OLD_COLUMNS = """
SELECT relname, array_agg(attname::text ORDER BY attnum)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'atlas'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND relname <> 'alembic_version' AND attnum > 0 AND NOT attisdropped
GROUP BY relname
"""

Columns = dict[str, list[str]]


class Content(NamedTuple):
    n_rows: int
    md5: str


def columns(engine: Engine) -> Columns:
    """Columns by table."""
    with engine.connect() as connection:
        return dict(connection.execute(text(OLD_COLUMNS)).all())


def contents(engine: Engine, tables: Columns) -> dict[str, Content]:
    """What lies in these columns of these tables, whatever others there are."""
    found = {}
    with psycopg.connect(
        engine.url.set(drivername="postgresql").render_as_string(False)
    ) as session:
        for table, names in tables.items():
            query = sql.SQL("SELECT ROW({})::text FROM atlas.{}").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table)
            )
            summary = sql.SQL(
                'SELECT count(*), md5(coalesce(string_agg(line, chr(10) ORDER BY line COLLATE "C"),'
                " '')) FROM ({}) AS lines (line)"
            ).format(query)
            found[table] = Content(*session.execute(summary).fetchone())
    return found


def revisions(engine: Engine) -> list[str]:
    """After the first whole one, oldest first."""
    with configured(engine) as (_, config):
        scripts = ScriptDirectory.from_config(config).walk_revisions(FIRST_WHOLE, "head")
        return [script.revision for script in scripts][-2::-1]


def upgrade(engine: Engine, revision: str) -> None:
    with configured(engine) as (_, config):
        command.upgrade(config, revision)


@pytest.fixture(scope="module")
def source(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Two published runs and a review, in the newest schema."""
    engine = make_engine(create_database(postgres_url, "source", template_database))
    for seed in (0, 1):
        ingest(write_run_folder(tmp_path_factory.mktemp("runs"), seed=seed), engine)
    with engine.begin() as connection:
        # the old schema has one curve a regime and layer, of all roles together
        connection.execute(text("DELETE FROM atlas.training_curve WHERE role <> 'all'"))
        # the old schema takes every example for one of the strongest
        connection.execute(text("DELETE FROM atlas.example WHERE quantile IS NOT NULL"))
        # the old schema knows one way of removal, one kind of control and two sets of questions
        connection.execute(
            text(
                "DELETE FROM atlas.ablation WHERE intervention <> 'directional' OR control_no > 3"
                " OR evaluation NOT IN ('vsr_relation', 'vqa_yes_no')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
                " SELECT id, 0, 1, 'edit', 'right of', 'Ada' FROM atlas.current_run"
            )
        )
    yield engine
    engine.dispose()
    drop_database(postgres_url, "source")


@pytest.fixture
def old(empty_url: str, source: Engine) -> Iterator[Engine]:
    """The first whole schema, filled with the rows of `source`."""
    engine = make_engine(empty_url)
    upgrade(engine, FIRST_WHOLE)
    with source.connect() as reading, engine.connect() as writing:
        copy_rows(reading.connection.driver_connection, writing.connection.driver_connection)
    yield engine
    engine.dispose()


def copy_rows(source: psycopg.Connection, target: psycopg.Connection) -> None:
    """Every row of every table of `target`, with a partition for every run."""
    target.execute("SET session_replication_role = replica")  # tables in any order
    run_ids = [run_id for (run_id,) in source.execute("SELECT id FROM atlas.run").fetchall()]
    for table, names in target.execute(OLD_COLUMNS).fetchall():
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        make_partitions(target, table, run_ids)
        target.execute(sql.SQL("DELETE FROM atlas.{}").format(sql.Identifier(table)))
        reading = sql.SQL("COPY (SELECT {} FROM atlas.{}) TO STDOUT").format(
            listed, sql.Identifier(table)
        )
        writing = sql.SQL("COPY atlas.{} ({}) FROM STDIN").format(sql.Identifier(table), listed)
        with source.cursor().copy(reading) as rows, target.cursor().copy(writing) as copy:
            for data in rows:
                copy.write(data)
        if "id" in names:
            target.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence({}, 'id'), max(id)) FROM atlas.{}"
                ).format(sql.Literal(f"atlas.{table}"), sql.Identifier(table))
            )
    target.execute("RESET session_replication_role")
    target.commit()


def make_partitions(target: psycopg.Connection, table: str, run_ids: list[int]) -> None:
    query = "SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass"
    if target.execute(query, (f"atlas.{table}",)).fetchone() != (True,):
        return
    for run_id in run_ids:
        target.execute(
            sql.SQL("CREATE TABLE atlas.{} PARTITION OF atlas.{} FOR VALUES IN ({})").format(
                sql.Identifier(f"{table}_run_{run_id}"), sql.Identifier(table), run_id
            )
        )


def test_no_row_is_lost_on_the_way_up_and_down(old: Engine, source: Engine):
    tables = columns(old)
    filled = contents(old, tables)
    assert filled == contents(source, tables)
    empty = {table for table, content in filled.items() if content.n_rows == 0}
    assert empty == set()

    steps = revisions(old)
    assert len(steps) >= 4
    for revision in steps:
        upgrade(old, revision)
        assert contents(old, tables) == filled, revision
    for revision in [*steps[-2::-1], FIRST_WHOLE]:
        downgrade(old, revision)
        assert current_revision(old) == revision
        assert contents(old, tables) == filled, revision
    assert columns(old) == tables


def test_views_of_the_newest_schema_read_the_old_rows(old: Engine, source: Engine):
    before = columns(old)["feature_record"]
    migrate(old)

    added = {*columns(old)["feature_record"]} - {*before} | {"label_is_informative"}
    added |= {"control_p", "interaction", "interaction_low", "interaction_high", "detectable_delta"}
    added |= {"accuracy_mean_image", "accuracy_no_image"}
    added |= {"delta_vsr_probability_low", "delta_vsr_probability_high"}
    added |= {"drive_fix", "exact_drive", "exact_low", "exact_high", "exact_q_value"}
    added |= {"drive_relp", "drive_ig", "drive_grad_drop"}
    said_then = dict.fromkeys(added) | {"evidence": "screened"}  # no head was swapped for real
    for view in ("feature_all_runs", "ablation_summary", "top_example", "runs", "driving_head"):
        everything = text(f"SELECT * FROM atlas.{view} ORDER BY 1, 2, 3, 4, 5, 6")
        with old.connect() as upgraded, source.connect() as made_new:
            expected = [  # what was not measured then is empty
                {name: said_then.get(name, value) for name, value in row.items()}
                for row in made_new.execute(everything).mappings()
            ]
            assert upgraded.execute(everything).mappings().all() == expected, view


def test_what_a_colleague_built_survives_every_revision(old: Engine):
    """On views as an older version made them, which this one has otherwise, and on tables."""
    with old.begin() as connection:
        connection.exec_driver_sql("""
            CREATE VIEW atlas.feature AS SELECT * FROM atlas.feature_record;
            CREATE VIEW atlas.spatial AS SELECT * FROM atlas.feature WHERE survives_spatial;
            CREATE SCHEMA lab;
            CREATE VIEW lab.mine AS SELECT run_id, layer, feature, cosine FROM atlas.feature;
            CREATE MATERIALIZED VIEW lab.kept AS SELECT * FROM atlas.spatial;
            CREATE VIEW lab.direct AS SELECT reviewer, description FROM atlas.review;
        """)

    migrate(old)

    with old.connect() as connection:
        n = "SELECT count(*) FROM lab."
        assert connection.scalar(text(f"{n}mine")) == 128  # of the current run
        assert connection.scalar(text(f"{n}kept")) > 0
        assert connection.scalar(text(f"{n}direct")) == 1
        assert connection.scalar(text("SELECT count(label) FROM atlas.spatial")) > 0


def test_a_new_run_joins_the_old_ones(old: Engine, tmp_path: Path):
    before = contents(old, {"feature_record": columns(old)["feature_record"]})
    migrate(old)

    ingest(write_run_folder(tmp_path, seed=2), old)

    with old.connect() as connection:
        query = text("SELECT state, count(*) FROM atlas.run GROUP BY state")
        assert dict(connection.execute(query).all()) == {"superseded": 2, "published": 1}
        n_rows = connection.scalar(text("SELECT count(*) FROM atlas.feature_all_runs"))
    assert n_rows == before["feature_record"].n_rows + 128


def test_an_atlas_from_before_the_spread_gets_no_weak_samples(fresh_url: str, tmp_path: Path):
    engine = make_engine(fresh_url)
    ingest(write_run_folder(tmp_path), engine)
    count = text("SELECT count(*) FROM atlas.example")

    downgrade(engine, "20261122_13_geometry")
    with engine.connect() as connection:
        assert connection.scalar(count) == 72  # of 96: it would take them all for the strongest
    migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.top_example")) == 72
    engine.dispose()


def test_a_lost_row_would_be_noticed(old: Engine):
    tables = columns(old)
    filled = contents(old, tables)
    with old.begin() as connection:
        connection.execute(text("DELETE FROM atlas.example WHERE rank = 0 AND feature = 1"))
        connection.execute(text("UPDATE atlas.review SET reviewer = 'Eve'"))

    changed = contents(old, tables)
    assert {table for table in tables if changed[table] != filled[table]} == {"example", "review"}
