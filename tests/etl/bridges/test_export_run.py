"""A run taken out of one atlas and loaded into another is the same run."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from databases import create_database, drop_database
from delphi_folder import write_delphi
from run_folder import read_rows
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_run import export_run
from feature_atlas.etl.bridges.exported_additions import add_exported
from feature_atlas.etl.bridges.import_delphi import import_delphi
from feature_atlas.etl.run_folder.manifest import MeasurementEntry, read_manifest
from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE, table_of
from feature_atlas.etl.warehouse.addition import add_measurement
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine, make_reader_engine

FACTS = (*DENSE, *SPARSE, "feature_record")


@pytest.fixture
def elsewhere(postgres_url: str, template_database: str) -> Iterator[Engine]:
    """Another atlas; what it has numbered before is not what the first one has."""
    url = create_database(postgres_url, "elsewhere", template_database)
    engine = make_engine(url)
    with engine.begin() as connection:
        for table in ("run", "vlm", "sae_set", "dataset", "image", "sample", "measurement"):
            sequence = f"pg_get_serial_sequence('atlas.{table}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, 4711)"))
    yield engine
    engine.dispose()
    drop_database(postgres_url, "elsewhere")


def fingerprints(engine: Engine) -> dict[str, str]:
    """md5 of every fact table's rows, with names in the place of the database's own numbers."""
    with engine.connect() as connection:
        return {table: _fingerprint(connection, table) for table in FACTS}


def _fingerprint(connection, table: str) -> str:
    names = {
        "run_id": "(SELECT slug FROM atlas.run WHERE id = run_id)",
        "measurement_id": "(SELECT stage || params_hash FROM atlas.measurement AS made"
        " WHERE made.id = measurement_id)",
        "sample_id": "(SELECT name || external_id FROM atlas.sample JOIN atlas.dataset"
        " ON dataset.id = dataset_id WHERE sample.id = sample_id)",
    }
    columns = [c.name for c in table_of(table).columns if c.name != "id"]
    row = ", ".join(f"({names.get(name, name)})::text" for name in columns)
    query = f"""
        SELECT count(*) || ' rows ' || md5(string_agg(line, E'\\n' ORDER BY line))
        FROM (SELECT concat_ws('|', {row}) AS line FROM atlas.{table}) AS lines
    """
    return str(connection.scalar(text(query)))


def provenance(engine: Engine) -> list[tuple]:
    query = """
        SELECT stage, params::text, params_hash, input_fingerprint, inputs::text, seeds, device,
            libraries::text, started_at, finished_at, code_version, dirty, added_at IS NOT NULL
        FROM atlas.measurement ORDER BY id
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_another_atlas_gets_the_same_facts(
    loaded_url: str, loaded_engine: Engine, run_folder: Path, elsewhere: Engine, tmp_path: Path
):
    done = export_run(make_reader_engine(loaded_url), run_folder.name, tmp_path / "out")

    assert ingest(done.folder, elsewhere).status == "published"
    assert all(" rows " in said and not said.startswith("0") for said in
               fingerprints(elsewhere).values())  # fmt: skip
    assert fingerprints(elsewhere) == fingerprints(loaded_engine)
    assert provenance(elsewhere) == provenance(loaded_engine)
    assert done.rows["decoder_cosine"] == 6 * 128


@pytest.mark.parametrize("table", ["run", "vlm", "sae_set", "dataset", "image", "sample"])
def test_what_the_facts_refer_to_comes_along(
    table: str, loaded_engine: Engine, run_folder: Path, elsewhere: Engine, tmp_path: Path
):
    ingest(export_run(loaded_engine, run_folder.name, tmp_path / "out").folder, elsewhere)

    numbers = {"id", "vlm_id", "sae_set_id", "dataset_id", "image_id", "parent_id"}
    moments = {"created_at", "published_at"}  # of the load
    names = [c.name for c in table_of(table).columns if c.name not in numbers | moments]
    query = text(f"SELECT {', '.join(names)} FROM atlas.{table} ORDER BY {', '.join(names)}")
    with loaded_engine.connect() as one, elsewhere.connect() as other:
        assert other.execute(query).all() == one.execute(query).all() != []


def test_added_measurements_come_along_as_additions(
    published_engine: Engine, run_folder: Path, elsewhere: Engine, tmp_path: Path
):
    engine = published_engine
    import_delphi(engine, run_folder.name, write_delphi(tmp_path / "delphi"))
    done = export_run(engine, run_folder.name, tmp_path / "out")

    ingest(done.folder, elsewhere)
    assert [one.status for one in add_exported(done.folder, elsewhere)] == ["added"]
    assert done.n_added == 1
    assert fingerprints(elsewhere) == fingerprints(engine)
    assert provenance(elsewhere) == provenance(engine)
    assert [one.status for one in add_exported(done.folder, elsewhere)] == ["already there"]


