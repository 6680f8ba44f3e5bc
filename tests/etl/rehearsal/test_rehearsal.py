"""A rehearsal goes through every stage in small, and leaves nothing behind."""

import gc
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.config.run_config import RunConfig, load_config
from feature_atlas.etl.rehearsal.small_config import N_ADAPT, N_STATEMENTS, rehearsal_config
from feature_atlas.etl.study import Study


@pytest.fixture
def file(tmp_path: Path, small_world: Path, fresh_url: str, atlas_home: Path, monkeypatch) -> Path:
    """A configuration of two layers."""
    configure_libraries(atlas_home)  # else Prefect stays in the folder of the first test
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    settings = demo_config(small_world).model_dump(mode="json")
    settings["sae"]["layers"] = [0, 2]
    settings["base_model"]["stated"] = {}
    settings["adapt"]["regimes"] = ["text", "refit"]
    written = tmp_path / "run.yaml"
    written.write_text(yaml.safe_dump(settings))
    return written


def build(file: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["build", str(file), *options])
    return result.exit_code, " ".join(result.output.split())


def what_is_left(home: Path, engine: Engine) -> tuple[list[str], int]:
    """Folders of runs and rehearsals, and runs in the database."""
    folders = [f.name for f in home.rglob("*") if f.is_dir() and "rehearsal" in f.name]
    with engine.connect() as connection:
        n_runs = connection.scalar(text("SELECT count(*) FROM atlas.run"))
    return folders + [f.name for f in (home / "runs").glob("*")], n_runs


def studies_with_a_model() -> list[Study]:
    return [
        one
        for one in gc.get_objects()
        if type(one) is Study and not {"vlm", "base_model"}.isdisjoint(one.__dict__)
    ]


@pytest.mark.slow
def test_every_stage_and_the_verification_run_and_nothing_is_left(file, engine):
    before = studies_with_a_model()

    code, said = build(file, "--rehearse")

    assert code == 0, said
    stages = ("gate_check", "adapt-base-text", "ablation", "exact_patch", "auto_interp")
    assert all(f"rehearsal: {stage}, " in said for stage in stages)
    assert "had nothing to do" not in said
    assert "every stage ran, and its run may be loaded" in said
    assert what_is_left(file.parent / "home", engine) == ([], 0)
    assert studies_with_a_model() == before


@pytest.mark.slow
def test_a_late_fault_stops_a_long_build_before_it_begins(file, engine, monkeypatch):
    def run_group_ablation(run: Path) -> None:
        raise ZeroDivisionError("a relation without statements")

    monkeypatch.setattr("feature_atlas.etl.pipeline.run_group_ablation", run_group_ablation)
    monkeypatch.setattr("feature_atlas.etl.rehearsal.rehearsal.LONG", 0)

    code, said = build(file)

    assert code == 1
    assert "by arithmetic: rehearsing first" in said
    assert (
        "error: the rehearsal stopped in stage group_ablation: ZeroDivisionError: a relation "
        "without statements" in said
    )
    assert what_is_left(file.parent / "home", engine) == ([], 0)


@pytest.mark.parametrize(
    ("options", "long", "is_rehearsed"),
    [((), 0, True), (("--no-rehearsal",), 0, False), ((), 1e9, False)],
)
def test_only_a_long_build_is_rehearsed_unless_it_shall_not(
    options, long, is_rehearsed, file, engine, monkeypatch
):
    done: list[str] = []

    def stop(config: RunConfig, home: Path) -> None:
        raise ValueError("that is enough")

    monkeypatch.setattr("feature_atlas.etl.rehearsal.rehearsal.LONG", long)
    monkeypatch.setattr(
        "feature_atlas.etl.rehearsal.rehearsal.rehearse", lambda *a: done.append("rehearsed")
    )
    monkeypatch.setattr("feature_atlas.etl.prefect_server.require_prefect", lambda: None)
    monkeypatch.setattr("feature_atlas.etl.pipeline.build_atlas", stop)

    code, said = build(file, *options)

    assert (code, "that is enough" in said) == (1, True)
    assert done == ["rehearsed"] * is_rehearsed


def test_the_small_run_is_of_the_same_models_and_settings_of_memory(file):
    config = load_config(file)

    small = rehearsal_config(config)

    assert (small.vlm, small.base_model.path) == (config.vlm, config.base_model.path)
    assert small.batch_size == config.batch_size
    assert small.head_attribution.samples_at_once == config.head_attribution.samples_at_once
    assert (small.data.n_adapt, small.data.n_vsr) == (N_ADAPT, N_STATEMENTS)
    RunConfig.model_validate(small.model_dump(mode="json"))  # as a run folder keeps it
