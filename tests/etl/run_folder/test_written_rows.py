"""What a stage may write is what the loader takes: one declaration, asked by both."""

import numpy as np
import pyarrow as pa
import pytest
from bare_run import write_inputs

from feature_atlas.etl.run_folder.artifacts import StageOutput, read_table, run_stage

NUMBERS = {
    "l0": [5.5, 6.0],
    "fvu": [0.1, 0.2],
    "share_dead": [0.0, 0.5],
    "mean_norm": [1.0, 2.0],
    "n_tokens": [10, 20],
    "stated_l0": [5.0, None],
    "stated_fvu": [None, None],
    "stated_share_dead": [0.5, None],
}


@pytest.fixture
def run(tmp_path):
    write_inputs(tmp_path, layers=(0, 1))
    return tmp_path


def write(run, table="gate_check", **columns):
    """The layers of a gate check with some columns of another kind, as they come back."""
    rows = {"layer": np.array([0, 1], np.int16), **NUMBERS, **columns}

    def body(output: StageOutput) -> None:
        output.table(table, rows)

    run_stage(run, "check", params={"rows": repr(rows)}, reads=[], body=body)
    return read_table(run, "check", table)


@pytest.mark.parametrize(
    ("came", "stored"),
    [
        ([50, 50], [50.0, 50.0]),
        ([50, None], [50.0, None]),
        ([50, 49.5], [50.0, 49.5]),
        (np.array([50, 49]), [50.0, 49.0]),
        ([np.int64(50), np.float32(49.5)], [50.0, 49.5]),
        ([np.float64(50), 49], [50.0, 49.0]),
        (np.array([50, None], object), [50.0, None]),
        (pa.array([50, None], pa.int32()), [50.0, None]),
        ([None, None], [None, None]),
    ],
)
def test_numbers_in_a_column_of_real_ones_are_real(came, stored, run):
    assert write(run, stated_l0=came)["stated_l0"].to_pylist() == stored


@pytest.mark.parametrize(
    "came",
    [
        [10.0, 20.0],
        np.array([10.0, 20.0]),
        [np.float32(10), 20],
        np.array([10, 20], object),
        np.array([10, 20], np.uint8),
    ],
)
def test_whole_numbers_in_a_column_of_whole_ones_are_whole(came, run):
    found = write(run, n_tokens=came)["n_tokens"]

    assert pa.types.is_integer(found.type)
    assert found.to_pylist() == [10, 20]


@pytest.mark.parametrize("nothing", [[], np.array([]), np.array([], object), np.array([], np.int8)])
def test_a_table_without_rows_has_columns_of_any_kind(nothing, run):
    rows = dict.fromkeys(("layer", *NUMBERS), nothing)

    assert write(run, **rows).num_rows == 0


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"n_tokens": [10.5, 20.0]}, "column n_tokens should hold whole numbers"),
        ({"n_tokens": ["10", "20"]}, "column n_tokens is string, expected whole numbers"),
        ({"fvu": [0.1, "much"]}, "column fvu should hold numbers"),
        ({"fvu": [True, False]}, "column fvu is bool, expected numbers"),
        ({"fvu": [0.1, float("nan")]}, "row 1: fvu is nan, expected a finite number from 0"),
        ({"fvu": [0.1, float("inf")]}, "row 1: fvu is inf"),
        ({"fvu": [0.1, None]}, "row 1: fvu is missing, and table gate_check needs it"),
        ({"share_dead": [0.1, 1.5]}, "row 1: share_dead is 1.5, expected 0 to 1"),
        ({"n_tokens": [10, -1]}, "row 1: n_tokens is -1"),
        ({"layer": [0, 7]}, r"row 1: layer 7 has no SAE; the run has layers \[0, 1\]"),
        ({"mood": ["good", "bad"]}, "columns mood that table gate_check does not know"),
        ({"table": "gate_chek"}, "there is no table 'gate_chek'"),
    ],
)
def test_what_the_loader_would_refuse_stops_its_stage(columns, said, run):
    with pytest.raises(ValueError, match=said):
        write(run, **columns)

    assert not (run / "check" / "stage.json").exists()


def test_a_column_that_is_not_there_is_named(run):
    with pytest.raises(ValueError, match=r"gate_check\.0\.parquet has no column fvu"):
        run_stage(
            run,
            "check",
            params={},
            reads=[],
            body=lambda output: output.table("gate_check", {"layer": [0], "l0": [1.0]}),
        )
