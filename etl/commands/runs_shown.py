"""One run on the terminal: what it is, its line, its measurements, its rows, its funnel."""

from typing import Any

import yaml
from rich.console import Console

from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.etl.warehouse.runs import RunDescription

SHORT = 12
"""Characters shown of a hash; `runs show --json` has all of them."""


def print_run(console: Console, described: RunDescription) -> None:
    """Everything that the atlas knows of a run, hashes shortened."""
    run = described.run
    console.print(f"[bold]{run['slug']}[/bold]  id {run['id']}, {run['state']}")
    print_rows(console, "Run", [{"": name, "is": value} for name, value in _facts(described)])
    console.print("Configuration")
    settings = yaml.safe_dump(run["config"], sort_keys=False, allow_unicode=True)
    console.print(settings, markup=False, highlight=False)
    print_rows(console, "Datasets", [_shortened(row) for row in described.datasets])
    print_rows(console, "Against the model's own forward", described.forward)
    print_rows(console, "Measurements", [_measured(row) for row in described.measurements])
    print_rows(console, "What they read and ran on", [_ran_on(m) for m in described.measurements])
    print_rows(console, "Warnings", described.warnings)
    print_rows(console, "Rows", [{"table": name, "rows": n} for name, n in described.rows.items()])
    print_rows(console, "Funnel", described.funnel)


def _facts(described: RunDescription) -> list[tuple[str, str]]:
    run = described.run
    published = run["published_at"]
    return [
        ("config hash", run["config_hash"]),
        ("checksum", run["checksum"]),
        ("code", _code(run)),
        ("created", f"{run['created_at']:%Y-%m-%d %H:%M:%S %Z}"),
        ("published", f"{published:%Y-%m-%d %H:%M:%S %Z}" if published else "never"),
        ("VLM", f"{run['vlm']}, {run['vlm_revision'] or 'local'}, {run['vlm_fingerprint']}"),
        ("base model", run["base_model"]),
        ("SAEs", f"{run['sae_set']}, {run['sae_release']}, {run['sae_fingerprint']}"),
        ("features", f"{run['n_layers']} layers of {run['d_sae']:,}"),
        ("ancestors", ", ".join(described.ancestors) or "none"),
        ("descendants", ", ".join(described.descendants) or "none"),
    ]


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    took = row["finished_at"] - row["started_at"]
    return {
        "stage": row["stage"],
        "rows": row["rows"],
        "seconds": round(took.total_seconds(), 1),
        "peak GB": _gigabytes(row["peak_main_bytes"]),
        "card GB": _gigabytes(row["peak_device_bytes"]),
        "finished": f"{row['finished_at']:%Y-%m-%d %H:%M:%S}",
        "device": row["device"],
        "seeds": ", ".join(map(str, row["seeds"])),
        "code": _code(row),
        "params": row["params_hash"][:SHORT],
        "checksum": row["checksum"][:SHORT],
        "added": f"{row['added_at']:%Y-%m-%d %H:%M:%S}" if row["added_at"] else None,
    }


def _gigabytes(n_bytes: int | None) -> float | None:
    return None if n_bytes is None else round(n_bytes / 1e9, 1)


def _ran_on(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage": row["stage"],
        "key": row["input_fingerprint"][:SHORT],
        "inputs": ", ".join(f"{name} {value[:SHORT]}" for name, value in row["inputs"].items()),
        "libraries": ", ".join(f"{name} {value}" for name, value in row["libraries"].items()),
    }


def _code(row: dict[str, Any]) -> str:
    return row["code_version"][:SHORT] + (" dirty" if row["dirty"] else "")


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"fingerprint": row["fingerprint"][:SHORT]}
