"""A sealed run says of every stage what it read, and which code and libraries it ran with."""

from pathlib import Path

import numpy as np
import pytest
from bare_run import write_part

from feature_atlas.etl.run_folder import artifacts
from feature_atlas.etl.run_folder.artifacts import StageOutput, read_json, run_stage
from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.run_folder.provenance import code_version, libraries
from feature_atlas.etl.run_folder.whole_files import write_json

HASH = "a" * 64


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder before its first stage."""
    vlm = {"name": "v", "revision": None, "fingerprint": "of the model", "architecture": "A"}
    vlm |= {"n_layers": 1, "d_model": 4, "n_heads": 1, "n_kv_heads": 1, "base_name": "b"}
    saes = {"name": "s", "release": "s", "fingerprint": "of the SAEs", "gate": "topk", "k": 1}
    saes |= {"d_sae": 8, "d_model": 4, "hook_site": "resid_post"}
    data = {"key": 0, "name": "vqav2-val", "kind": "vqav2", "split": "val", "n_samples": 1}
    write_json(
        tmp_path / "inputs.json",
        {
            "slug": f"run-{HASH[:8]}",
            "config_hash": HASH,
            "config": {"name": "run", "seed": 3, "device": "cpu"},
            "vlm": vlm | {"base_fingerprint": None},
            "sae_set": saes | {"layers": [0], "activation_scale": [1.0]},
            "datasets": [data | {"fingerprint": "of the data"}],
        },
    )
    return tmp_path


def write(output: StageOutput) -> None:
    write_part(output, "selection", {"layer": np.zeros(8, np.int16)})


def test_a_measurement_names_what_it_read_by_fingerprint(run: Path):
    first = run_stage(run, "first", params={}, reads=[], body=write)
    run_stage(run, "second", params={"k": 1}, reads=["first"], body=write)

    made = {entry.stage: entry for entry in read_manifest(write_run_manifest(run)).measurements}

    studied = {"vlm": "of the model", "sae_set": "of the SAEs", "vqav2-val": "of the data"}
    assert made["first"].inputs == studied
    assert made["second"].inputs == studied | {"first": first.key}
    assert made["second"].seeds == [3]
    assert (made["second"].code_version, made["second"].dirty) == code_version()
    assert made["second"].libraries == libraries()


def test_a_stage_keeps_the_code_it_ran_with_when_the_run_is_sealed_by_another(
    run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(artifacts, "code_version", lambda: ("the commit before", True))
    monkeypatch.setattr(artifacts, "libraries", lambda: {"torch": "1.0"})
    run_stage(run, "early", params={}, reads=[], body=write)
    monkeypatch.undo()
    run_stage(run, "late", params={}, reads=[], body=write)

    manifest = read_manifest(write_run_manifest(run))

    made = {entry.stage: entry for entry in manifest.measurements}
    assert (made["early"].code_version, made["early"].dirty) == ("the commit before", True)
    assert made["early"].libraries == {"torch": "1.0"}
    assert (made["late"].code_version, made["late"].dirty) == code_version()
    assert manifest.code_version == code_version()[0]


def test_a_stage_of_an_older_version_is_sealed_with_what_is_known(run: Path):
    run_stage(run, "old", params={}, reads=[], body=write)
    record = read_json(run / "old" / "stage.json")
    for name in ("code_version", "dirty", "libraries"):
        del record[name]
    write_json(run / "old" / "stage.json", record)

    (made,) = read_manifest(write_run_manifest(run)).measurements

    assert (made.code_version, made.dirty) == (None, None)  # the loader takes the run's
    assert made.libraries == libraries()
