"""Runs as versions: found by name, shown with their provenance, promoted and dropped."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from databases import create_database, temporary_database
from run_folder import read_rows, write_run_folder
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.warehouse import drop
from feature_atlas.etl.warehouse.drop import drop_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.loader_lock import lock_key
from feature_atlas.etl.warehouse.promote import promote_run
from feature_atlas.etl.warehouse.runs import describe_run, list_runs, resolve_run, run_tables
from feature_atlas.etl.warehouse.table_rows import DENSE, SPARSE
from feature_atlas.models.session import make_engine

FACTS = (*DENSE, "feature_record", *SPARSE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of one lineage, oldest first, and one of another."""
    place = tmp_path_factory.mktemp("versions")
    return [
        *(write_run_folder(place, seed=seed) for seed in range(3)),
        write_run_folder(place, seed=3, name="other"),
    ]


@pytest.fixture(scope="module")
def filled(postgres_url: str, template_database: str, folders: list[Path]) -> str:
    """Name of a database with the other lineage's run and then the three; copied, never used."""
    engine = make_engine(create_database(postgres_url, "versions", template_database))
    for folder in (folders[3], *folders[:3]):
        ingest(folder, engine)
    engine.dispose()
    return "versions"


@pytest.fixture(scope="module")
def kept(postgres_url: str, filled: str) -> Iterator[Engine]:
    """The database with the four runs, shared by the tests that change nothing."""
    engine = make_engine(create_database(postgres_url, "versions_kept", filled))
    yield engine
    engine.dispose()


@pytest.fixture
def url(postgres_url: str, filled: str) -> Iterator[str]:
    """A database of the test's own with the four runs."""
    with temporary_database(postgres_url, filled) as url:
        yield url


@pytest.fixture
def atlas(url: str) -> Iterator[Engine]:
    """The database with the four runs."""
    engine = make_engine(url)
    yield engine
    engine.dispose()


def scalar(engine: Engine, sql: str, **values: object) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(sql), values)


def states(engine: Engine) -> dict[str, tuple[str, str | None]]:
    """State and parent of every run."""
    query = """
        SELECT run.slug, run.state, parent.slug
        FROM atlas.run LEFT JOIN atlas.run AS parent ON parent.id = run.parent_id
    """
    with engine.connect() as connection:
        return {slug: (state, parent) for slug, state, parent in connection.execute(text(query))}


def run_id(engine: Engine, folder: Path) -> int:
    with engine.connect() as connection:
        return resolve_run(connection, folder.name).id


def contents(engine: Engine, run: int) -> dict[str, str]:
    """A checksum of every table's rows of a run."""
    with engine.connect() as connection:
        return {
            table: str(
                connection.scalar(
                    text(
                        f"SELECT md5(string_agg(fact::text, ';' ORDER BY fact::text))"
                        f" FROM atlas.{table} AS fact WHERE run_id = :run"
                    ),
                    {"run": run},
                )
            )
            for table in (*FACTS, "measurement")
        }


def test_a_run_is_found_by_slug_start_of_slug_and_id(kept: Engine, folders: list[Path]):
    with kept.connect() as connection:
        run = resolve_run(connection, folders[0].name)

        assert resolve_run(connection, folders[0].name[:-1]) == run
        assert resolve_run(connection, str(run.id)) == run
        assert run.state == "superseded"


def test_an_ambiguous_name_is_refused_with_what_it_may_mean(kept: Engine, folders: list[Path]):
    with kept.connect() as connection, pytest.raises(ValueError, match="names 3 runs") as refused:
        resolve_run(connection, "synthetic")

    assert all(folder.name in str(refused.value) for folder in folders[:3])
    assert folders[3].name not in str(refused.value)


@pytest.mark.parametrize("named", ["nothing", "", "999", "%", "synthetic_"])
def test_an_unknown_name_is_refused_with_what_there_is(
    named: str, kept: Engine, folders: list[Path]
):
    with kept.connect() as connection, pytest.raises(ValueError, match="no run") as refused:
        resolve_run(connection, named)

    assert all(folder.name in str(refused.value) for folder in folders)


