"""Hold a run's model beside the dashboards, for prompts of one's own."""

import socket
from contextlib import suppress
from pathlib import Path

import uvicorn
from rich.console import Console

from feature_atlas.etl.own_prompt.model_service import ModelService
from feature_atlas.etl.own_prompt.run_model import RunModel, run_study
from feature_atlas.etl.warehouse.migrate import find_atlas
from feature_atlas.etl.warehouse.runs import published_run
from feature_atlas.models.session import make_reader_engine


def serve_model(home: Path, run: str | None, port: int, console: Console) -> None:
    """Hold a published run's model on 127.0.0.1 until interrupted; reads everything first."""
    with make_reader_engine(find_atlas()).connect() as connection:
        found = published_run(connection, run)
    model = RunModel(run_study(home, found))
    with _listening(port) as listener:
        n_kept, n_layers = model.read_all(), len(model.study.layers)
        console.print(
            f"{found.slug}: {model.study.config.vlm.name} and {n_kept} of {n_layers} dictionaries "
            f"on {model.device}; the page Try it asks http://127.0.0.1:{port}",
            highlight=False,
            markup=False,
        )
        with suppress(KeyboardInterrupt):
            server_of(ModelService(model)).run(sockets=[listener])


def server_of(service: ModelService) -> uvicorn.Server:
    """Not started yet."""
    return uvicorn.Server(
        uvicorn.Config(
            service.app(), log_level="warning", access_log=False, server_header=False, ws="none",
            lifespan="off", limit_concurrency=64, timeout_keep_alive=5,
        )
    )  # fmt: skip


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise RuntimeError(
            f"cannot listen on 127.0.0.1:{port} ({error.strerror}): choose another "
            "port with --port."
        ) from error
