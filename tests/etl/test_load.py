"""Loading a run folder: every value arrives once; what is wrong is named and not published."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from run_folder import read_rows, replace_rows, replace_value, seal, table_file, write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.load import ingest
from feature_atlas.etl.table_rows import DENSE, LOCAL, SPARSE, expected_columns, table_of
from feature_atlas.models.session import make_engine


@pytest.fixture
def folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil."""
    return Path(shutil.copytree(run_folder, tmp_path / run_folder.name))


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def refusal(folder: Path, engine: Engine) -> str:
    """What the loader says of a bad folder; nothing may have come of it."""
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        ingest(folder, engine)
    for table in ("run", "measurement", "image", "sample", "feature_record", "decoder_cosine"):
        assert count(engine, f"atlas.{table}") == 0
    return str(refused.value)


KEYS = "regime skill layer feature tokens_seen source rank prompt_no variant method head_layer head"
KEYS = {*KEYS.split(), "sample", "evaluation", "control_no"}


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
    if is_list and not isinstance(values.iloc[0][0], str):
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
    assert of_energy.rows == 2 * 64
    assert len(of_energy.checksum) == 64


def test_loading_twice_is_loading_once(engine: Engine, run_folder: Path):
    first = ingest(run_folder, engine)
    with engine.connect() as connection:
        before = connection.execute(text("SELECT * FROM atlas.run")).all()

    second = ingest(run_folder, engine)

    assert (first.status, second.status) == ("published", "already published")
    assert second.run_id == first.run_id
    assert second.rows == {}
    assert count(engine, "atlas.feature_record") == 2 * 64
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM atlas.run")).all() == before


def test_the_report_counts_rows_and_progress_reaches_its_end(engine: Engine, run_folder: Path):
    steps: dict[str, tuple[int, int]] = {}

    report = ingest(
        run_folder, engine, lambda step, done, total: steps.update({step: (done, total)})
    )

    assert report.rows["decoder_cosine"] == 4 * 2 * 64
    assert report.rows["feature_record"] == 2 * 64
    assert list(steps) == list(report.seconds) == ["verify", "copy", "index", "record", "publish"]
    assert all(done == total for done, total in steps.values())


def test_a_new_run_supersedes_the_old_one_and_shares_its_images(
    engine: Engine, run_folder: Path, tmp_path: Path
):
    first = ingest(run_folder, engine)
    second = ingest(write_run_folder(tmp_path, seed=1), engine)

    with engine.connect() as connection:
        states = connection.execute(text("SELECT id, state, parent_id FROM atlas.run ORDER BY id"))
        assert states.all() == [
            (first.run_id, "superseded", None),
            (second.run_id, "published", first.run_id),
        ]
        assert connection.scalar(text("SELECT id FROM atlas.current_run")) == second.run_id
    assert count(engine, "atlas.feature") == 2 * 64
    assert count(engine, "atlas.feature_all_runs") == 2 * 2 * 64
    assert (count(engine, "atlas.image"), count(engine, "atlas.sample")) == (6, 24)
    assert ingest(run_folder, engine).status == "already published"


def test_a_run_of_another_name_supersedes_nothing(engine: Engine, run_folder: Path, tmp_path: Path):
    ingest(run_folder, engine)
    ingest(write_run_folder(tmp_path, name="other"), engine)

    with engine.connect() as connection:
        states = connection.scalars(text("SELECT state FROM atlas.run")).all()
    assert states == ["published", "published"]


def test_a_flipped_byte_is_named(engine: Engine, folder: Path):
    path = table_file(folder, "visual_energy")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    assert f"{path} has sha256" in refusal(folder, engine)


def test_a_file_of_another_size_is_named(engine: Engine, folder: Path):
    other = folder / "adapt" / "note.txt"
    other.write_text("")

    assert f"{other} has 0 bytes, the manifest says 21" in refusal(folder, engine)


