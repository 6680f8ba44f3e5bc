"""Loading a run folder: every value arrives once, where it belongs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from loading import count
from run_folder import read_rows, replace_rows
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.table_rows import DENSE, LOCAL, SPARSE, expected_columns, table_of
from feature_atlas.etl.warehouse.load import ingest


@pytest.fixture
def folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil."""
    return Path(shutil.copytree(run_folder, tmp_path / run_folder.name))


KEYS = "regime skill layer feature tokens_seen source rank prompt_no variant method head_layer head"
KEYS = {*KEYS.split(), "sample", "evaluation", "control_no", "role", "condition", "intervention"}
KEYS |= {"kind", "name", "n_features", "place", "alpha", "piece"}


@pytest.mark.parametrize("table", [*DENSE, *SPARSE])
def test_every_value_of_a_table_arrives(table: str, loaded_engine: Engine, run_folder: Path):
    rename = {
        "regime_id": "regime.name",
        "skill_id": "skill.name",
        "sample_id": "sample.external_id",
    }
    names = [c.name for c in expected_columns(table_of(table)).values()]
    joins = "".join(
        f" JOIN atlas.{LOCAL[name]} ON {LOCAL[name]}.id = fact.{name}"
        for name in names
        if name in rename
    )
    chosen = ", ".join(f"{rename.get(n, f'fact.{n}')} AS {LOCAL.get(n, n)}" for n in names)
    found = pd.read_sql(f"SELECT {chosen} FROM atlas.{table} AS fact{joins}", loaded_engine)

    written = read_rows(run_folder, table).to_pandas()
    if "sample" in written:
        external = read_rows(run_folder, "sample").to_pandas().set_index("sample").external_id
        written["sample"] = written["sample"].map(external)

    keys = [name for name in written.columns if name in KEYS]
    assert len(found) == len(written) > 0
    written, found = (f.sort_values(keys, ignore_index=True) for f in (written, found))
    for name in written.columns:
        assert exact(found[name]) == exact(written[name]), name


def exact(values: pd.Series) -> list[object]:
    """Values to compare: single precision, since the database prints no more digits than that."""
    is_list = isinstance(values.iloc[0], (list, np.ndarray))
    if is_list and not any(isinstance(part, str) for value in values for part in value):
        return [np.array(value, np.float32).tolist() for value in values]
    if values.dtype == np.float64 and values.name not in ("p_value", "q_value", "mcnemar_p"):
        values = values.astype(np.float32)
    return [None if not is_list and pd.isna(v) else list(v) if is_list else v for v in values]


def test_images_and_samples_arrive_with_bytes_and_truth(loaded_engine: Engine, run_folder: Path):
    images = read_rows(run_folder, "image").to_pylist()
    samples = read_rows(run_folder, "sample").to_pylist()

    with loaded_engine.connect() as connection:
        thumbnails = dict(
            connection.execute(text("SELECT sha256, thumbnail FROM atlas.image")).all()
        )
        rows = connection.execute(
            text(
                "SELECT d.name, s.external_id, s.question, s.question_type, s.truth, i.sha256"
                " FROM atlas.sample s JOIN atlas.dataset d ON d.id = s.dataset_id"
                " JOIN atlas.image i ON i.id = s.image_id"
            )
        ).all()

    assert {image["sha256"]: image["thumbnail"] for image in images} == {
        key: bytes(value) for key, value in thumbnails.items()
    }
    datasets = ("vqav2-val", "vsr-test")
    assert sorted(rows, key=str) == sorted(
        (
            (
                datasets[s["dataset"]],
                s["external_id"],
                s["question"],
                s["question_type"],
                json.loads(s["truth"]),
                images[s["image"]]["sha256"],
            )
            for s in samples
        ),
        key=str,
    )


def test_the_wide_row_repeats_the_narrow_tables(loaded_engine: Engine):
    query = """
        SELECT f.*, d.cosine AS d_cosine, i.cosine AS i_cosine, v.energy_question, s.odds_ratio
        FROM atlas.feature_record f
        JOIN atlas.decoder_cosine d USING (run_id, layer, feature)
        JOIN atlas.decoder_cosine i USING (run_id, layer, feature)
        JOIN atlas.visual_energy v USING (run_id, layer, feature)
        JOIN atlas.firing_shift s USING (run_id, layer, feature)
        WHERE d.regime_id = 1 AND i.regime_id = 2
          AND s.skill_id = (SELECT id FROM atlas.skill WHERE name = 'spatial')
    """
    rows = pd.read_sql(query, loaded_engine)

    assert len(rows) == 2 * 64
    assert (rows.cosine == rows.d_cosine).all()
    assert (rows.cosine_image == rows.i_cosine).all()
    assert (rows.visual_energy == rows.energy_question).all()
    assert (rows.spatial_odds_ratio == rows.odds_ratio).all()
    assert rows.groupby("layer")[["is_adapted", "is_spatial_candidate", "survives_spatial"]].sum(
    ).to_numpy().tolist() == [[16, 6, 4], [16, 6, 4]]  # fmt: skip
    assert rows.ocr_odds_ratio.notna().all()
    assert rows.is_ocr_candidate.sum() == 2
    assert not rows.survives_ocr.any()


