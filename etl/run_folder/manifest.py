"""The manifest of a run folder: what it says, and whether that makes sense by itself."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from feature_atlas.etl.run_folder.strict_json import parse_strictly, repeated, shortly

FORMAT = 1
"""The layout of run folders that this version reads."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Small = Annotated[int, Field(ge=0, lt=2**15)]
Whole = Annotated[int, Field(ge=0, lt=2**31)]
Large = Annotated[int, Field(ge=0, lt=2**63)]


class Entry(BaseModel):
    """A part of the manifest; a number in quotes is no number."""

    model_config = ConfigDict(strict=True)


class VlmEntry(Entry):
    """The model studied; fields as in table `vlm`."""

    name: str
    revision: str | None
    fingerprint: str
    architecture: str
    n_layers: Small
    d_model: Whole
    n_heads: Small
    n_kv_heads: Small
    base_name: str
    base_fingerprint: str | None


class SaeSetEntry(Entry):
    """The base SAEs; fields as in table `sae_set`."""

    name: str
    release: str
    fingerprint: str
    gate: Literal["topk", "topk_before_norms", "threshold", "relu"]
    k: Whole | None
    threshold: list[FiniteFloat] | None = None  # None: topk
    d_sae: Annotated[Whole, Field(gt=0)]
    d_model: Whole
    hook_site: str
    layers: list[Small] = Field(min_length=1)
    activation_scale: list[FiniteFloat]


class DatasetEntry(Entry):
    """One dataset; `key` is its local number, the rest as in table `dataset`."""

    key: Whole
    name: str
    kind: Literal["vqav2", "vsr", "whatsup", "gqa"]
    split: str
    fingerprint: str
    n_samples: Large


class MeasurementEntry(Entry):
    """One execution of a stage; fields as in table `measurement`."""

    stage: str
    params: dict[str, Any]
    params_hash: str
    input_fingerprint: str
    seeds: list[Annotated[int, Field(ge=-(2**31), lt=2**31)]]
    device: str
    libraries: dict[str, str]
    code_version: str | None = None  # None: as the whole run says
    dirty: bool | None = None
    inputs: dict[str, str] = {}
    warnings: list[str] = []
    peak_main_bytes: Large | None = None
    peak_device_bytes: Large | None = None
    started_at: AwareDatetime
    finished_at: AwareDatetime


class FileEntry(Entry):
    """One file; `table` and its shape only for the rows of a table."""

    path: str = Field(min_length=1)
    stage: str
    bytes: Large
    sha256: Sha256
    table: str | None = None
    rows: Large = 0
    columns: dict[str, str] = {}


class Manifest(Entry):
    """Everything that one run left."""

    format: Literal[1]
    slug: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    config: dict[str, Any]
    config_hash: Sha256
    code_version: str
    dirty: bool
    vlm: VlmEntry
    sae_set: SaeSetEntry
    datasets: list[DatasetEntry]
    measurements: list[MeasurementEntry]
    files: list[FileEntry]
    adds_to: Sha256 | None = None  # config_hash of a published run: see addition_folder.py
    exported_checksum: Sha256 | None = None  # of the run in the atlas it was exported from

    @property
    def tables(self) -> dict[str, list[FileEntry]]:
        """Files of rows by table."""
        found: dict[str, list[FileEntry]] = {}
        for file in self.files:
            if file.table is not None:
                found.setdefault(file.table, []).append(file)
        return found

    def params(self, stage: str) -> dict[str, Any]:
        """What a stage was asked."""
        return next((m.params for m in self.measurements if m.stage == stage), {})

    @property
    def studied(self) -> dict[str, str]:
        """Fingerprints of the model, the SAEs and each dataset, by name."""
        datasets = {dataset.name: dataset.fingerprint for dataset in self.datasets}
        return {"vlm": self.vlm.fingerprint, "sae_set": self.sae_set.fingerprint} | datasets

    @property
    def name(self) -> str:
        """What the configuration is called; runs of one name supersede one another."""
        return str(self.config.get("name", self.slug))

    def checksum(self, stage: str | None = None) -> str:
        """One hash over the hashes of all files, or of one stage's files.

        An exported run keeps the hash that it had: its rows are the same in other files.
        """
        if stage is None and self.exported_checksum is not None:
            return self.exported_checksum
        lines = sorted(f"{f.sha256} {f.path}" for f in self.files if stage in (None, f.stage))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_run_manifest(folder: Path) -> Manifest:
    """The manifest of a whole run; an addition to one is refused."""
    manifest = read_manifest(folder)
    if manifest.adds_to is not None:
        raise ValueError(
            f"{folder / 'manifest.json'} adds to a run that is published already (adds_to). Add it "
            f"with `feature-atlas runs add {manifest.slug} {folder}`."
        )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest, or an error that says what is wrong with it."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path}: expected a finished run folder. A stage writes it last; finish the run "
            "with `feature-atlas build`."
        )
    content = path.read_bytes()
    try:
        said = parse_strictly(content)
    except ValueError as error:
        raise _refuse(path, str(error)) from None
    _verify_format(path, said)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _refuse(path, f"{where}: {first['msg']}; found {shortly(first['input'])}") from None
    for complaint in _contradictions(manifest):
        raise _refuse(path, complaint)
    return manifest


def _refuse(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path}: {what}. The folder was written by another version, or the file is damaged: "
        "build the run again."
    )


def _verify_format(path: Path, said: object) -> None:
    """An object, of a format that this version reads."""
    if not isinstance(said, dict):
        raise _refuse(path, f"it holds {type(said).__name__}, expected an object")
    version = said.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise ValueError(
            f"{path} is of format {version}; this version reads format {FORMAT}. A newer "
            "feature-atlas wrote the folder: upgrade this one, or build the run with it."
        )


def _contradictions(manifest: Manifest) -> Iterator[str]:
    """What cannot be, although each part is right by itself."""
    if not manifest.slug.endswith(manifest.config_hash[:8]):
        yield (
            f"the run is called {manifest.slug}, but its config_hash begins with "
            f"{manifest.config_hash[:8]}: parts of two runs"
        )
    layers, scales = manifest.sae_set.layers, manifest.sae_set.activation_scale
    if len(layers) != len(scales):
        yield f"sae_set has {len(layers)} layers and {len(scales)} activation_scale, one for each"
    k, thresholds = manifest.sae_set.k, manifest.sae_set.threshold
    if (k is None) != (thresholds is not None) or len(thresholds or layers) != len(layers):
        yield f"sae_set has k {k} and threshold {thresholds}: one of them, for each layer"
    stages = [measurement.stage for measurement in manifest.measurements]
    for what, values in (
        ("files.path", [file.path for file in manifest.files]),
        ("sae_set.layers", layers),
        ("datasets.key", [dataset.key for dataset in manifest.datasets]),
        ("datasets", [(d.name, d.split, d.fingerprint) for d in manifest.datasets]),
        ("measurements.stage", stages),
    ):
        double = repeated(values)
        if double is not None:
            yield f"{what}: {double!r} comes twice"
    for measurement in manifest.measurements:
        if measurement.finished_at < measurement.started_at:
            yield f"measurement {measurement.stage} finished before it started"
    for file in manifest.files:
        if file.table not in (None, "image", "sample") and file.stage not in stages:
            yield (
                f"{file.path} is of stage {file.stage!r}, which has no measurement; "
                f"there are {sorted(stages)}"
            )