def test_the_list_says_what_each_run_is(kept: Engine, folders: list[Path]):
    with kept.connect() as connection:
        newest, *_, oldest = list_runs(connection)

    assert (newest["slug"], newest["state"]) == (folders[2].name, "published")
    assert newest["parent"] == run_id(kept, folders[1])
    assert (newest["SAEs"], newest["features"]) == ("tiny-scope", 128)
    assert (newest["code"], newest["measurements"], newest["added"]) == ("0123456789ab", 19, 0)
    assert oldest["slug"] == folders[3].name


def test_a_run_is_shown_with_its_line_its_rows_and_where_they_come_from(
    kept: Engine, folders: list[Path]
):
    manifest = json.loads((folders[1] / "manifest.json").read_text())
    with kept.connect() as connection:
        described = describe_run(connection, run_id(kept, folders[1]))

    assert described.ancestors == [folders[0].name]
    assert described.descendants == [folders[2].name]
    assert described.run["config"] == manifest["config"]
    assert described.rows == {
        table: 128 if table == "feature_record" else read_rows(folders[1], table).num_rows
        for table in FACTS
    }
    assert {step["step"]: step["features"] for step in described.funnel[:4]} == {
        "all features": 128,
        "adapted": 32,
        "candidates": 12,
        "survive neutral prompts": 8,
    }
    assert [dataset["name"] for dataset in described.datasets] == ["vqav2-val", "vsr-test"]
    of_energy = next(m for m in described.measurements if m["stage"] == "visual_energy")
    assert of_energy["inputs"] == {
        "vlm": "f0",
        "sae_set": "f1",
        "vqav2-val": "data-0",
        "vsr-test": "data-1",
    }
    assert (of_energy["code_version"], of_energy["dirty"]) == ("0123456789abcdef", False)
    assert (of_energy["seeds"], of_energy["device"], of_energy["rows"]) == ([1], "cpu", 134)
    assert (of_energy["finished_at"] - of_energy["started_at"]).total_seconds() == 9
    assert of_energy["added_at"] is None


def test_a_promoted_run_takes_the_place_of_the_published_one(atlas: Engine, folders: list[Path]):
    before = contents(atlas, run_id(atlas, folders[0]))

    report = promote_run(atlas, folders[0].name)

    assert (report.status, report.superseded) == ("promoted", folders[2].name)
    assert report.readers_see == folders[0].name
    assert scalar(atlas, "SELECT slug FROM atlas.current_run") == folders[0].name
    assert states(atlas) == {
        folders[0].name: ("published", None),
        folders[1].name: ("superseded", folders[0].name),
        folders[2].name: ("superseded", folders[1].name),
        folders[3].name: ("published", None),
    }
    assert contents(atlas, run_id(atlas, folders[0])) == before


def test_promoting_the_published_run_changes_nothing(atlas: Engine, folders: list[Path]):
    before = states(atlas)

    assert promote_run(atlas, folders[2].name).status == "already published"
    assert states(atlas) == before


@pytest.mark.parametrize("state", ["building", "failed"])
def test_a_run_without_facts_is_not_promoted(state: str, engine: Engine, run_folder: Path):
    ingest_until_failure(engine, run_folder)
    with engine.begin() as connection:
        connection.execute(text("UPDATE atlas.run SET state = :state"), {"state": state})

    with pytest.raises(ValueError, match=f"is {state}, so it has no facts"):
        promote_run(engine, run_folder.name)


def ingest_until_failure(engine: Engine, folder: Path) -> None:
    def fail(step: str, done: int, total: int) -> None:
        if step == "record":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(folder, engine, fail)


def test_readers_see_one_run_or_the_other_while_runs_are_promoted(
    atlas: Engine, url: str, folders: list[Path]
):
    seen: list[tuple[int, str | None]] = []
    is_over = threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as reader:
            while not is_over.is_set():
                row = reader.execute(
                    "SELECT count(*) FILTER (WHERE state = 'published' AND slug LIKE 'syn%'),"
                    " (SELECT slug FROM atlas.current_run) FROM atlas.run"
                ).fetchone()
                assert row is not None
                seen.append((row[0], row[1]))

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(20):
        promote_run(atlas, folders[number % 3].name)
    is_over.set()
    thread.join()

    assert {n for n, _ in seen} == {1}
    assert {slug for _, slug in seen} <= {folder.name for folder in folders[:3]}


