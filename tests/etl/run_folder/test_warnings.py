"""What a stage warns of stays with its run: in the folder, the atlas, the summary, an export."""

from pathlib import Path

import pytest
from bare_run import write_inputs
from rich.console import Console
from run_folder import WARNINGS
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_run import export_run
from feature_atlas.etl.commands.runs_shown import print_run
from feature_atlas.etl.commands.summary import print_summary
from feature_atlas.etl.run_folder.artifacts import StageOutput, read_json, run_stage
from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.warehouse.runs import describe_run


def stored(engine: Engine) -> list[tuple[str, int, str]]:
    query = "SELECT stage, warning_no, warning FROM atlas.run_warning ORDER BY warning_no"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


EXPECTED = [("adapt", number, warning) for number, warning in enumerate(WARNINGS, start=1)]


def test_a_stage_keeps_its_warnings_in_its_record(tmp_path: Path):
    def body(output: StageOutput) -> None:
        output.warn("the stream was short")

    write_inputs(tmp_path)
    run_stage(tmp_path, "first", params={}, reads=[], body=body)
    run_stage(tmp_path, "first", params={}, reads=[], body=body)

    assert read_json(tmp_path / "first" / "stage.json")["warnings"] == ["the stream was short"]


def test_warnings_of_a_loaded_run_are_a_view_in_the_order_of_its_stages(loaded_engine: Engine):
    assert stored(loaded_engine) == EXPECTED


def test_a_measurement_of_a_version_without_warnings_has_none(loaded_engine: Engine):
    query = "SELECT stage FROM atlas.measurement WHERE warnings = '{}'"
    with loaded_engine.connect() as connection:
        stages = set(connection.scalars(text(query)))

    assert {"selection", "firing_shift"} <= stages
    assert "adapt" not in stages


def test_an_export_carries_them(loaded_engine: Engine, run_folder: Path, tmp_path: Path):
    export_run(loaded_engine, run_folder.name, tmp_path / "out")

    made = {m.stage: m.warnings for m in read_manifest(tmp_path / "out").measurements}
    assert made["adapt"] == list(WARNINGS)
    assert made["selection"] == []


def test_a_run_is_shown_with_its_warnings(loaded_engine: Engine):
    console = Console(record=True, width=200)
    with loaded_engine.connect() as connection:
        run_id = connection.scalar(text("SELECT id FROM atlas.current_run"))
        print_run(console, describe_run(connection, run_id))

    printed = console.export_text()
    assert all(warning in printed for warning in WARNINGS)


def test_the_summary_ends_with_them(
    loaded_url: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)
    console = Console(record=True, width=200)
    print_summary(run_folder.name, console)

    printed = console.export_text()
    assert all(warning in printed for warning in WARNINGS)
