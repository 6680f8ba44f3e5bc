"""The manifest of a run folder: what it says, and whether the files are what it says."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

Sha256 = Field(pattern="^[0-9a-f]{64}$")


class VlmEntry(BaseModel):
    """The model studied; fields as in table `vlm`."""

    name: str
    revision: str | None
    fingerprint: str
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    base_name: str
    base_fingerprint: str | None


class SaeSetEntry(BaseModel):
    """The base SAEs; fields as in table `sae_set`."""

    name: str
    release: str
    fingerprint: str
    gate: str
    k: int
    d_sae: int = Field(gt=0)
    d_model: int
    hook_site: str
    layers: list[int] = Field(min_length=1)
    activation_scale: list[float]


class DatasetEntry(BaseModel):
    """One dataset; `key` is its local number, the rest as in table `dataset`."""

    key: int
    name: str
    kind: Literal["vqav2", "vsr"]
    split: str
    fingerprint: str
    n_samples: int = Field(ge=0)


class MeasurementEntry(BaseModel):
    """One execution of a stage; fields as in table `measurement`."""

    stage: str
    params: dict[str, Any]
    params_hash: str
    input_fingerprint: str
    seeds: list[int]
    device: str
    libraries: dict[str, str]
    started_at: datetime
    finished_at: datetime


class FileEntry(BaseModel):
    """One file; `table` and its shape only for the rows of a table."""

    path: str
    stage: str
    bytes: int
    sha256: str = Sha256
    table: str | None = None
    rows: int = 0
    columns: dict[str, str] = {}


class Manifest(BaseModel):
    """Everything that one run left."""

    format: Literal[1]
    slug: str
    config: dict[str, Any]
    config_hash: str = Sha256
    code_version: str
    dirty: bool
    vlm: VlmEntry
    sae_set: SaeSetEntry
    datasets: list[DatasetEntry]
    measurements: list[MeasurementEntry]
    files: list[FileEntry]

    @property
    def tables(self) -> dict[str, list[FileEntry]]:
        """Files of rows by table."""
        found: dict[str, list[FileEntry]] = {}
        for file in self.files:
            if file.table is not None:
                found.setdefault(file.table, []).append(file)
        return found

    @property
    def name(self) -> str:
        """What the configuration is called; runs of one name supersede one another."""
        return str(self.config.get("name", self.slug))

    def checksum(self, stage: str | None = None) -> str:
        """One hash over the hashes of all files, or of one stage's files."""
        lines = sorted(f"{f.sha256} {f.path}" for f in self.files if stage in (None, f.stage))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest, or an error that says what is wrong with it."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path}: expected a finished run folder. A stage writes it last; finish the run "
            "with `feature-atlas build`."
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ValueError(
            f"{path}: {where}: {first['msg']}; found {_shortly(first['input'])}. The folder was "
            "written by another version, or the file is damaged: build the run again."
        ) from None
    known = {measurement.stage for measurement in manifest.measurements}
    for file in manifest.files:
        if (
            file.table is not None
            and file.table not in ("image", "sample")
            and file.stage not in known
        ):
            raise ValueError(
                f"{path}: {file.path} is of stage {file.stage!r}, which has no measurement; "
                f"there are {sorted(known)}."
            )
    return manifest


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Every file is there with the size it had; every file of rows has the bytes it had.

    Other files (SAEs, arrays between stages) are not read: they can be huge and are not loaded.
    """
    for file in manifest.files:
        path = folder / file.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{folder / 'manifest.json'}: {file.path} leads out of the folder.")
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; the manifest lists it. Copy the whole folder again."
            )
        size = path.stat().st_size
        if size != file.bytes:
            raise ValueError(
                f"{path} has {size} bytes, the manifest says {file.bytes}: it is truncated or "
                "was changed. Copy or build it again."
            )
        if file.table is None:
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != file.sha256:
            raise ValueError(
                f"{path} has sha256 {digest[:12]}..., the manifest says {file.sha256[:12]}...: "
                "its content was changed. Copy or build it again."
            )


def open_table_file(folder: Path, file: FileEntry) -> pq.ParquetFile:
    """A file of rows, with the rows and columns that the manifest promises."""
    path = folder / file.path
    try:
        opened = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} is not a readable Parquet file ({error}): it is truncated or damaged. "
            "Copy or build it again."
        ) from None
    if opened.metadata.num_rows != file.rows:
        raise ValueError(
            f"{path} has {opened.metadata.num_rows} rows, the manifest says {file.rows}. "
            "Copy or build it again."
        )
    columns = opened.schema_arrow.names
    if set(columns) != set(file.columns):
        raise ValueError(
            f"{path} has columns {sorted(columns)}, the manifest says {sorted(file.columns)}. "
            "Copy or build it again."
        )
    return opened


def _shortly(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 80 else said[:77] + "..."