def test_a_reader_in_a_transaction_neither_waits_for_a_promotion_nor_holds_it_up(
    atlas: Engine, url: str, folders: list[Path]
):
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        current = "SELECT DISTINCT run_id FROM atlas.feature"
        before = reader.execute(current).fetchall()

        started = time.monotonic()
        promote_run(atlas, folders[0].name)
        assert time.monotonic() - started < 2

        assert reader.execute(current).fetchall() == before
        reader.commit()
        assert reader.execute(current).fetchall() == [(run_id(atlas, folders[0]),)]


def test_a_dropped_run_leaves_nothing_and_the_others_as_they_were(
    atlas: Engine, folders: list[Path]
):
    gone = run_id(atlas, folders[1])
    others = [run_id(atlas, folder) for folder in (folders[0], *folders[2:])]
    before = [contents(atlas, run) for run in others]
    samples = scalar(atlas, "SELECT count(*) FROM atlas.sample")

    report = drop_run(atlas, folders[1].name)

    assert report.slug == folders[1].name
    assert report.rows["decoder_cosine"] == 6 * 128
    assert report.rows["example"] == read_rows(folders[1], "example").num_rows
    assert report.relinked == [folders[2].name]
    assert (report.stepped_up, report.readers_see) == (None, folders[2].name)
    with atlas.connect() as connection:
        for table in (*(table.name for table in run_tables()), "measurement"):
            query = text(f"SELECT count(*) FROM atlas.{table} WHERE run_id = :run")
            assert connection.scalar(query, {"run": gone}) == 0, table
        left = text("SELECT count(*) FROM pg_class WHERE relname LIKE :name")
        assert connection.scalar(left, {"name": f"%\\_run\\_{gone}%"}) == 0
    assert states(atlas) == {
        folders[0].name: ("superseded", None),
        folders[2].name: ("published", folders[0].name),
        folders[3].name: ("published", None),
    }
    assert [contents(atlas, run) for run in others] == before
    assert scalar(atlas, "SELECT count(*) FROM atlas.sample") == samples


def test_a_dropped_run_can_be_loaded_again(atlas: Engine, folders: list[Path]):
    drop_run(atlas, folders[2].name, confirmed=True)

    report = ingest(folders[2], atlas)

    assert report.status == "published"
    assert states(atlas)[folders[2].name] == ("published", folders[1].name)


def test_the_published_run_is_dropped_only_when_that_is_confirmed(
    atlas: Engine, folders: list[Path]
):
    before = states(atlas)
    with pytest.raises(ValueError, match=r"published run of its lineage.*--yes"):
        drop_run(atlas, folders[2].name)
    assert states(atlas) == before

    report = drop_run(atlas, folders[2].name, confirmed=True)

    assert (report.stepped_up, report.readers_see) == (folders[1].name, folders[1].name)
    assert states(atlas)[folders[1].name] == ("published", folders[0].name)


def test_a_lineage_that_readers_do_not_see_first_stays_behind_when_its_run_steps_up(
    atlas: Engine, folders: list[Path], tmp_path: Path
):
    newer = write_run_folder(tmp_path, seed=9, name="other")
    ingest(newer, atlas)  # now readers see the other lineage

    report = drop_run(atlas, folders[2].name, confirmed=True)

    assert (report.stepped_up, report.readers_see) == (folders[1].name, newer.name)


def test_the_last_run_of_all_can_be_dropped(engine: Engine, run_folder: Path):
    ingest(run_folder, engine)

    report = drop_run(engine, run_folder.name, confirmed=True)

    assert (report.stepped_up, report.readers_see) == (None, None)
    assert states(engine) == {}


def test_what_people_wrote_is_not_dropped_unasked(atlas: Engine, folders: list[Path]):
    with atlas.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, reviewer)"
                " VALUES (:run, 0, 1, 'accept', 'Ada')"
            ),
            {"run": run_id(atlas, folders[0])},
        )

    with pytest.raises(ValueError, match="1 reviews that people wrote would be lost"):
        drop_run(atlas, folders[0].name)

    assert drop_run(atlas, folders[0].name, confirmed=True).rows["review"] == 1


