"""Shards as Prefect tasks on workers of Dask: processes of this machine, or of a cluster.

The process of the flow leads: it runs what has no shards, adds up and publishes. A worker that is
lost is none of its business: Dask gives the shard to another one. All of them see one run folder.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from feature_atlas.etl.run_folder.patience import POLL
from feature_atlas.etl.run_folder.shards import Wait, Work, sent_to

START_SECONDS = 180
SEEN_SECONDS = 120.0
"""In which a file that one machine wrote is seen by another."""
GPU = {"GPU": 1.0}
"""What a worker has, and a shard needs, where the device is a card."""


class Workers(NamedTuple):
    """Who computes shards."""

    n: int | None = None
    """Processes of this machine."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers do."""


@contextmanager
def on_workers(workers: Workers, device: str) -> Iterator[Any]:
    """Prefect's task runner for the block, in which shards are sent to the workers."""
    try:
        import dask
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise RuntimeError(
            "workers need Dask: pip install 'feature-atlas[workers]', or build with --shard."
        ) from error
    needs = GPU if device.startswith("cuda") else {}
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with ExitStack() as open_until_done:
        if workers.scheduler is None:
            address = open_until_done.enter_context(_own_server_and_cluster(workers.n or 1, device))
        else:
            address = workers.scheduler
            _require_fit(address, needs)
        open_until_done.enter_context(dask.annotate(resources=needs))
        open_until_done.enter_context(sent_to(send))
        yield DaskTaskRunner(address=address)


@task(name="shard", cache_policy=NO_CACHE, persist_result=False)
def compute_shard(folder: Path, number: int) -> None:
    """One shard, on whatever worker."""
    work = Work(folder)
    if not (folder / "work.json").is_file():
        raise FileNotFoundError(
            f"no {folder / 'work.json'} on this worker: ATLAS_HOME must lie on a disk that all "
            "workers see, under the same path."
        )
    if not work.is_done(number):
        work.compute(number)


def send(work: Work, numbers: list[int]) -> Wait:
    """Submit shards to the flow's task runner."""
    futures = {number: compute_shard.submit(work.folder, number) for number in numbers}

    def wait(number: int) -> None:
        if number not in futures:
            return
        futures.pop(number).result()
        since = time.monotonic()
        while not work.is_done(number):
            if time.monotonic() - since > SEEN_SECONDS:
                raise RuntimeError(
                    f"a worker wrote shard {number} of {work.folder}, and it is not seen here: "
                    "ATLAS_HOME must lie on a disk that all workers see."
                )
            time.sleep(POLL)

    return wait


@contextmanager
def _own_server_and_cluster(n: int, device: str) -> Iterator[str]:
    """Workers of this machine, and a Prefect server that they know, unless there is one."""
    from distributed import Nanny, Scheduler, SpecCluster

    of_worker = {"nthreads": 1, "memory_limit": 0}
    needs = GPU if device.startswith("cuda") else {}
    spec = {
        place: {"cls": Nanny, "options": {**of_worker, "resources": needs, "env": env}}
        for place, env in enumerate(map(_environment, range(n)))
    }
    local = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    with ExitStack() as open_until_done:
        if not PREFECT_API_URL.value():
            server = SubprocessASGIServer()
            server.start(timeout=START_SECONDS)
            open_until_done.callback(server.stop)
            open_until_done.enter_context(temporary_settings({PREFECT_API_URL: server.api_url}))
        scheduler = {"cls": Scheduler, "options": local}
        cluster = open_until_done.enter_context(SpecCluster(workers=spec, scheduler=scheduler))
        yield cluster.scheduler_address


def _environment(place: int) -> dict[str, str]:
    """A card for each worker in turn; as many threads as here, so that sums round alike."""
    env = {
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "DASK_LOGGING__DISTRIBUTED": "error",
    }
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = given.split(",") if given else list(map(str, range(torch.cuda.device_count())))
    return env | ({"CUDA_VISIBLE_DEVICES": cards[place % len(cards)]} if cards else {})


def _require_fit(address: str, needs: dict[str, float]) -> None:
    """Workers that are there, with what a shard needs, and a Prefect server that they can ask."""
    from distributed import Client

    if not PREFECT_API_URL.value():
        raise RuntimeError(
            "workers of other machines report to a Prefect server: start one that they reach "
            "(prefect server start --host 0.0.0.0) and set PREFECT_API_URL."
        )
    with Client(address, timeout=START_SECONDS, set_as_default=False) as client:
        known = client.scheduler_info()["workers"].values()
    fit = [one for one in known if needs.items() <= one["resources"].items()]
    if not fit:
        raise RuntimeError(
            f"{len(known)} workers at {address}, none of which has the resource GPU=1: start one a "
            f"card, dask worker {address} --nthreads 1 --resources GPU=1"
            if needs
            else f"no worker at {address}: start some, dask worker {address} --nthreads 1"
        )
