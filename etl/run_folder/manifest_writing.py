"""Close a run folder: the manifest lists every file with what produced it."""

from pathlib import Path
from typing import Any

from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.run_folder.artifacts import FORMAT, read_json
from feature_atlas.etl.run_folder.provenance import code_version, libraries
from feature_atlas.etl.run_folder.whole_files import write_json


def write_run_manifest(run: Path) -> Path:
    """Write ``manifest.json`` from the stages' records; the folder then loads anywhere."""
    inputs = read_json(run / "inputs.json")
    records = [read_json(f) for f in sorted(run.glob("*/stage.json"), key=_finished)]
    keys = {record["stage"]: record["key"] for record in records}
    commit, dirty = code_version()
    manifest = {
        "format": FORMAT,
        "slug": inputs["slug"],
        "config": inputs["config"],
        "config_hash": inputs["config_hash"],
        "code_version": commit,
        "dirty": dirty,
        "vlm": inputs["vlm"],
        "sae_set": inputs["sae_set"],
        "datasets": inputs["datasets"],
        "measurements": [_measurement(record, inputs, keys) for record in records],
        "files": [_file(entry, record) for record in records for entry in record["files"]],
    }
    write_json(run / "manifest.json", manifest)
    return run


def _measurement(
    record: dict[str, Any], inputs: dict[str, Any], keys: dict[str, str]
) -> dict[str, Any]:
    """A stage's provenance; code and libraries are those it ran with, not those of today."""
    config = inputs["config"]
    return {
        "stage": record["stage"],
        "params": record["params"],
        "params_hash": stable_hash(record["params"]),
        "input_fingerprint": record["key"],
        "inputs": _studied(inputs) | {read: keys[read] for read in record["reads"]},
        "seeds": [config["seed"]],
        "device": config["device"],
        "code_version": record.get("code_version"),  # a record of an older version has none
        "dirty": record.get("dirty"),
        "libraries": record.get("libraries") or libraries(),
        "started_at": record["started_at"],
        # the clock may have been set back under an older version
        "finished_at": max(record["started_at"], record["finished_at"]),
        "peak_main_bytes": record.get("peak_main_bytes"),
        "peak_device_bytes": record.get("peak_device_bytes"),
        "warnings": record.get("warnings", []),  # none in a record of an older version
    }


def _studied(inputs: dict[str, Any]) -> dict[str, str]:
    datasets = {dataset["name"]: dataset["fingerprint"] for dataset in inputs["datasets"]}
    known = inputs.get("fingerprints", {})
    others = {name: known[name] for name in known if name not in ("vlm", "sae")}
    return {
        "vlm": inputs["vlm"]["fingerprint"],
        "sae_set": inputs["sae_set"]["fingerprint"],
        **others,
    } | datasets


def _file(entry: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "stage": record["stage"]}


def _finished(file: Path) -> str:
    return str(read_json(file)["finished_at"])
