from datetime import datetime

import numpy as np
import pytest
from bare_run import write_inputs, write_part

from feature_atlas.etl.run_folder import stopwatch
from feature_atlas.etl.run_folder.artifacts import (
    read_arrays,
    read_rows,
    read_stage,
    read_table,
    run_stage,
)


@pytest.fixture
def run(tmp_path):
    write_inputs(tmp_path)
    return tmp_path


def count_calls(run, name="first", params=None, reads=(), values=(1.0, 2.0)):
    calls = []

    def body(output):
        calls.append(name)
        write_part(output, "t", {"layer": np.zeros(2, np.int16), "x": np.array(values)})
        output.arrays("kept", x=np.array(values))

    stage = run_stage(run, name, params=params or {}, reads=list(reads), body=body)
    return stage, len(calls)


def test_a_finished_stage_is_not_run_again(run):
    first, n_first = count_calls(run)
    second, n_second = count_calls(run)

    assert (n_first, n_second) == (1, 0)
    assert second.was_done
    assert second.key == first.key


def test_a_clock_that_is_set_back_gives_no_end_before_the_beginning(run, monkeypatch):
    class SetBack(datetime):
        hour = 12

        @classmethod
        def now(cls, tz=None):
            cls.hour -= 1
            return datetime(2026, 10, 25, cls.hour, tzinfo=tz)

    monkeypatch.setattr(stopwatch, "datetime", SetBack)

    stage, _ = count_calls(run)

    record = read_stage(run, "first")
    began, ended = (
        datetime.fromisoformat(record[f"{what}_at"]) for what in ("started", "finished")
    )
    assert 0 <= stage.seconds < 60
    assert (ended - began).total_seconds() == pytest.approx(stage.seconds, abs=0.1)


def test_other_parameters_run_it_again(run):
    count_calls(run, params={"n": 1})

    assert count_calls(run, params={"n": 2})[1] == 1


def test_a_changed_upstream_stage_runs_what_reads_it_again(run):
    count_calls(run, "first", params={"n": 1})
    count_calls(run, "second", reads=["first"])
    count_calls(run, "first", params={"n": 2})

    assert count_calls(run, "second", reads=["first"])[1] == 1


def test_a_truncated_file_runs_the_stage_again(run):
    count_calls(run)
    file = run / "first" / "t.0.parquet"
    file.write_bytes(file.read_bytes()[:-10])

    assert count_calls(run)[1] == 1


def test_a_stage_that_fails_leaves_no_record_and_runs_again(run):
    def fail(output):
        raise ValueError("undefined")

    with pytest.raises(ValueError, match="undefined"):
        run_stage(run, "first", params={}, reads=[], body=fail)

    assert count_calls(run)[1] == 1


def test_reading_an_unfinished_stage_says_what_to_do(run):
    with pytest.raises(RuntimeError, match="has not finished: run the flow again"):
        count_calls(run, "second", reads=["first"])


def test_tables_and_arrays_come_back_as_written(run):
    count_calls(run)

    assert read_table(run, "first", "t")["x"].to_pylist() == [1.0, 2.0]
    assert read_arrays(run, "first", "kept")["x"].tolist() == [1.0, 2.0]
    assert read_rows(run, "first", "nothing") == []