def without(folder: Path, stage: str) -> tuple[MeasurementEntry, dict[str, pa.Table]]:
    """Take a stage out of a run folder; what an addition needs to bring it back."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = next(made for made in manifest["measurements"] if made["stage"] == stage)
    tables = {t: read_rows(folder, t) for t in ("image", "sample")}
    for file in manifest["files"]:
        if file["stage"] == stage:
            tables[file["table"]] = read_rows(folder, file["table"])
    manifest["measurements"].remove(entry)
    manifest["files"] = [file for file in manifest["files"] if file["stage"] != stage]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return MeasurementEntry.model_validate_json(json.dumps(entry)), tables


def test_additions_that_name_samples_bring_them(
    engine: Engine, elsewhere: Engine, run_folder: Path, tmp_path: Path
):
    folder = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    datasets = read_manifest(folder).datasets
    late = [without(folder, stage) for stage in ("firing_shift", "overlay", "ablation")]
    run = ingest(folder, engine).run_id
    for number, (entry, tables) in enumerate(late):
        name = "over lay" if entry.stage == "overlay" else entry.stage
        entry = entry.model_copy(update={"stage": name, "params_hash": str(number)})
        add_measurement(engine, run, entry, tables, datasets)
    done = export_run(engine, str(run), tmp_path / "out")

    ingest(done.folder, elsewhere)
    add_exported(done.folder, elsewhere)
    assert done.n_added == 3
    assert fingerprints(elsewhere) == fingerprints(engine)
    assert provenance(elsewhere) == provenance(engine)
    names = sorted(path.name for path in (done.folder / "additions").iterdir())
    assert names[0] == "1-firing_shift"
    assert names[1].startswith("2-stage-")  # a stage may be called anything, a folder not
    assert names[2] == "3-ablation"


def test_loading_it_where_it_comes_from_changes_nothing(
    loaded_engine: Engine, run_folder: Path, tmp_path: Path
):
    done = export_run(loaded_engine, run_folder.name, tmp_path / "out")

    assert ingest(done.folder, loaded_engine).status == "already published"


def test_the_manifest_lists_every_file_with_its_hash(
    loaded_engine: Engine, run_folder: Path, tmp_path: Path
):
    folder = export_run(loaded_engine, run_folder.name, tmp_path / "out").folder
    listed = json.loads((folder / "manifest.json").read_text())["files"]

    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {entry["path"] for entry in listed} == there - {"manifest.json"}
    for entry in listed:
        content = (folder / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()


def test_reviews_lie_beside_and_the_readme_says_what_is_missing(
    published_engine: Engine, tmp_path: Path
):
    engine, run = published_engine, 1
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO atlas.review (run_id, layer, feature, verdict, note, reviewer)"
                 " VALUES (:run, 0, 1, 'reject', 'too broad', 'Ada')"), {"run": run}
        )  # fmt: skip
    folder = export_run(engine, str(run), tmp_path / "out").folder

    assert pq.read_table(folder / "review.parquet")["note"].to_pylist() == ["too broad"]
    assert "SAE weights are not" in (folder / "README.md").read_text()


def test_a_run_that_is_not_there_leaves_no_folder(loaded_engine: Engine, tmp_path: Path):
    with pytest.raises(ValueError, match="no run 'nonsense'"):
        export_run(loaded_engine, "nonsense", tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(loaded_engine: Engine, run_folder: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")

    with pytest.raises(ValueError, match="is there already"):
        export_run(loaded_engine, run_folder.name, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_an_export_sees_one_moment(
    engine: Engine, fresh_url: str, run_folder: Path, tmp_path: Path, monkeypatch
):
    """A measurement that joins while the files are written is in none of them."""
    ingest(run_folder, engine)
    delphi = write_delphi(tmp_path / "delphi")
    from feature_atlas.etl.bridges import export_run as module

    write = module._write_what

    def add_meanwhile(*given):
        import_delphi(engine, run_folder.name, delphi)
        return write(*given)

    monkeypatch.setattr(module, "_write_what", add_meanwhile)
    done = export_run(engine, run_folder.name, tmp_path / "out")

    assert done.n_added == 0
    with psycopg.connect(fresh_url.replace("+psycopg", "")) as connection:
        now = connection.execute("SELECT count(*) FROM atlas.auto_interp").fetchone()
    assert now == (done.rows["auto_interp"] + 3,)
