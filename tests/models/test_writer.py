"""What the role of the pages may do: add reviews, keep lists and comments, read, nothing else.

That it may keep lists and comments, tests/models/lists shows.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from feature_atlas.models.session import make_writer_engine

REVIEW = (
    "INSERT INTO atlas.review (run_id, layer, feature, verdict, reviewer)"
    " VALUES (1, 0, 0, 'reject', 'me')"
)

FORBIDDEN = [
    "UPDATE atlas.review SET verdict = 'accept'",
    "DELETE FROM atlas.review",
    "TRUNCATE atlas.review",
    "SELECT nextval('atlas.review_id_seq')",
    "INSERT INTO atlas.regime (id, name) VALUES (99, 'mine')",
    "UPDATE atlas.run SET state = 'failed'",
    "DELETE FROM atlas.feature_record",
    "UPDATE lists.list SET slug = 'mine'",
    "UPDATE lists.entry SET added_by = 'me'",
    "UPDATE lists.comment SET said = 'mine'",
    "DELETE FROM lists.comment",
    "TRUNCATE lists.entry",
    "DROP TABLE lists.comment",
    "CREATE TABLE lists.mine (id int)",
    "CREATE TABLE atlas.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_read_file('/etc/passwd')",
    "SET ROLE atlas",
    "SET ROLE atlas_reader",
    "ALTER ROLE atlas_writer SUPERUSER",
]


@pytest.fixture
def writer(loaded_url: str) -> Iterator[Engine]:
    engine = make_writer_engine(loaded_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_refuses(statement: str, loaded_url: str):
    address = make_url(loaded_url).set(username="atlas_writer")
    with (
        psycopg.connect(address.render_as_string(hide_password=False)) as session,
        pytest.raises((errors.InsufficientPrivilege, errors.UndefinedObject)),
    ):
        session.execute(statement)


def test_it_adds_a_review_and_reads_it(writer: Engine):
    with writer.connect() as connection:
        connection.execute(text(REVIEW))
        labels = "SELECT label FROM atlas.feature_label WHERE layer = 0 AND feature = 0"
        assert connection.scalars(text(labels)).all() == [None]
        connection.rollback()  # the database is shared


def test_where_no_password_is_asked_it_logs_in_itself(writer: Engine):
    with writer.connect() as connection:
        assert connection.exec_driver_sql("SELECT session_user").scalar() == "atlas_writer"


def test_with_the_owners_password_he_steps_down(loaded_url: str):
    address = make_url(loaded_url).set(password="known").render_as_string(hide_password=False)
    engine = make_writer_engine(address)
    with engine.connect() as connection:
        users = connection.exec_driver_sql("SELECT session_user, current_user").one()
    engine.dispose()

    assert tuple(users) == ("atlas", "atlas_writer")


@pytest.mark.parametrize("user", ["atlas", "atlas_reader"])
def test_who_cannot_become_the_writer_writes_nothing_and_is_told(
    loaded_url: str, monkeypatch: pytest.MonkeyPatch, user: str
):
    if user == "atlas":  # no such role: the owner must not write in its place
        monkeypatch.setattr("feature_atlas.models.session.WRITER", "nobody_of_that_name")
    address = make_url(loaded_url).set(username=user, password="known")
    engine = make_writer_engine(address.render_as_string(hide_password=False))

    with pytest.raises(PermissionError, match="`feature-atlas migrate` makes that role"):
        engine.connect()
