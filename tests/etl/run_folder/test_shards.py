import contextlib
import os
from typing import NamedTuple

import numpy as np
import pytest
import torch
from bare_run import write_inputs

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.run_folder import shards
from feature_atlas.etl.run_folder.artifacts import read_arrays, run_stage
from feature_atlas.etl.run_folder.shard_files import read_result, write_result

computed: list[int] = []


@pytest.fixture
def run(tmp_path):
    write_inputs(tmp_path)
    computed.clear()
    return tmp_path


def square(run, shard):
    computed.append(shard)
    return np.array([shard**2])


def stage(run, compute=square, numbers=(1, 2, 3), params=None):
    def body(output):
        output.arrays("squares", x=np.concatenate(list(output.in_shards(compute, list(numbers)))))

    return run_stage(run, "squares", params=params or {}, reads=[], body=body)


def summed(run, compute=square, numbers=(1, 2, 3, 4)):
    def body(output):
        output.arrays("sum", x=output.folded(compute, list(numbers), lambda a, b: a + b))

    return run_stage(run, "sum", params={}, reads=[], body=body)


class Interrupted(Exception):
    """In the place of a kill."""


def stops_at(last):
    def compute(run, shard):
        if shard == last:
            raise Interrupted
        return square(run, shard)

    return compute


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_results_come_in_the_order_of_the_shards_and_leave_no_scratch(run):
    stage(run, numbers=(3, 1, 2))

    assert read_arrays(run, "squares", "squares")["x"].tolist() == [9, 1, 4]
    assert names(run) == ["inputs.json", "squares"]


def test_an_interrupted_stage_of_several_lists_keeps_what_the_first_ones_gave(run):
    def body(output):
        first = list(output.in_shards(square, [1, 2], "-first"))
        if len(computed) == 2:
            raise Interrupted
        then = output.in_shards(square, [int(x[0]) for x in first], "-then")
        output.arrays("squares", x=np.concatenate(list(then)))

    for expected in (pytest.raises(Interrupted), contextlib.nullcontext()):
        with expected:
            run_stage(run, "squares", params={}, reads=[], body=body)
        computed.append(0)

    assert computed == [1, 2, 0, 1, 4, 0]
    assert read_arrays(run, "squares", "squares")["x"].tolist() == [1, 16]


def test_an_interrupted_stage_computes_only_what_is_missing(run):
    interrupted = stops_at(3)
    interrupted.__module__, interrupted.__qualname__ = square.__module__, square.__qualname__
    interrupted.__name__ = square.__name__
    with pytest.raises(Interrupted):
        stage(run, interrupted)
    assert computed == [1, 2]

    stage(run)

    assert computed == [1, 2, 3]
    assert read_arrays(run, "squares", "squares")["x"].tolist() == [1, 4, 9]


def test_results_of_other_parameters_or_shards_are_not_taken(run):
    with pytest.raises(Interrupted):
        stage(run, stops_at(3), params={"n": 1})
    stage(run, stops_at(5), params={"n": 2})
    assert computed == [1, 2, 1, 2, 3]


def test_a_result_that_cannot_be_read_is_computed_again(run):
    with pytest.raises(Interrupted):
        stage(run, interrupted := stops_at(3))
    file = run / "squares.shards" / "compute" / "0.pt"
    file.write_bytes(file.read_bytes()[:40])
    again = stops_at(4)
    assert interrupted.__qualname__ == again.__qualname__

    stage(run, again)

    assert computed == [1, 2, 1, 3]
    assert read_arrays(run, "squares", "squares")["x"].tolist() == [1, 4, 9]


def test_folding_keeps_one_file_and_goes_on_from_it(run):
    with pytest.raises(Interrupted):
        summed(run, stops_at(4))
    assert names(run / "sum.shards" / "compute") == ["to-3.pt", "work.json"]
    again = stops_at(5)

    summed(run, again)

    assert computed == [1, 2, 3, 4]
    assert read_arrays(run, "sum", "sum")["x"].tolist() == [30]


def test_results_may_be_computed_elsewhere_in_any_order(run):
    asked = []

    def send(work, numbers):
        asked.extend(numbers)
        for number in reversed(numbers):
            work.compute(number)
        return lambda number: None

    with shards.sent_to(send):
        stage(run)

    assert asked == [0, 1, 2]
    assert computed == [3, 2, 1]
    assert read_arrays(run, "squares", "squares")["x"].tolist() == [1, 4, 9]


def test_one_who_waits_takes_the_shards_that_nobody_has(run, monkeypatch):
    monkeypatch.setattr(shards, "_function", lambda name: square)
    work = shards.open_work(run, "squares", "key", square, [5, 6, 7])
    (work.folder / "0.pt.claim-0").write_text("elsewhere\n1\nsomebody")

    assert shards.help_with(run, "squares", "key")
    assert not shards.help_with(run, "squares", "another key")
    assert shards.help_with(run, "squares", "key")
    assert not shards.help_with(run, "squares", "key")

    assert computed == [6, 7]
    assert names(work.folder) == ["0.pt.claim-0", "1.pt", "2.pt", "work.json"]


def test_only_functions_of_this_package_are_called_for_others(run):
    shards.open_work(run, "squares", "key", os.system, ["echo"])

    with pytest.raises(ValueError, match="expected a function of feature_atlas"):
        shards.help_with(run, "squares", "key")


def test_records_and_arrays_come_back_as_they_were(tmp_path):
    codes = SparseCodes(torch.rand(2, 3), torch.arange(6).reshape(2, 3))
    said = {"codes": codes, 4: [np.array([True]), np.float64(0.1), np.array(["a"]), None, "b"]}
    write_result(tmp_path / "0.pt", said)

    found = read_result(tmp_path / "0.pt")

    assert isinstance(found["codes"], SparseCodes)
    assert torch.equal(found["codes"].values, codes.values)
    assert repr(found[4]) == repr(said[4])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool, "<U3"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_arrays_of_a_shard_without_samples_come_back_empty(shape, dtype, tmp_path):
    write_result(tmp_path / "0.pt", {"found": np.empty(shape, dtype)})

    found = read_result(tmp_path / "0.pt")["found"]

    assert (found.shape, found.dtype) == (shape, np.dtype(dtype))


class Foreign(NamedTuple):
    """Of no module of the package."""

    x: int


@pytest.mark.parametrize("said", [Foreign(1), os.system])
def test_a_file_that_names_anything_else_is_refused(said, tmp_path):
    write_result(tmp_path / "0.pt", said)

    with pytest.raises(ValueError, match="expected records of this package"):
        read_result(tmp_path / "0.pt")
