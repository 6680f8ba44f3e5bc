"""Measurements that are made after their run was published, and what they may change."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from run_folder import read_rows, sha256
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.manifest import MeasurementEntry
from feature_atlas.etl.warehouse.addition import AdditionReport, add_measurement


def entry(stage: str, **params: object) -> MeasurementEntry:
    """The provenance of a measurement that was made later."""
    return MeasurementEntry(
        stage=stage,
        params=params,
        params_hash=sha256(json.dumps(params).encode()),
        input_fingerprint="f" * 64,
        seeds=[7],
        device="cuda:0",
        libraries={"numpy": np.__version__},
        code_version="later",
        dirty=True,
        inputs={"labels": "f" * 64},
        started_at=datetime(2026, 11, 23, tzinfo=UTC),
        finished_at=datetime(2026, 11, 23, 1, tzinfo=UTC),
    )


def labels(whole: Path, **changed: object) -> pa.Table:
    """Descriptions by another model, whose F1 is perfect."""
    rows = read_rows(whole, "auto_interp").to_pandas()
    changed = {"model": "another", "description": "sees left of", "f1": np.float32(1)} | changed
    return pa.Table.from_pandas(rows.assign(**changed), preserve_index=False)


def shift(whole: Path, skill: str) -> dict[str, pa.Table]:
    """What another skill's measurement holds: firing, candidates, neutral prompts."""
    firing = read_rows(whole, "firing_shift").to_pandas()
    of_ocr = firing[firing.skill == "ocr"].assign(skill=skill)
    candidate, neutral = (
        read_rows(whole, table).to_pandas().assign(skill=skill)
        for table in ("candidate", "neutral_prompt")
    )
    return {
        "firing_shift": pa.Table.from_pandas(of_ocr, preserve_index=False),
        "candidate": pa.Table.from_pandas(candidate, preserve_index=False),
        "neutral_prompt": pa.Table.from_pandas(neutral, preserve_index=False),
    }


def add(atlas: Engine, made: MeasurementEntry, rows: dict[str, pa.Table]) -> AdditionReport:
    return add_measurement(atlas, 1, made, rows)


def digest(engine: Engine) -> dict[str, str]:
    """A checksum of every table that can change when a measurement joins."""
    tables = "measurement run auto_interp firing_shift candidate neutral_prompt feature_record"
    with engine.connect() as connection:
        return {
            table: str(
                connection.scalar(
                    text(
                        f"SELECT md5(string_agg(fact::text, ';' ORDER BY fact::text))"
                        f" FROM atlas.{table} AS fact"
                    )
                )
            )
            for table in (*tables.split(), "skill", "sample", "image", "overlay", "dataset")
        }


def staged(engine: Engine) -> int:
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'atlas_staging'"
    with engine.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def refusal(atlas: Engine, made: MeasurementEntry, rows: dict[str, pa.Table]) -> str:
    """Why an addition is refused; nothing may have come of it."""
    before = digest(atlas)
    with pytest.raises(ValueError) as refused:
        add(atlas, made, rows)
    assert digest(atlas) == before
    assert staged(atlas) == 0
    return str(refused.value)
