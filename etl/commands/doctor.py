"""`feature-atlas doctor`: is everything here that a run needs, and if not, what to do."""

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from feature_atlas.etl.config.run_config import RunConfig, load_config
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.postgres.given_server import capabilities
from feature_atlas.etl.study import identify
from feature_atlas.models.session import make_engine

PACKAGES = ("torch", "transformers", "sae-lens", "prefect", "streamlit", "sqlalchemy", "psycopg")
GIBIBYTE = 2**30


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    """What was looked at."""
    ok: bool
    """Whether a run can go on with it."""
    found: str
    """What is there, or what to do."""


def run_doctor(home: Path, config: Path | None, console: Console) -> bool:
    """Print one line a check; True when nothing stands in the way."""
    checks: list[Callable[[], Iterator[Check]]] = [
        _python,
        _packages,
        lambda: _disk(home),
        _database,
        _gpu,
    ]
    if config is not None:
        checks.append(lambda: _config(config))
    good = True
    for check in checks:
        for found in check():
            good &= found.ok
            mark = "[green]ok[/green]  " if found.ok else "[red]FAIL[/red]"
            console.print(f"{mark} {found.name}: {found.found}", highlight=False)
    return good


def _python() -> Iterator[Check]:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    advice = "" if ok else " (use Python 3.11, 3.12 or 3.13)"
    yield Check("Python", ok, platform.python_version() + advice)


def _packages() -> Iterator[Check]:
    for name in PACKAGES:
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "not installed: run `make demo`, or pip install -e .")


def _disk(home: Path) -> Iterator[Check]:
    existing = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(existing).free / GIBIBYTE
    advice = "" if free >= 2 else ": free at least 2 GiB, or set ATLAS_HOME to a larger disk"
    yield Check("disk", free >= 2, f"{free:.0f} GiB free at {existing}{advice}")


def _database() -> Iterator[Check]:
    try:
        url = ensure_database()
        with make_engine(url).connect() as connection:
            found = connection.exec_driver_sql("select version()").scalar_one()
        yield Check("database", True, str(found).split(" on ")[0])
        vector = capabilities(url).get("vector")
        yield Check("pgvector", True, vector or "not available: semantic search stays off")
    except Exception as error:
        yield Check("database", False, str(error))


def _gpu() -> Iterator[Check]:
    import torch

    if not torch.cuda.is_available():
        yield Check("GPU", True, "none: fine for the tiny world; real models need one")
        return
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / GIBIBYTE
        yield Check("GPU", True, f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB")


def _config(path: Path) -> Iterator[Check]:
    try:
        config: RunConfig = load_config(path)
        yield Check("configuration", True, str(path))
        inputs = identify(config)
        yield Check("model, SAEs and data", True, f"readable; the run will be {inputs.slug}")
    except (ValueError, FileNotFoundError) as error:
        yield Check("configuration", False, str(error))
