"""Any query or table as a file: what comes out is what is in the database."""

import csv
import json
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_query import export_query, export_table
from feature_atlas.models.session import make_reader_engine

KINDS = r"""
    SELECT 1::smallint AS small, -2147483648 AS whole, 4611686018427387904 AS large,
        0.1::real AS single, 0.1::float8 AS double, true AS flag, 'é"\n' AS words,
        timestamptz '2026-11-22 12:00:00.000001+02' AS moment,
        timestamp '2026-11-22 12:00' AS clock, date '2026-11-22' AS day,
        '{"b": 1, "a": [null]}'::jsonb AS json, '\x00ff'::bytea AS bytes,
        1.25::numeric(5, 2) AS money, avg(x) AS mean, ARRAY[1.5, NULL]::real[] AS reals,
        ARRAY['a', NULL]::text[] AS texts, ARRAY[1, 2]::smallint[] AS smalls,
        'infinity'::float8 AS endless, NULL::int AS nothing, interval '90 s' AS wait
    FROM (VALUES (1), (2)) AS two (x)
"""


@pytest.fixture(scope="module")
def reader(loaded_url: str):
    engine = make_reader_engine(loaded_url)
    yield engine
    engine.dispose()


def test_parquet_keeps_the_types(reader: Engine, tmp_path: Path):
    assert export_query(reader, KINDS, tmp_path / "kinds.parquet") == 1
    found = pq.read_table(tmp_path / "kinds.parquet")

    assert {field.name: str(field.type) for field in found.schema} == {
        "small": "int16",
        "whole": "int32",
        "large": "int64",
        "single": "float",
        "double": "double",
        "flag": "bool",
        "words": "string",
        "moment": "timestamp[us, tz=UTC]",
        "clock": "timestamp[us]",
        "day": "date32[day]",
        "json": "string",
        "bytes": "binary",
        "money": "decimal128(5, 2)",
        "mean": "double",
        "reals": "list<element: float>",
        "texts": "list<element: string>",
        "smalls": "list<element: int16>",
        "endless": "double",
        "nothing": "int32",
        "wait": "string",
    }
    row = found.to_pylist()[0]
    assert row["single"] == pa.scalar(0.1, pa.float32()).as_py()
    assert row["moment"] == datetime(2026, 11, 22, 10, 0, 0, 1, UTC)
    assert json.loads(row["json"]) == {"b": 1, "a": [None]}
    assert (row["bytes"], row["money"], row["mean"]) == (b"\x00\xff", Decimal("1.25"), 1.5)
    assert (row["reals"], row["texts"], row["smalls"]) == ([1.5, None], ["a", None], [1, 2])
    assert (row["words"], row["day"], row["nothing"]) == (r'é"\n', date(2026, 11, 22), None)


@pytest.mark.parametrize(
    "table", ["decoder_cosine", "example", "sample", "feature", "layer_summary"]
)
def test_a_table_arrives_whole(table: str, loaded_engine: Engine, reader: Engine, tmp_path: Path):
    expected = pd.read_sql(f"SELECT * FROM atlas.{table}", loaded_engine)
    n_rows = export_table(reader, f"atlas.{table}", tmp_path / "table.parquet")
    found = pq.read_table(tmp_path / "table.parquet")

    assert n_rows == len(expected) > 0
    assert found.column_names == list(expected.columns)
    columns, got = [], []
    for name in expected:
        kind = found.schema.field(name).type
        values = [None if v is None or v != v else v for v in expected[name].astype(object)]
        is_json = any(isinstance(value, dict) for value in values)
        columns.append(values if is_json else pa.array(values, kind).to_pylist())
        arrived = found[name].to_pylist()
        got.append([json.loads(value) for value in arrived] if is_json else arrived)
    assert sorted(zip(*got, strict=True), key=str) == sorted(zip(*columns, strict=True), key=str)


