"""The run folder: what each stage leaves on disk, and how a stage knows that it is done.

    <run>/inputs.json               what was studied, with fingerprints
    <run>/<stage>/<table>.<n>.parquet, ...
    <run>/<stage>/stage.json        written last: key, times, files with sha256, warnings
    <run>/<stage>.shards/           results of a long stage under way (`shards`)
    <run>/<stage>.claim-<n>         a process runs the stage (`claims`)
    <run>/manifest.json             written when every stage is done; what `ingest` loads
    <run>/scratch/                  what can be computed again; gone when the run is published

A stage's key is the hash of its parameters and of the keys of the stages it reads. Same key and
whole files: the stage is not run again, so a killed run resumes where it stopped. Of several
processes that run the same run one leads a stage; the others help it with its shards, or wait.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.run_folder.claims import LEASE, Claim, claimed, owner_of
from feature_atlas.etl.run_folder.column_kinds import as_declared
from feature_atlas.etl.run_folder.patience import NotDone, patience
from feature_atlas.etl.run_folder.peaks import peaks
from feature_atlas.etl.run_folder.provenance import code_version, libraries
from feature_atlas.etl.run_folder.row_checks import verify_written
from feature_atlas.etl.run_folder.shards import (
    Compute,
    Result,
    Shard,
    Work,
    help_with,
    open_work,
    shards_folder,
)
from feature_atlas.etl.run_folder.stopwatch import Stopwatch
from feature_atlas.etl.run_folder.table_rows import REGIMES, Known
from feature_atlas.etl.run_folder.whole_files import write_json

Row = TypeVar("Row")

FORMAT = 1
"""Version of the run folder's layout and of the stages' meaning; part of every key."""
SCRATCH = "scratch"
"""Folder of what can be computed again."""


class Warnings:
    """What a reader of the numbers must know."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Keep a sentence, once; the stage goes on."""
        if text not in self.warnings:
            self.warnings.append(text)

    def warn_of(self, texts: Iterable[str]) -> None:
        """Keep the sentences of a shard."""
        for text in texts:
            self.warn(text)


class StageOutput(Warnings):
    """What a stage writes into its folder; tables are Parquet, one file per call."""

    def __init__(self, folder: Path, key: str = "") -> None:
        super().__init__()
        self.folder, self.key = folder, key
        self.files: list[dict[str, Any]] = []

    def in_shards(
        self, compute: Compute[Shard, Result], shards: Sequence[Shard], part: str = ""
    ) -> Iterator[Result]:
        """Results of a function of the module, called with the run and each shard, in order.

        ``part`` is a word for each of several lists that follow from one another.
        """
        return self._work(compute, shards, part).results()

    def rows_in_shards(
        self,
        compute: Compute[Shard, tuple[list[Row], list[str]]],
        shards: Sequence[Shard],
        doing: str,
    ) -> list[Row]:
        """All rows of a function that gives those of a shard, and warnings, which are kept."""
        rows: list[Row] = []
        for found, warnings in track(self.in_shards(compute, shards), doing, total=len(shards)):
            self.warn_of(warnings)
            rows.extend(found)
        return rows

    def folded(
        self,
        compute: Compute[Shard, Result],
        shards: Sequence[Shard],
        fold: Callable[[Result, Result], Result],
    ) -> Result:
        """All results in one, as ``fold`` adds the next; for those that are large on disk."""
        result: Result = self._work(compute, shards).folded(fold)
        return result

    def _work(
        self, compute: Compute[Shard, Result], shards: Sequence[Shard], part: str = ""
    ) -> Work:
        return open_work(self.folder.parent, self.folder.name, self.key, compute, shards, part)

    def table(self, name: str, columns: Mapping[str, Any]) -> None:
        """Write rows of one database table; arrays and lists of one length.

        What the loader would refuse is refused here, while its stage is running.
        """
        n_before = sum(f.get("table") == name for f in self.files)
        file = self.folder / f"{name}.{n_before}.parquet"
        rows = as_declared(file, name, columns)
        verify_written(file, rows, name, _known(self.folder.parent))
        pq.write_table(rows, file, compression="zstd")
        types = {field.name: str(field.type) for field in rows.schema}
        self.record(file, table=name, rows=rows.num_rows, columns=types)

    def arrays(self, name: str, **arrays: np.ndarray) -> None:
        """Keep intermediate arrays for later stages; not loaded into the database."""
        file = self.folder / f"{name}.npz"
        np.savez(file, allow_pickle=False, **arrays)
        self.record(file)

    def tree(self, folder: Path) -> None:
        """Record every file below a folder that the stage wrote itself (SAE folders)."""
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.record(file)

    def record(self, file: Path, **facts: Any) -> None:
        """Note a file that lies in the stage's folder; `table` with its shape if it holds rows."""
        self.files.append(
            {
                "path": str(file.relative_to(self.folder.parent)),
                "bytes": file.stat().st_size,
                "sha256": file_sha256(file),
                **facts,
            }
        )


class Stage(NamedTuple):
    """A finished stage."""

    name: str
    """Folder of the stage inside the run."""
    key: str
    """Hash of its inputs."""
    seconds: float
    """How long it took when it ran."""
    was_done: bool
    """True when an earlier, whole result was found and nothing was run."""


