"""A dropped run leaves nothing, and the others as they were."""

from pathlib import Path

import psycopg
import pytest
from run_folder import read_rows, write_run_folder
from run_versions import contents, ingest_until_failure, run_id, scalar, states
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.drop import drop_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.loader_lock import lock_key
from feature_atlas.etl.warehouse.runs import resolve_run, run_tables
from feature_atlas.models.lists.keeping import Entry, add_comment, add_entries


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


def test_lists_and_comments_outlive_the_runs_that_they_were_made_on(
    atlas: Engine, folders: list[Path]
):
    kept = "SELECT count(*) FROM lists.entry, lists.comment WHERE entry.run = comment.run"
    gone = run_id(atlas, folders[1])
    with atlas.begin() as connection:
        add_entries(connection, gone, "Ours", [Entry(1, 5, "why")], "Ada")
        add_comment(connection, gone, 1, 5, "sees", "Ada")

    drop_run(atlas, folders[1].name)

    assert scalar(atlas, kept) == 1
    assert scalar(atlas, "SELECT count(*) FROM atlas.listed WHERE list = 'ours'") == 3
    ingest(folders[1], atlas)
    assert scalar(atlas, kept) == 1
    assert scalar(atlas, "SELECT count(*) FROM atlas.listed WHERE list = 'ours'") == 4


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


def test_what_others_built_on_a_run_is_named_and_stays(atlas: Engine, folders: list[Path]):
    run = run_id(atlas, folders[1])
    with atlas.begin() as connection:
        connection.execute(text("CREATE SCHEMA lab"))
        connection.execute(text("CREATE VIEW lab.of_all AS SELECT * FROM atlas.decoder_cosine"))
        for table in ("decoder_cosine", "selection"):
            connection.execute(
                text(f"CREATE VIEW lab.my_{table} AS SELECT * FROM atlas.{table}_run_{run}")
            )
    before = contents(atlas, run)

    with pytest.raises(RuntimeError) as refused:
        drop_run(atlas, folders[1].name)

    said = str(refused.value)
    assert "was not dropped, nothing was changed" in said
    assert f"view lab.my_decoder_cosine depends on table decoder_cosine_run_{run}" in said
    assert f"view lab.my_selection depends on table selection_run_{run}" in said
    assert "lab.of_all" not in said
    assert contents(atlas, run) == before

    with atlas.begin() as connection:
        connection.execute(text("DROP VIEW lab.my_decoder_cosine, lab.my_selection"))
        connection.execute(text("CREATE TABLE lab.note (run integer REFERENCES atlas.run)"))
        connection.execute(text("INSERT INTO lab.note VALUES (:run)"), {"run": run})
    with pytest.raises(RuntimeError, match='still referenced from table "note"'):
        drop_run(atlas, folders[1].name)

    with atlas.begin() as connection:
        connection.execute(text("DROP TABLE lab.note"))
    drop_run(atlas, folders[1].name)
    assert scalar(atlas, f"SELECT count(*) FROM lab.of_all WHERE run_id = {run}") == 0
