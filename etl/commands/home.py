"""Quiet, private settings for the libraries that we start."""

import os
from pathlib import Path


def configure_libraries(home: Path) -> None:
    """Environment for Prefect and friends; must run before they are imported.

    Telemetry is off. Prefect keeps its state in our home and gets time to start: on a fresh home
    its throw-away server outlasts the default 20 seconds. An HTTP proxy must not catch loopback.
    Threads that share a product sleep while they wait: by default they spin, and where another
    program wants the cores, a small model's microseconds become its time slices.
    A variable that the user has set wins.
    """
    settings = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "DASK_LOGGING__DISTRIBUTED": "error",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "WANDB_MODE": "disabled",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        given = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*given, "127.0.0.1", "localhost"]))
