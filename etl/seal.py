"""Close a run folder: the manifest lists every file with what produced it."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from feature_atlas.etl.artifacts import FORMAT, read_json, write_json
from feature_atlas.etl.config import stable_hash

LIBRARIES = ("torch", "transformers", "sae-lens", "numpy", "feature-atlas")


def seal_run(run: Path) -> Path:
    """Write ``manifest.json`` from the stages' records; the folder then loads anywhere."""
    inputs = read_json(run / "inputs.json")
    records = [read_json(f) for f in sorted(run.glob("*/stage.json"), key=_finished)]
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
        "measurements": [_measurement(record, inputs) for record in records],
        "files": [_file(entry, record) for record in records for entry in record["files"]],
    }
    write_json(run / "manifest.json", manifest)
    return run


def code_version() -> tuple[str, bool]:
    """Commit and whether the tree was dirty; the package's version outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit, bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return f"feature-atlas {_installed('feature-atlas')}", False


def libraries() -> dict[str, str]:
    """Versions that the numbers depend on."""
    return {name: _installed(name) for name in LIBRARIES} | {"python": platform.python_version()}


def _measurement(record: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    config = inputs["config"]
    return {
        "stage": record["stage"],
        "params": record["params"],
        "params_hash": stable_hash(record["params"]),
        "input_fingerprint": record["key"],
        "seeds": [config["seed"]],
        "device": config["device"],
        "libraries": libraries(),
        "started_at": record["started_at"],
        "finished_at": record["finished_at"],
    }


def _file(entry: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "stage": record["stage"]}


def _finished(file: Path) -> str:
    return str(read_json(file)["finished_at"])


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
