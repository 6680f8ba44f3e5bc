"""Kill the loader or the server at any moment: readers see the old run whole, the next load works.

`make faults` kills 50 loaders and 10 servers at moments spread over a load, and has loaders die at
every boundary of a step; plain `make test` does some of it. ATLAS_FAULTS=loaders,servers.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from databases import create_database, drop_database
from doomed_load import INSIDE_PUBLISH, Death, start_load, wait_for_death
from fact_checksums import Facts, run_facts, visible_facts
from loading import staging_tables, states
from run_folder import write_run_folder

from feature_atlas.etl.postgres.data_folder import processes_in
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine

pytestmark = pytest.mark.slow

ASKED = os.environ.get("ATLAS_FAULTS")
N_LOADERS, N_SERVERS = map(int, (ASKED or "4,1").split(","))
BOUNDARIES = ["copy begins", "record ends", "_flip", "publish ends"]
if ASKED:
    BOUNDARIES += ["verify begins", "verify ends", "copy ends", "index begins", "index ends"]
    BOUNDARIES += [name for name in INSIDE_PUBLISH if name != "_flip"]
SIZE = {"layers": tuple(range(4)), "d_sae": 256 if ASKED is None else 4096}

died_in: Counter[str] = Counter()


class Bench(NamedTuple):
    """A server with an old run, and a new run that is loaded again and again."""

    home: Path
    """Where the server lives."""
    server: EmbeddedPostgres
    """It has the defaults of a user's server: what is committed is on the disk."""
    old_folder: Path
    """The run that is published already."""
    folder: Path
    """The new run."""
    facts: dict[str, dict[str, Facts]]
    """Facts of the old run, and of the new one after an undisturbed load, by slug."""
    seconds: float
    """How long the undisturbed load took."""

    @contextmanager
    def database(self) -> Iterator[str]:
        """A database with the old run, for one load."""
        name = f"trial_{time.monotonic_ns()}"
        yield create_database(self.server.start(), name, "old")
        drop_database(self.server.start(), name)

    def moments(self, kind: str, n: int) -> list[float]:
        """Seconds after the start of a load, one at random in each of as many equal parts."""
        chance = random.Random(f"{kind} {n}")
        return [self.seconds * (part + chance.random()) / n for part in range(n)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory where there is room: what a dead process wrote outlives it there as on a disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2 * 2**30:
        yield tmp_path_factory.mktemp("faults")
        return
    with tempfile.TemporaryDirectory(prefix="faults-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def bench(place: Path) -> Iterator[Bench]:
    """One server for all; killed ones are started again."""
    home, runs = place / "home", place / "runs"
    server = EmbeddedPostgres(home)
    url = create_database(server.start(), "old")
    old, new = write_run_folder(runs, **SIZE), write_run_folder(runs, seed=1, **SIZE)
    load_first(old, url)
    trial = Bench(home, server, old, new, {old.name: run_facts(url, old.name)}, 0.0)
    seconds = [undisturbed_load(trial) for _ in range(2)]
    assert trial.facts[old.name] != trial.facts[new.name]
    yield trial._replace(seconds=min(seconds))
    server.stop()


def undisturbed_load(bench: Bench) -> float:
    """Load the new run, keep its facts; returns how long it took."""
    with bench.database() as url:
        begin = time.perf_counter()
        death = wait_for_death(*start_load(bench.folder, url), begin)
        assert death.exit_code == 0
        bench.facts[bench.folder.name] = run_facts(url, bench.folder.name)
    return death.seconds


def load_first(folder: Path, url: str) -> None:
    engine = make_engine(url)
    migrate(engine)
    ingest(folder, engine)
    engine.dispose()


def require_whole(bench: Bench, url: str) -> str:
    """Readers see one run, every fact of it; returns which."""
    slug, facts = visible_facts(url)
    assert facts == bench.facts[slug]
    return slug


def require_recovery(bench: Bench, url: str) -> None:
    """The same command again publishes, and the facts are those of an undisturbed load."""
    engine = make_engine(url)
    ingest(bench.folder, engine, wait=True)
    assert require_whole(bench, url) == bench.folder.name
    assert states(engine) == ["superseded", "published"]
    assert staging_tables(engine) == []
    assert run_facts(url, bench.old_folder.name) == bench.facts[bench.old_folder.name]
    engine.dispose()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_loader_that_dies_at_the_boundary_of_a_step(boundary: str, bench: Bench):
    with bench.database() as url:
        begin = time.perf_counter()
        death = wait_for_death(*start_load(bench.folder, url, die_at=boundary), begin)

        assert death.exit_code == -signal.SIGKILL
        is_published = require_whole(bench, url) == bench.folder.name
        assert is_published == (boundary == "publish ends")
        require_recovery(bench, url)


@pytest.mark.parametrize("number", range(N_LOADERS))
def test_a_loader_killed_at_a_random_moment(number: int, bench: Bench):
    moment = bench.moments("loader", N_LOADERS)[number]
    death = None
    while death is None or death.exit_code == 0:  # this time the load was quicker: kill earlier
        with bench.database() as url:
            death = kill_loader(bench, url, moment)
            if death.exit_code != 0:
                require_whole(bench, url)
                require_recovery(bench, url)
        moment *= 0.8

    assert death.exit_code == -signal.SIGKILL
    died_in[f"loader in {death.step}"] += 1


def kill_loader(bench: Bench, url: str, moment: float) -> Death:
    begin = time.perf_counter()
    process, told = start_load(bench.folder, url)
    time.sleep(moment)
    process.kill()
    return wait_for_death(process, told, begin)


@pytest.mark.parametrize("number", range(N_SERVERS))
def test_a_server_killed_at_a_random_moment(number: int, bench: Bench):
    moment = bench.moments("server", N_SERVERS)[number]
    death = None
    while death is None or death.exit_code == 0:
        with bench.database() as url:
            death = kill_server(bench, url, moment)
            bench.server.start()
            require_whole(bench, url)
            require_recovery(bench, url)
        moment *= 0.8

    died_in[f"server in {death.step}"] += 1


def kill_server(bench: Bench, url: str, moment: float) -> Death:
    begin = time.perf_counter()
    process, told = start_load(bench.folder, url)
    time.sleep(moment)
    data = (bench.home / "postgres" / "data").resolve()
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    for pid in (postmaster, *processes_in(data)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    death = wait_for_death(process, told, begin)
    deadline = time.monotonic() + 10
    while processes_in(data) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url).close()
    return death


def test_the_deaths_were_spread_over_the_load(bench: Bench, capsys: pytest.CaptureFixture[str]):
    n_killed = sum(died_in.values())
    with capsys.disabled():
        print(f"\n{n_killed} of {N_LOADERS + N_SERVERS} kills survived; a load takes ", end="")  # noqa: T201
        print(f"{bench.seconds:.1f} s; killed after: {dict(died_in)}")  # noqa: T201

    assert n_killed == N_LOADERS + N_SERVERS
    assert len({words.split()[-1] for words in died_in}) >= 2