def test_a_missing_file_is_named(engine: Engine, folder: Path):
    path = table_file(folder, "overlay")
    path.unlink()

    assert f"{path} is missing" in refusal(folder, engine)


def test_a_truncated_file_is_named(engine: Engine, folder: Path):
    path = table_file(folder, "ablation")
    path.write_bytes(path.read_bytes()[:-100])
    seal(folder)  # truncated before the manifest was written

    assert f"{path} is not a readable Parquet file" in refusal(folder, engine)


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "complaint"),
    [
        ("decoder_cosine", "cosine", 70, float("nan"), "cosine is nan, expected -1 to 1"),
        ("decoder_cosine", "cosine", 3, 1.5, "cosine is 1.5, expected -1 to 1"),
        ("decoder_cosine", "best_base_feature", 3, 64, "best_base_feature is 64, expected 0 to 63"),
        ("decoder_cosine", "regime", 0, "imaeg", "regime is 'imaeg', expected one of text, image"),
        (
            "visual_energy",
            "energy_image",
            127,
            float("inf"),
            "energy_image is inf, expected a finite",
        ),
        ("visual_energy", "fired_image", 5, -1, "fired_image is -1, expected 0 to"),
        ("selection", "layer", 9, 7, "layer 7 has no SAE; the run has layers [0, 1]"),
        ("firing_shift", "delta_p", 0, None, "delta_p is missing"),
        ("example", "sample", 4, 99, "sample 99 is not in the run's table sample"),
        ("example", "source", 4, "gqa", "source is 'gqa', expected one of vqav2, vsr"),
        (
            "example",
            "activations",
            7,
            [0.0, -2.0],
            "activations is -2.0, expected a finite number from 0",
        ),
        ("overlay", "weights", 2, [float("nan")] * 16, "weights is nan"),
        ("auto_interp", "raw_reply", 1, "a\x00b", "raw_reply contains a zero byte"),
        ("sample", "truth", 3, "{", "truth is not JSON"),
        ("sample", "image", 3, 17, "image 17 is not in the run's table image"),
        ("sample", "dataset", 0, 2, "dataset 2 is not in the run's table dataset"),
    ],
)
def test_a_bad_value_is_named_with_its_file_and_row(
    table: str, column: str, row: int, value: object, complaint: str, engine: Engine, folder: Path
):
    path = replace_value(folder, table, column, row, value)

    said = refusal(folder, engine)

    assert said.startswith(f"{path}, row {row}: ")
    assert complaint in said


def test_a_repeated_feature_is_named(engine: Engine, folder: Path):
    path = replace_value(folder, "decoder_cosine", "feature", 64 + 5, 4)

    said = refusal(folder, engine)

    assert f"{path}, row 69: the key (regime text, layer 1, feature 4) comes twice" in said


def test_a_repeated_key_of_a_sparse_table_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "candidate")
    path = replace_rows(folder, "candidate", pa.concat_tables([rows, rows.slice(2, 1)]))

    said = refusal(folder, engine)

    assert f"{path}, row 12: the key (skill spatial, layer 0, feature 2) comes twice" in said


def test_a_missing_feature_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "visual_energy")
    replace_rows(folder, "visual_energy", pa.concat_tables([rows.slice(0, 80), rows.slice(81)]))

    said = refusal(folder, engine)

    assert "visual_energy has 63 of 64 features for layer 1; the first missing is 16" in said


def test_a_missing_column_is_named(engine: Engine, folder: Path):
    path = replace_rows(folder, "selection", read_rows(folder, "selection").drop(["cosine_rank"]))

    assert f"{path} has no column cosine_rank; table selection needs" in refusal(folder, engine)


def test_an_unknown_column_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "selection")
    path = replace_rows(folder, "selection", rows.append_column("mood", rows["feature"]))

    assert f"{path} has columns mood that table selection does not know" in refusal(folder, engine)


