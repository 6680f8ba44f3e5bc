"""The Prefect server that a flow reports to: the given one, or one of our own for this process."""

import subprocess
from typing import Any

import httpx
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL

from feature_atlas.etl.children import end_with_us

ANSWERS_WITHIN = 10.0
"""Seconds."""


def require_prefect() -> None:
    """See to it that a server answers before a flow begins; our own ends with us."""
    given = PREFECT_API_URL.value()
    if given is None:
        _start()
        return
    try:
        httpx.get(f"{given}/health", timeout=ANSWERS_WITHIN)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise RuntimeError(
            f"no Prefect server answers at {httpx.URL(given).host}:{httpx.URL(given).port or ''} "
            f"({type(error).__name__}). PREFECT_API_URL names it, in the environment, in a .env "
            "here, or in Prefect's profile (`prefect config view` says which): start that server, "
            "or set PREFECT_API_URL to nothing, and a server of our own is started."
        ) from None


def _start() -> None:
    server = SubprocessASGIServer()
    if server.running:
        return
    run = server._run_uvicorn_command  # watched from its first moment: it takes long to start

    def watched() -> subprocess.Popen[Any]:
        process = run()
        end_with_us(process)
        return process

    server._run_uvicorn_command = watched
    server.start()
