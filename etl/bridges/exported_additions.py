"""Measurements that came with an exported run: added again where it is ingested."""

from pathlib import Path

from sqlalchemy import Engine

from feature_atlas.etl.warehouse.addition import AdditionReport, add_folder


def add_exported(folder: Path, engine: Engine) -> list[AdditionReport]:
    """Add what `feature-atlas export run` left in `additions/`, in the order in which it came."""
    found = [file.parent for file in folder.glob("additions/*/manifest.json")]
    return [add_folder(place, engine) for place in sorted(found, key=_number)]


def _number(place: Path) -> int:
    """Folders are called <number>-<stage>; one that is not comes last."""
    number = place.name.partition("-")[0]
    return int(number) if number.isdigit() else 2**31