def test_the_run_and_its_measurements_say_where_numbers_come_from(
    loaded_engine: Engine, run_folder: Path
):
    manifest = json.loads((run_folder / "manifest.json").read_text())
    runs = pd.read_sql("SELECT * FROM atlas.run", loaded_engine)
    measurements = pd.read_sql("SELECT * FROM atlas.measurement", loaded_engine)

    assert runs[["slug", "state", "config_hash"]].to_numpy().tolist() == [
        [manifest["slug"], "published", manifest["config_hash"]]
    ]
    assert runs.config[0] == manifest["config"]
    assert set(measurements.stage) == {m["stage"] for m in manifest["measurements"]}
    of_energy = measurements.set_index("stage").loc["visual_energy"]
    assert of_energy.rows == 2 * 64 + 2 * 3  # a row per feature; per layer and condition
    assert len(of_energy.checksum) == 64


def test_the_report_counts_rows_and_progress_reaches_its_end(engine: Engine, run_folder: Path):
    steps: dict[str, tuple[int, int]] = {}

    report = ingest(
        run_folder, engine, lambda step, done, total: steps.update({step: (done, total)})
    )

    assert report.rows["decoder_cosine"] == 6 * 2 * 64
    assert report.rows["feature_record"] == 2 * 64
    assert list(steps) == ["hash", "verify", "copy", "index", "record", "publish"]
    assert list(report.seconds) == list(steps)[1:]
    assert all(done == total for done, total in steps.values())


def test_optional_tables_and_columns_may_be_missing(engine: Engine, folder: Path):
    replace_rows(folder, "sample", read_rows(folder, "sample").drop(["truth", "relation"]))
    manifest = json.loads((folder / "manifest.json").read_text())
    optional = ("firing_shift", "candidate", "neutral_prompt", "auto_interp", "overlay", "ablation")
    manifest["files"] = [f for f in manifest["files"] if f.get("table") not in optional]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    ingest(folder, engine)

    rows = pd.read_sql("SELECT * FROM atlas.feature", engine)
    assert len(rows) == 2 * 64
    assert rows.spatial_odds_ratio.isna().all()
    assert not rows.is_spatial_candidate.any()


def test_a_set_of_saes_with_thresholds_has_no_k(engine: Engine, folder: Path):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sae_set"] |= {"gate": "threshold", "k": None, "threshold": [1.5, 2.0]}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    ingest(folder, engine)

    (row,) = pd.read_sql("SELECT gate, k, threshold FROM atlas.sae_set", engine).itertuples()
    assert (row.gate, row.k, row.threshold) == ("threshold", None, [1.5, 2.0])


def test_whole_numbers_and_doubles_of_other_widths_are_taken(engine: Engine, folder: Path):
    rows = read_rows(folder, "selection")
    wide = pa.table(
        {
            "layer": rows["layer"].cast(pa.int64()),
            "feature": rows["feature"].cast(pa.uint16()),
            "is_adapted": rows["is_adapted"],
            "cosine_rank": rows["cosine_rank"].cast(pa.float64()),
        }
    )
    replace_rows(folder, "selection", wide)

    ingest(folder, engine)

    assert count(engine, "atlas.selection") == 2 * 64


def test_an_empty_table_is_no_error(engine: Engine, folder: Path):
    empty = pa.table({name: pa.array([]) for name in read_rows(folder, "example").column_names})
    replace_rows(folder, "example", empty)

    assert ingest(folder, engine).rows["example"] == 0


def test_a_user_skill_gets_its_own_row(engine: Engine, folder: Path):
    rows = read_rows(folder, "firing_shift").to_pandas()
    rows["skill"] = rows["skill"].replace("ocr", "counting")
    replace_rows(folder, "firing_shift", pa.Table.from_pandas(rows, preserve_index=False))

    ingest(folder, engine)

    with engine.connect() as connection:
        names = connection.scalars(text("SELECT name FROM atlas.skill ORDER BY id")).all()
    assert names == ["spatial", "ocr", "vsr", "counting"]
    assert pd.read_sql("SELECT ocr_odds_ratio FROM atlas.feature", engine).isna().all().all()