def test_a_column_of_another_kind_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "selection")
    position = rows.column_names.index("is_adapted")
    words = pa.array(["yes"] * len(rows))
    path = replace_rows(folder, "selection", rows.set_column(position, "is_adapted", words))

    said = refusal(folder, engine)

    assert f"{path}: column is_adapted is string, expected true or false" in said


def test_a_folder_without_a_manifest_is_refused(engine: Engine, tmp_path: Path):
    assert "expected a finished run folder" in refusal(tmp_path, engine)


def test_a_manifest_that_lacks_something_is_refused(engine: Engine, folder: Path):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sae_set"]["d_sae"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "manifest.json: sae_set.d_sae: Field required" in refusal(folder, engine)


def test_a_needed_table_without_rows_is_refused(engine: Engine, folder: Path):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [f for f in manifest["files"] if f.get("table") != "selection"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "lists no rows for selection" in refusal(folder, engine)


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


KILLED = """
import os, signal, sys
from pathlib import Path
from feature_atlas.etl.load import ingest
from feature_atlas.models.session import make_engine

def die(step, done, total):
    if step == sys.argv[3] and done * 2 >= total:
        os.kill(os.getpid(), signal.SIGKILL)

ingest(Path(sys.argv[1]), make_engine(sys.argv[2]), die)
"""


@pytest.mark.parametrize("step", ["copy", "index", "record"])
def test_a_killed_load_leaves_nothing_visible_and_the_next_one_succeeds(
    step: str, fresh_url: str, engine: Engine, run_folder: Path
):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(run_folder), fresh_url, step])
    assert killed.returncode == -signal.SIGKILL

    for table in ("feature", "feature_record", "decoder_cosine", "example", "sample", "image"):
        assert count(engine, f"atlas.{table}") == 0
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT state FROM atlas.run")).all() == ["building"]

    assert wait_for_load(run_folder, engine) == "published"
    assert count(engine, "atlas.feature") == 2 * 64
    assert staging_tables(engine) == []


def wait_for_load(run_folder: Path, engine: Engine) -> str:
    """The dead loader's connection may hold its lock for a moment."""
    for _ in range(100):
        try:
            return ingest(run_folder, engine).status
        except RuntimeError:  # another process is loading
            os.sched_yield()
    return "never"


def staging_tables(engine: Engine) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'atlas_staging'"
    with engine.connect() as connection:
        return list(connection.scalars(text(query)))


def test_a_failure_in_the_middle_is_undone(engine: Engine, run_folder: Path):
    def fail(step: str, done: int, total: int) -> None:
        if step == "record":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(run_folder, engine, fail)

    assert staging_tables(engine) == []
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT state FROM atlas.run")).all() == ["failed"]
    assert ingest(run_folder, engine).status == "published"


def test_two_loads_of_one_run_at_a_time_are_refused(
    engine: Engine, fresh_url: str, run_folder: Path
):
    other = make_engine(fresh_url)

    def try_another(step: str, done: int, total: int) -> None:
        if step == "record":
            with pytest.raises(RuntimeError, match="another process is loading synthetic-"):
                ingest(run_folder, other)

    assert ingest(run_folder, engine, try_another).status == "published"
    other.dispose()


def test_a_reader_with_an_open_transaction_does_not_hold_up_publication(
    engine: Engine, fresh_url: str, run_folder: Path
):
    with psycopg.connect(fresh_url.replace("+psycopg", "")) as reader:
        reader.execute("SELECT count(*) FROM atlas.feature_all_runs").fetchone()

        assert ingest(run_folder, engine).status == "published"


def test_dense_rows_lie_in_partitions_of_their_own(engine: Engine, run_folder: Path):
    run = ingest(run_folder, engine).run_id
    query = text("""
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE child.relkind = 'r' AND child.relnamespace = 'atlas'::regnamespace ORDER BY 1
    """)
    with engine.connect() as connection:
        partitions = connection.scalars(query).all()
        invalid = connection.scalars(
            text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        ).all()

    assert partitions == [f"{table}_run_{run}" for table in sorted([*DENSE, "feature_record"])]
    assert invalid == []