def run_stage(
    run: Path,
    name: str,
    *,
    params: Mapping[str, Any],
    reads: Sequence[str],
    body: Callable[[StageOutput], None],
) -> Stage:
    """Run ``body`` unless a whole result with the same key is there, or help who runs it.

    ``reads`` are the stages whose results the body uses.
    """
    key = stage_key(run, name, params, reads)
    asked = {"params": dict(params), "reads": list(reads)}
    patient = patience()
    while (done := _found(run, name, key)) is None:
        patient.ask(name, reads)
        with claimed(run / name) as claim:
            if claim is not None:  # and another may have finished it a moment ago
                return _found(run, name, key) or _lead(claim, key, asked, body)
        if not help_with(run, name, key):
            patient.wait(name, owner_of(run / name))
    return done


def _found(run: Path, name: str, key: str) -> Stage | None:
    """A stage that is done."""
    done = read_stage(run, name)
    if done is None or done["key"] != key or not _is_whole(run, done):
        return None
    return Stage(name, key, done["seconds"], was_done=True)


def _lead(
    claim: Claim, key: str, asked: dict[str, Any], body: Callable[[StageOutput], None]
) -> Stage:
    """Run the body, and put down that it is done."""
    folder, name = claim.what, claim.what.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    output, watch = StageOutput(folder, key), Stopwatch()
    with peaks() as held:
        body(output)
    finished, seconds = watch.now(), watch.seconds()
    commit, dirty = code_version()
    if claim.is_lost:
        raise RuntimeError(
            f"stage {name} was taken over by {owner_of(folder)}: for {LEASE:.0f} s it did not hear "
            "from this process. Was it, or its disk, asleep? Start it again."
        )
    write_json(
        folder / "stage.json",
        {
            "key": key,
            "stage": name,
            **asked,
            "code_version": commit,
            "dirty": dirty,
            "libraries": libraries(),
            "started_at": watch.started.isoformat(),
            "finished_at": finished.isoformat(),
            "seconds": seconds,
            "peak_main_bytes": held.main,
            "peak_device_bytes": held.device,
            "files": output.files,
            "warnings": output.warnings,
        },
    )
    shutil.rmtree(shards_folder(folder.parent, name), ignore_errors=True)
    return Stage(name, key, seconds, was_done=False)


def stage_key(run: Path, name: str, params: Mapping[str, Any], reads: Sequence[str]) -> str:
    """The hash that decides whether a result may be used again."""
    upstream = {read: require_stage(run, read)["key"] for read in reads}
    inputs = read_json(run / "inputs.json")["config_hash"] if not reads else None
    return stable_hash(
        {"format": FORMAT, "name": name, "params": params, "reads": upstream, "inputs": inputs}
    )


def read_stage(run: Path, name: str) -> dict[str, Any] | None:
    """A stage's record, or None when it has not finished."""
    file = run / name / "stage.json"
    return read_json(file) if file.is_file() else None


def require_stage(run: Path, name: str) -> dict[str, Any]:
    """A stage's record; an error when it has not finished."""
    record = read_stage(run, name)
    if record is None:
        raise NotDone(f"stage {name!r} of {run} has not finished: run the flow again.")
    return record


def read_table(run: Path, stage: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows that a stage wrote for one table, in writing order; of some columns, or of all."""
    files = [f["path"] for f in require_stage(run, stage)["files"] if f.get("table") == table]
    if not files:
        raise RuntimeError(f"stage {stage!r} of {run} wrote no table {table!r}.")
    wanted = None if columns is None else list(columns)
    return pa.concat_tables(pq.read_table(run / file, columns=wanted) for file in files)


def read_rows(run: Path, stage: str, table: str) -> list[dict[str, Any]]:
    """Rows of a small table as dictionaries; none when the stage found none."""
    wrote = {f.get("table") for f in require_stage(run, stage)["files"]}
    rows: list[dict[str, Any]] = read_table(run, stage, table).to_pylist() if table in wrote else []
    return rows


def read_arrays(run: Path, stage: str, name: str) -> dict[str, np.ndarray]:
    """Arrays kept by an earlier stage."""
    with np.load(run / stage / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def file_sha256(file: Path) -> str:
    """Content hash of a file, hex; read once per process while size and time stay the same."""
    facts = file.stat()
    return _sha256(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _sha256(file: Path, _size: int, _time: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_fingerprint(files: Iterable[Path], root: Path) -> str:
    """Content hash of some files with their names relative to ``root``."""
    return stable_hash({str(f.relative_to(root)): file_sha256(f) for f in sorted(files)})


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object, or an error that names the file."""
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not complete JSON ({error}): copy it again; one that a stage wrote may be "
            "deleted, and the run built again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds {type(content).__name__}, expected a JSON object.")
    return content


def _is_whole(run: Path, record: dict[str, Any]) -> bool:
    files = [(run / f["path"], f["bytes"]) for f in record["files"]]
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def _known(run: Path) -> Known:
    """What rows may refer to, as far as it is known before the run is complete."""
    inputs = read_json(run / "inputs.json")
    datasets = np.array([dataset["key"] for dataset in inputs["datasets"]], np.int64)
    layers, d_sae = tuple(inputs["sae_set"]["layers"]), inputs["sae_set"]["d_sae"]
    return Known(layers, d_sae, {"regime": REGIMES}, {"dataset": datasets})
