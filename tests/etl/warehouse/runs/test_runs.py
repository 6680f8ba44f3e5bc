"""Runs are found by name and shown with their line, their rows and their provenance."""

import json
from pathlib import Path

import pytest
from run_folder import read_rows
from run_versions import FACTS, run_id
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.runs import describe_run, list_runs, resolve_run


def test_a_run_is_found_by_slug_start_of_slug_and_id(kept: Engine, folders: list[Path]):
    with kept.connect() as connection:
        run = resolve_run(connection, folders[0].name)

        assert resolve_run(connection, folders[0].name[:-1]) == run
        assert resolve_run(connection, str(run.id)) == run
        assert run.state == "superseded"


def test_an_ambiguous_name_is_refused_with_what_it_may_mean(kept: Engine, folders: list[Path]):
    with kept.connect() as connection, pytest.raises(ValueError, match="names 3 runs") as refused:
        resolve_run(connection, "synthetic")

    assert all(folder.name in str(refused.value) for folder in folders[:3])
    assert folders[3].name not in str(refused.value)


@pytest.mark.parametrize("named", ["nothing", "", "999", "%", "synthetic_"])
def test_an_unknown_name_is_refused_with_what_there_is(
    named: str, kept: Engine, folders: list[Path]
):
    with kept.connect() as connection, pytest.raises(ValueError, match="no run") as refused:
        resolve_run(connection, named)

    assert all(folder.name in str(refused.value) for folder in folders)


def test_the_list_says_what_each_run_is(kept: Engine, folders: list[Path]):
    with kept.connect() as connection:
        newest, *_, oldest = list_runs(connection)

    assert (newest["slug"], newest["state"]) == (folders[2].name, "published")
    assert newest["parent"] == run_id(kept, folders[1])
    assert (newest["SAEs"], newest["features"]) == ("tiny-scope", 128)
    measured = json.loads((folders[2] / "manifest.json").read_text())["measurements"]
    assert (newest["code"], newest["added"]) == ("0123456789ab", 0)
    assert newest["measurements"] == len(measured) > 0
    assert oldest["slug"] == folders[3].name


def test_a_run_is_shown_with_its_line_its_rows_and_where_they_come_from(
    kept: Engine, folders: list[Path]
):
    manifest = json.loads((folders[1] / "manifest.json").read_text())
    with kept.connect() as connection:
        described = describe_run(connection, run_id(kept, folders[1]))

    assert described.ancestors == [folders[0].name]
    assert described.descendants == [folders[2].name]
    assert described.run["config"] == manifest["config"]
    assert described.rows == {
        table: 128 if table == "feature_record" else read_rows(folders[1], table).num_rows
        for table in FACTS
    }
    assert {step["step"]: step["features"] for step in described.funnel[:4]} == {
        "all features": 128,
        "adapted": 32,
        "candidates": 12,
        "survive neutral prompts": 8,
    }
    assert [dataset["name"] for dataset in described.datasets] == ["vqav2-val", "vsr-test"]
    of_energy = next(m for m in described.measurements if m["stage"] == "visual_energy")
    assert of_energy["inputs"] == {
        "vlm": "f0",
        "sae_set": "f1",
        "vqav2-val": "data-0",
        "vsr-test": "data-1",
    }
    assert (of_energy["code_version"], of_energy["dirty"]) == ("0123456789abcdef", False)
    assert (of_energy["seeds"], of_energy["device"], of_energy["rows"]) == ([1], "cpu", 134)
    assert (of_energy["finished_at"] - of_energy["started_at"]).total_seconds() == 9
    assert of_energy["added_at"] is None