def test_an_open_reader_holds_up_a_drop_and_the_drop_holds_up_nobody_for_long(
    atlas: Engine, url: str, folders: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(drop, "PATIENCE", 2.0)
    before, run = states(atlas), run_id(atlas, folders[0])
    facts = contents(atlas, run)
    waits: list[float] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            started = time.monotonic()
            scalar(atlas, "SELECT count(*) FROM atlas.feature")
            waits.append(time.monotonic() - started)

    with psycopg.connect(url, application_name="a notebook") as reader:
        reader.execute("SELECT count(*) FROM atlas.feature_all_runs")
        thread = threading.Thread(target=read)
        thread.start()
        with pytest.raises(RuntimeError, match="nothing was changed") as refused:
            drop_run(atlas, folders[0].name)
        is_over.set()
        thread.join()

        assert f"process {reader.info.backend_pid}" in str(refused.value)
        assert "a notebook, idle in transaction" in str(refused.value)
        assert (states(atlas), contents(atlas, run)) == (before, facts)
        assert len(waits) > 10
        assert max(waits) < 1

    drop_run(atlas, folders[0].name)
    assert folders[0].name not in states(atlas)


def test_a_drop_waits_for_a_reader_that_ends(atlas: Engine, url: str, folders: list[Path]):
    reader = psycopg.connect(url)
    reader.execute("SELECT count(*) FROM atlas.feature_all_runs")
    timer = threading.Timer(1.0, reader.close)
    timer.start()

    drop_run(atlas, folders[0].name)

    timer.join()
    assert folders[0].name not in states(atlas)


KILLED = """
import os, signal, sys
from feature_atlas.etl.warehouse import drop
from feature_atlas.models.session import make_engine

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(drop, sys.argv[3], die)
drop.drop_run(make_engine(sys.argv[2]), sys.argv[1], confirmed=True)
"""


@pytest.mark.parametrize("step", ["lock_publication", "_take_tables", "_delete_run", "seen_run"])
def test_a_killed_drop_has_done_nothing_and_the_next_one_does_it_all(
    step: str, atlas: Engine, url: str, folders: list[Path]
):
    before, run = states(atlas), run_id(atlas, folders[2])
    facts = contents(atlas, run)

    killed = subprocess.run([sys.executable, "-c", KILLED, folders[2].name, url, step])

    assert killed.returncode == -signal.SIGKILL
    wait_until_gone(atlas)
    assert (states(atlas), contents(atlas, run)) == (before, facts)
    assert drop_run(atlas, folders[2].name, confirmed=True).readers_see == folders[1].name


def wait_until_gone(engine: Engine) -> None:
    """Until the server has noticed that a killed client is no more."""
    others = """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    """
    for _ in range(200):
        if scalar(engine, others) == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the killed client's session is still there")


def test_a_run_that_is_being_loaded_is_not_dropped(atlas: Engine, url: str, folders: list[Path]):
    with atlas.connect() as connection:
        config_hash = resolve_run(connection, folders[0].name).config_hash
    with psycopg.connect(url) as loader:
        loader.execute("SELECT pg_advisory_lock(%s)", (lock_key(config_hash),))

        with pytest.raises(RuntimeError, match="was not dropped: another process is loading it"):
            drop_run(atlas, folders[0].name)


def test_a_failed_run_is_dropped_and_one_that_failed_is_built_again(
    engine: Engine, run_folder: Path
):
    ingest_until_failure(engine, run_folder)
    assert drop_run(engine, run_folder.name).rows == {}
    assert states(engine) == {}

    ingest_until_failure(engine, run_folder)
    assert states(engine) == {run_folder.name: ("failed", None)}
    assert ingest(run_folder, engine).status == "published"  # failed -> building -> published


@pytest.mark.parametrize(
    "change",
    [
        "slug = 'mine'",
        "config = '{}'",
        "config_hash = repeat('0', 64)",
        "checksum = 'mine'",
        "code_version = 'mine'",
        "dirty = true",
        "d_sae = 1",
        "created_at = now()",
        "published_at = now()",
        "parent_id = id",
        "state = 'building', published_at = NULL",
        "state = 'failed', published_at = NULL",
    ],
)
@pytest.mark.parametrize("number", [0, 2])
def test_the_database_keeps_a_published_run_as_it_is(
    number: int, change: str, kept: Engine, folders: list[Path]
):
    with kept.begin() as connection, pytest.raises(IntegrityError, match=r"never|cannot become"):
        connection.execute(
            text(f"UPDATE atlas.run SET {change} WHERE slug = :slug"),
            {"slug": folders[number].name},
        )


@pytest.mark.parametrize(
    "change", ["state = 'superseded', published_at = now()", "state = 'published'"]
)
def test_the_database_knows_which_state_follows_which(
    change: str, engine: Engine, run_folder: Path
):
    ingest_until_failure(engine, run_folder)

    with engine.begin() as connection, pytest.raises(IntegrityError, match="failed cannot become"):
        connection.execute(text(f"UPDATE atlas.run SET {change}"))


@pytest.mark.parametrize("table", [*FACTS, "measurement"])
def test_the_database_never_changes_what_was_measured(table: str, kept: Engine):
    with kept.begin() as connection, pytest.raises(IntegrityError, match="it never changes"):
        connection.execute(text(f"UPDATE atlas.{table} SET run_id = run_id"))


def test_partitions_are_guarded_as_their_tables_are(kept: Engine, folders: list[Path]):
    run = run_id(kept, folders[2])

    with kept.begin() as connection, pytest.raises(IntegrityError, match="it never changes"):
        connection.execute(text(f"UPDATE atlas.decoder_cosine_run_{run} SET cosine = 0"))


def test_a_measurement_is_removed_without_reading_every_run(kept: Engine):
    plan = "EXPLAIN SELECT FROM atlas.decoder_cosine WHERE measurement_id = 0"
    with kept.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        lines = connection.scalars(text(plan)).all()

    assert sum("Bitmap Index Scan on" in line for line in lines) == 4
    assert not any("Seq Scan" in line for line in lines)


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch):
    """Run `feature-atlas runs ...` on the database with the four runs."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["runs", *words])
        return result.exit_code, result.output

    return run


def test_the_commands_say_what_they_did(command, folders: list[Path]):
    oldest, middle, newest, other = (folder.name for folder in folders)

    code, listed = command()
    assert code == 0
    assert all(folder.name in listed for folder in folders)

    code, shown = command("show", middle)
    assert code == 0
    assert all(
        word in shown for word in (oldest, newest, "visual_energy", "0123456789ab", "Funnel")
    )

    code, dumped = command("show", middle, "--json")
    assert json.loads(dumped)["rows"]["decoder_cosine"] == 6 * 128

    code, promoted = command("promote", oldest)
    assert (code, f"{newest}: superseded" in promoted) == (0, True)

    code, refused = command("drop", oldest)
    assert (code, "--yes" in refused) == (1, True)
    code, dropped = command("drop", oldest, "--yes")
    assert (code, f"{newest}: published again in its place" in dropped) == (0, True)

    code, unknown = command("show", oldest)
    assert (code, other in unknown) == (1, True)


def test_old_measurements_get_their_provenance_from_their_run(empty_url: str):
    from feature_atlas.etl.warehouse.migrate import configured, migrate

    engine = make_engine(empty_url)
    with configured(engine) as (connection, config):
        from alembic import command as alembic

        alembic.upgrade(config, "20261122_07_search")
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    migrate(engine)

    found = pd.read_sql("SELECT dirty, inputs, added_at FROM atlas.measurement", engine)
    engine.dispose()
    assert found.to_dict("records") == [
        {"dirty": True, "inputs": {"vlm": "f0", "sae_set": "f1"}, "added_at": None}
    ]


OLD_ROWS = (
    "INSERT INTO atlas.vlm (name, fingerprint, architecture, n_layers, d_model, n_heads,"
    " n_kv_heads, base_name) VALUES ('v', 'f0', 'a', 1, 1, 1, 1, 'b')",
    "INSERT INTO atlas.sae_set (name, release, fingerprint, gate, k, d_sae, d_model, hook_site,"
    " layers, activation_scale) VALUES ('s', 's', 'f1', 'topk', 1, 1, 1, 'h', '{0}', '{1}')",
    "INSERT INTO atlas.run (slug, config, config_hash, vlm_id, sae_set_id, code_version, dirty,"
    " state, published_at, n_layers, d_sae, checksum) SELECT 'r', '{}', repeat('a', 64), vlm.id,"
    " sae_set.id, 'c', true, 'published', now(), 1, 1, 'x' FROM atlas.vlm, atlas.sae_set",
    "INSERT INTO atlas.measurement (run_id, stage, params, params_hash, input_fingerprint, seeds,"
    " device, code_version, libraries, started_at, finished_at, rows, checksum)"
    " SELECT id, 'adapt', '{}', 'p', 'i', '{0}', 'cpu', 'c', '{}', now(), now(), 0, 'x'"
    " FROM atlas.run",
)