def test_csv_and_json_hold_the_same_rows(reader: Engine, tmp_path: Path):
    query = "SELECT layer, feature, tokens, max_activation, layer = 0 AS first FROM atlas.example"
    for suffix in ("csv", "json", "jsonl"):
        assert export_query(reader, f"{query};", tmp_path / f"rows.{suffix}") == 96

    listed = json.loads((tmp_path / "rows.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    with (tmp_path / "rows.csv").open(newline="") as opened:
        cells = list(csv.DictReader(opened))
    assert lines == listed
    for cell, row in zip(cells, listed, strict=True):
        assert json.loads(cell["tokens"]) == row["tokens"]
        assert float(cell["max_activation"]) == row["max_activation"]
        assert cell["first"] == str(row["first"]).lower()


def test_every_notation_is_that_of_the_query_command(reader: Engine, tmp_path: Path):
    query = """SELECT NULL::int AS n, '{"a": 1.0}'::jsonb AS j, interval '1 mon' AS i,
               'NaN'::float8 AS f, '=1' AS t, ''::text AS empty"""
    for suffix in ("csv", "jsonl"):
        export_query(reader, query, tmp_path / f"values.{suffix}")

    assert (tmp_path / "values.csv").read_text().splitlines()[1] == (
        ',"{""a"": 1.0}",P1M,NaN,\'=1,""'
    )
    assert (tmp_path / "values.jsonl").read_text() == (
        '{"n": null, "j": {"a": 1.0}, "i": "P1M", "f": "NaN", "t": "=1", "empty": ""}\n'
    )


def test_json_of_no_rows_is_an_empty_list(reader: Engine, tmp_path: Path):
    assert export_query(reader, "SELECT 1 AS n WHERE false", tmp_path / "none.json") == 0
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_a_single_number_is_printed_as_the_database_prints_it(reader: Engine, tmp_path: Path):
    export_query(reader, "SELECT 0.1::real AS x", tmp_path / "x.csv")

    assert (tmp_path / "x.csv").read_text().split() == ["x", "0.1"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM atlas.run RETURNING id",
        "WITH gone AS (DELETE FROM atlas.run RETURNING id) SELECT * FROM gone",
        "SELECT 1; DROP TABLE atlas.run",
        "COPY atlas.run TO PROGRAM 'true'",
        "SELECT * FROM nowhere",
        "SELECT 1/0",
    ],
)
def test_what_a_reader_may_not_do_leaves_no_file(
    query: str, reader: Engine, loaded_engine: Engine, tmp_path: Path
):
    with pytest.raises(ValueError, match="the database refused the query"):
        export_query(reader, query, tmp_path / "out.parquet")

    assert list(tmp_path.iterdir()) == []
    with loaded_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.run")) == 1


def test_an_export_that_fails_leaves_the_file_that_was_there(reader: Engine, tmp_path: Path):
    (tmp_path / "out.csv").write_text("before")

    with pytest.raises(ValueError, match="division by zero"):
        export_query(reader, "SELECT 1/(3-n) FROM generate_series(1, 5) AS n", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("query", "file", "complaint"),
    [
        ("SELECT 1 AS a, 2 AS a", "a.parquet", "more than one column called a"),
        ("SELECT 'infinity'::date AS a", "a.parquet", "column a holds .* choose it as a::text"),
        ("SELECT 1 AS a", "a.xlsx", "should end in .parquet, .csv, .json, .jsonl"),
    ],
)
def test_what_no_file_can_hold_is_said(
    query: str, file: str, complaint: str, reader: Engine, tmp_path: Path
):
    with pytest.raises(ValueError, match=complaint):
        export_query(reader, query, tmp_path / file)


@pytest.mark.parametrize("name", ["nowhere", "run; DROP TABLE atlas.run", 'run"', "pg_class"])
def test_only_tables_of_the_atlas_are_tables(name: str, reader: Engine, tmp_path: Path):
    with pytest.raises(ValueError, match="there are ablation, "):
        export_table(reader, name, tmp_path / "out.csv")


def test_memory_stays_flat(reader: Engine, tmp_path: Path):
    query = "SELECT n, repeat('x', 300) AS words FROM generate_series(1, {}) AS n"
    peaks = []
    for n_rows in (20_000, 100_000):
        tracemalloc.start()
        export_query(reader, query.format(n_rows), tmp_path / "many.parquet")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.3 * peaks[0]
    assert pq.ParquetFile(tmp_path / "many.parquet").num_row_groups > 10
