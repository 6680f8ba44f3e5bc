"""An edition holds what Postgres holds of its run, table by table and function by function."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from databases import create_database
from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.edition.database_file import is_table
from feature_atlas.etl.bridges.edition.edition import Edition, export_edition
from feature_atlas.etl.bridges.edition.relations import Relation, relations, rows_of_run
from feature_atlas.etl.bridges.export_rows import open_rows, snapshot
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine, make_reader_engine


@pytest.fixture(scope="module")
def reader(postgres_url: str, template_database: str, tmp_path_factory) -> Iterator[Engine]:
    """A reader of an atlas with two runs of one lineage: 1 is superseded, 2 is published."""
    url = create_database(postgres_url, "edition", template_database)
    owner, place = make_engine(url), tmp_path_factory.mktemp("edition-runs")
    for seed in (0, 1):
        ingest(write_run_folder(place, seed=seed, name="edition"), owner)
    owner.dispose()
    engine = make_reader_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def edition(reader: Engine, tmp_path_factory: pytest.TempPathFactory) -> Edition:
    return export_edition(reader, "2", tmp_path_factory.mktemp("edition") / "edition")


@pytest.fixture(scope="module")
def opened(edition: Edition) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(_file(edition), read_only=True) as database:
        yield database


def test_every_table_and_view_has_the_rows_of_its_run(reader: Engine, edition: Edition, opened):
    with snapshot(reader) as connection:
        found = relations(connection)
        (datasets,) = connection.execute("SELECT array_agg(id) FROM atlas.dataset").fetchone() or ()
        for relation in found:
            values = {"run": 2, "datasets": datasets}
            with open_rows(connection, rows_of_run(relation), values) as rows:
                expected = pa.Table.from_batches(rows.record_batches(), rows.schema)
            _same_rows(opened, relation, expected)
            if is_table(relation):
                assert edition.rows[relation.name] == expected.num_rows, relation.name
    assert len(found) > 60
    assert sum(map(bool, edition.rows.values())) > 50


def test_everything_is_described_as_in_postgres(reader: Engine, opened):
    said = dict(
        opened.execute(
            "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'atlas' UNION ALL "
            "SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'atlas'"
        ).fetchall()
    )
    columns = {
        (table, name): comment
        for table, name, comment in opened.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() "
            "WHERE schema_name = 'atlas'"
        ).fetchall()
    }
    with snapshot(reader) as connection:
        for relation in relations(connection):
            assert said[relation.name] == relation.comment
            for column in relation.columns:
                assert columns[relation.name, column.name] == column.comment


def test_a_parquet_file_lies_beside_every_table(edition: Edition):
    written = {file.stem: file for file in (edition.folder / "parquet").glob("*.parquet")}

    assert written.keys() == edition.rows.keys()
    for name, file in written.items():
        facts = pq.ParquetFile(file).metadata
        assert facts.num_rows == edition.rows[name]
        if facts.num_rows:
            assert facts.row_group(0).column(0).compression == "ZSTD"
    params = pq.read_table(written["measurement"], columns=["params"]).column("params")
    assert params[0].as_py().startswith("{")


@pytest.mark.parametrize(
    ("epsilon", "quantile"), [(0, 0), (0, 1), (0.5, 0.25), (0.01, 0.5), (1, 0.0703125)]
)
def test_adapted_set_is_that_of_postgres(reader: Engine, opened, epsilon: float, quantile: float):
    query = f"SELECT layer, feature FROM atlas.adapted_set({epsilon}, {quantile}) ORDER BY 1, 2"

    assert opened.execute(query).fetchall() == _ask(reader, query)


def test_adapted_set_refuses_a_percentage(opened):
    with pytest.raises(duckdb.Error, match=r"share, 0 to 1 \(25 % is 0.25\)"):
        opened.execute("FROM atlas.adapted_set(0, 25)").fetchall()


def test_selection_sweep_is_that_of_postgres(reader: Engine, opened):
    arrays = "SELECT * FROM atlas.selection_sweep({}[0, 0.5, 2], {}[0.1, 0.25, 1])"

    found = opened.execute(arrays.format("", "")).fetchall()

    expected = _ask(reader, arrays.format("ARRAY", "ARRAY"))
    assert [row[:3] for row in found] == [tuple(row[:3]) for row in expected]
    for row, right in zip(found, expected, strict=True):
        assert row[3:] == pytest.approx(tuple(right[3:]), abs=1e-12)


def test_search_finds_whole_words_of_descriptions_and_questions(opened):
    (question,) = opened.execute(
        "SELECT question FROM atlas.top_example ORDER BY layer, feature, rank LIMIT 1"
    ).fetchone()
    first, *_, last = question.lower().rstrip("?.").split()

    found = opened.execute("FROM atlas.search(?, max_rows := 1000)", [f"{last} {first}"]).fetchall()

    asking = opened.execute(
        "SELECT DISTINCT layer, feature FROM atlas.top_example "
        "WHERE regexp_matches(lower(question), ?) AND regexp_matches(lower(question), ?)",
        [rf"\b{first}\b", rf"\b{last}\b"],
    ).fetchall()
    assert {row[1:3] for row in found if "question" in row[6]} == set(asking)
    assert opened.execute("FROM atlas.search(?)", [f"x{first}"]).fetchall() == []
    assert opened.execute("FROM atlas.search('?!')").fetchall() == []


def test_an_edition_of_a_superseded_run_shows_that_run(reader: Engine, tmp_path: Path):
    done = export_edition(reader, "1", tmp_path / "old")

    with duckdb.connect(_file(done), read_only=True) as database:
        ((run_id, slug),) = database.execute("SELECT id, slug FROM atlas.current_run").fetchall()
        assert (run_id, f"{slug}.duckdb") == (1, Path(_file(done)).name)
        query = "SELECT layer, feature, cosine::float8 FROM atlas.{} WHERE run_id = 1 ORDER BY 1, 2"
        assert database.execute(query.format("feature")).fetchall() == _ask(
            reader, query.format("feature_all_runs")
        )
        found = database.execute("SELECT atlas.run_id(?), atlas.run_id('x')", [slug]).fetchall()
        assert found == [(1, None)]


def test_nothing_is_left_of_an_edition_that_fails(reader: Engine, tmp_path: Path):
    def fail(step: str, done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_edition(reader, "2", tmp_path / "edition", progress=fail)

    assert list(tmp_path.iterdir()) == []


def _file(edition: Edition) -> str:
    (file,) = edition.folder.glob("*.duckdb")
    return str(file)


def _ask(engine: Engine, query: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def _same_rows(database: duckdb.DuckDBPyConnection, relation: Relation, expected: pa.Table) -> None:
    names = [name for name, *_ in database.execute(f"DESCRIBE atlas.{relation.name}").fetchall()]
    assert names == expected.schema.names, relation.name
    database.register("expected", expected)
    for one, other in (
        ("atlas." + relation.name, "expected"),
        ("expected", "atlas." + relation.name),
    ):
        query = f"SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}"
        assert database.execute(query).fetchall() == [], relation.name
    database.unregister("expected")
