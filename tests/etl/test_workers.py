"""Shards by way of Prefect and Dask, on processes of their own."""

import psutil
import pytest
from bare_run import write_inputs
from prefect import flow

from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.run_folder.artifacts import read_rows, read_stage, run_stage
from feature_atlas.etl.workers import Workers, on_workers

pytestmark = pytest.mark.slow


def test_workers_compute_shards_also_when_one_of_them_is_killed(tmp_path, atlas_home):
    configure_libraries(atlas_home)
    run = tmp_path / "run"
    run.mkdir()
    write_inputs(run)
    names = [f"stage-{number}" for number in range(6)]
    for name in names:
        run_stage(run, name, params={}, reads=[], body=lambda output: None)
    found: list[dict[str, object]] = []

    @flow
    def build() -> None:
        killed = worker_processes()[0]
        killed.kill()
        run_stage(
            run,
            "gathered",
            params={},
            reads=names,
            body=lambda output: found.extend(output.in_shards(read_stage, names)),
        )

    with on_workers(Workers(n=2), "cpu") as task_runner:
        build.with_options(task_runner=task_runner)()

    assert [record["stage"] for record in found] == names
    assert read_rows(run, "gathered", "nothing") == []
    assert not (run / "gathered.shards").exists()


def worker_processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_workers_of_others_need_a_prefect_server(monkeypatch):
    with (
        pytest.raises(RuntimeError, match="set PREFECT_API_URL"),
        on_workers(Workers(scheduler="tcp://127.0.0.1:1"), "cpu"),
    ):
        pass
