import numpy as np
import pytest
from bare_run import write_inputs

from feature_atlas.etl.run_folder import peaks as module
from feature_atlas.etl.run_folder.artifacts import read_json, run_stage
from feature_atlas.etl.run_folder.peaks import peaks

MIB = 2**20
needs_linux = pytest.mark.skipif(not module.FORGET.exists(), reason="only Linux says")


@needs_linux
def test_what_is_held_for_a_moment_counts():
    with peaks() as before:
        pass
    with peaks() as found:
        np.ones(200 * MIB, np.uint8)

    assert found.main - before.main == pytest.approx(200 * MIB, rel=0.2)
    assert found.device is None


@needs_linux
def test_what_was_held_before_does_not_count():
    with peaks() as large:
        np.ones(200 * MIB, np.uint8)
    with peaks() as small:
        pass

    assert large.main - small.main == pytest.approx(200 * MIB, rel=0.2)


def test_a_system_that_cannot_forget_gives_no_number(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FORGET", tmp_path / "no" / "such" / "file")

    with peaks() as found:
        pass

    assert found.main is None


@needs_linux
def test_every_stage_keeps_its_peak(tmp_path):
    write_inputs(tmp_path)

    run_stage(
        tmp_path, "one", params={}, reads=[], body=lambda _: np.ones(200 * MIB, np.uint8).sum()
    )

    record = read_json(tmp_path / "one" / "stage.json")
    assert record["peak_main_bytes"] > 200 * MIB
    assert record["peak_device_bytes"] is None
