"""A backup, restored: with pg_dump and pg_restore, as docs/team.md says."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from databases import SETTINGS, database, drop_database, temporary_database
from fact_checksums import run_facts, visible_facts
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.postgres.binaries import find_binaries
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.models.session import READER, make_reader_engine

RIGHTS = """
WITH held(thing, owner, acl) AS (
    SELECT oid::regclass::text, relowner, relacl FROM pg_class WHERE NOT relispartition
    UNION ALL SELECT oid::regprocedure::text, proowner, proacl FROM pg_proc
    UNION ALL SELECT nspname, nspowner, nspacl FROM pg_namespace
    UNION ALL SELECT attrelid::regclass::text || '.' || attname, NULL, attacl FROM pg_attribute
    UNION ALL SELECT 'the database', datdba, datacl FROM pg_database
        WHERE datname = current_database()
    UNION ALL SELECT format('new %s in %s', defaclobjtype, defaclnamespace::regnamespace), NULL,
        defaclacl FROM pg_default_acl
    UNION ALL SELECT rolname || ' ' || unnest(rolconfig), NULL, NULL FROM pg_roles
)
SELECT thing, owner::regrole::text, grantee::regrole::text, privilege_type
FROM held LEFT JOIN LATERAL aclexplode(acl) ON true
WHERE acl IS NOT NULL OR thing ~ '^(atlas|lists|ann_backup)'
"""


@pytest.fixture
def programs() -> Path:
    """Where pg_dump and pg_restore of the server's own version lie."""
    folder = find_binaries()
    for name in ("pg_dump", "pg_restore"):
        if not (folder / name).is_file():
            pytest.skip(f"{folder} has no {name}: some packages bring the server alone")
    return folder


@pytest.fixture
def url(postgres_url: str, loaded_url: str) -> Iterator[str]:
    """A filled atlas with a list, and a colleague who may read and has a view of her own."""
    with temporary_database(postgres_url, str(make_url(loaded_url).database)) as url:
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE ROLE ann_backup LOGIN IN ROLE {READER}")
            connection.execute("CREATE SCHEMA ann_backup AUTHORIZATION ann_backup")
            connection.execute("SET LOCAL ROLE ann_backup")
            connection.execute(
                "CREATE VIEW ann_backup.turned AS"
                " SELECT layer, feature FROM atlas.feature WHERE cosine < 0.5"
            )
            connection.execute("RESET ROLE")
            connection.execute(
                "INSERT INTO lists.list (slug, title, owner) VALUES ('odd', 'Odd ones', 'ann')"
            )
        yield url
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP ROLE ann_backup")


def test_a_restored_atlas_has_every_fact_and_every_right(
    url: str,
    postgres_url: str,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    facts, rights, turned = visible_facts(url), rights_in(url), count(url, "ann_backup.turned")
    dump(programs, url, tmp_path)
    drop_database(postgres_url, str(make_url(url).database))

    restored = restore(programs, postgres_url, tmp_path)

    assert restored.returncode == 0, restored.stderr
    assert visible_facts(url) == facts
    assert count(url, "lists.list") == 1
    assert count(url, "ann_backup.turned") == turned > 0
    assert rights_in(url) == rights
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    for command in (["status"], ["query", "select count(*) from atlas.feature"], ["migrate"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output


def test_a_server_without_the_roles_gets_them_from_migrate(
    url: str, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    slug, facts = visible_facts(url)
    rights = [right for right in rights_in(url) if "ann_backup" not in str(right)]
    dump(programs, url, tmp_path)
    server = EmbeddedPostgres(tmp_path / "other", settings=SETTINGS)
    other = database(server.start(), str(make_url(url).database))
    try:
        restored = restore(programs, database(other, "postgres"), tmp_path)
        assert 'role "atlas_reader" does not exist' in restored.stderr
        assert run_facts(other, slug) == facts

        monkeypatch.setenv("ATLAS_DATABASE_URL", other)
        done = CliRunner().invoke(app, ["migrate"])

        assert done.exit_code == 0, done.output
        found = [right for right in rights_in(other) if "ann_backup" not in str(right)]
        assert found == rights
        reader = make_reader_engine(other)
        with reader.connect() as connection:
            assert connection.exec_driver_sql("SELECT session_user").scalar() == READER
        reader.dispose()
    finally:
        server.stop()


def dump(programs: Path, url: str, folder: Path) -> None:
    """Everything of one database in one file."""
    command = [programs / "pg_dump", "--format=custom", "--file", folder / "atlas.dump", url]
    subprocess.run(command, check=True)


def restore(programs: Path, server: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The database anew, under its own name."""
    command = [programs / "pg_restore", "--create", "--dbname", server, folder / "atlas.dump"]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def rights_in(url: str) -> list[tuple[object, ...]]:
    """Who owns what, and who may do what, wherever that is not as PostgreSQL makes it."""
    with psycopg.connect(url) as connection:
        return sorted(connection.execute(RIGHTS).fetchall(), key=str)


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])
