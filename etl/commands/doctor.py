"""`feature-atlas doctor`: is everything here that a run needs, and if not, what to do."""

import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.opening.costs import duration
from feature_atlas.etl.opening.disk import gigabytes
from feature_atlas.etl.opening.forward import look_at_forward
from feature_atlas.etl.opening.looks import Check
from feature_atlas.etl.opening.machine import Machine, existing, free_disk
from feature_atlas.etl.opening.memory import in_words
from feature_atlas.etl.opening.memory_plan import StageMemory, memory_plan
from feature_atlas.etl.opening.opening import Opening, examine
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.postgres.given_server import capabilities
from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.models.session import make_engine

PACKAGES = ("torch", "transformers", "sae-lens", "prefect", "streamlit", "sqlalchemy", "psycopg")
GIBIBYTE = 2**30


def run_doctor(
    home: Path, config: Path | None, console: Console, card_gb: float | None = None
) -> bool:
    """Print one line a check; True when nothing stands in the way.

    The plan of what stages hold is for the device that is here, or for a card of ``card_gb``.
    """
    checks: list[Callable[[], Iterator[Check]]] = [
        _python,
        _packages,
        lambda: _disk(home),
        _database,
        _gpu,
    ]
    good = True
    for check in checks:
        for found in check():
            good &= found.ok
            _print(found, console)
    if config is None:
        return good
    return _print_opening(config, home, console, card_gb) and good


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
    free = free_disk(home) / GIBIBYTE
    advice = "" if free >= 2 else ": free at least 2 GiB, or set ATLAS_HOME to a larger disk"
    yield Check("disk", free >= 2, f"{free:.0f} GiB free at {existing(home)}{advice}")


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


def _print_opening(path: Path, home: Path, console: Console, card_gb: float | None) -> bool:
    """The opening of `build`, check by check, and what each stage will take."""
    try:
        config = load_config(path)
    except (ValueError, OSError) as error:
        _print(Check("configuration", False, str(error)), console)
        return False
    _print(Check("configuration", True, str(path)), console)
    opening = examine(config, home)
    for check in opening.checks:
        _print(check, console)
    good = all(check.ok for check in opening.checks)
    if good:  # reads the weights
        forward = look_at_forward(config)
        _print(forward, console)
        good = forward.ok
    if opening.machine is not None and opening.work:
        _print_time(opening, opening.machine, config.vlm.dtype, console)
    card = card_gb * 1e9 if card_gb else opening.machine and opening.machine.device_memory
    if card and opening.sizes is not None:
        print_memory_plan(memory_plan(config, opening.sizes, card), card, console)
    return good


def _print_time(opening: Opening, machine: Machine, dtype: str, console: Console) -> None:
    rows = [
        {
            "stage": one.stage,
            "operations": f"{one.operations:.1e}",
            "time": duration(one.seconds(machine)),
        }
        for one in opening.work
    ]
    print_rows(console, "What the stages will take, by arithmetic, not measured", rows)
    console.print(
        f"{duration(opening.seconds)} at {machine.model_speed:.1e} operations a second in {dtype}, "
        f"{machine.float32_speed:.1e} in float32 and {machine.tf32_speed:.1e} with rounded "
        "factors, as measured here",
        highlight=False,
    )


def print_memory_plan(plan: list[StageMemory], card: float, console: Console) -> None:
    """What every stage will hold, and how much it does at once."""
    rows = [
        {
            "stage": one.stage,
            "at once": one.at_once,
            "passes": one.n_passes,
            "GB": round(one.total / 1e9, 1),
            "of which": in_words(one),
        }
        for one in plan
    ]
    print_rows(console, f"What the stages will hold of {gigabytes(card)}, by arithmetic", rows)


def _print(check: Check, console: Console) -> None:
    mark = "[green]ok[/green]  " if check.ok else "[red]FAIL[/red]"
    said = escape(f"{check.name}: {check.found}")
    console.print(f"{mark} {said}", highlight=False, soft_wrap=True)
