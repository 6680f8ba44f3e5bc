"""SQL functions lie on top of the tables like views: put in place, replaced, taken away."""

import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse import migrate as migration
from feature_atlas.etl.warehouse.migrate import downgrade, migrate
from feature_atlas.etl.warehouse.schema.view_files import views

TWICE = """
CREATE FUNCTION atlas.twice({arguments}) RETURNS integer LANGUAGE sql
AS $$ SELECT 2 * number $$;
"""


def functions(engine: Engine) -> set[str]:
    query = (
        "SELECT proname || '(' || oidvectortypes(proargtypes) || ')' FROM pg_proc"
        " WHERE pronamespace = to_regnamespace('atlas')"
    )
    with engine.connect() as connection:
        return set(connection.scalars(text(query)))


def put(engine: Engine, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    changed = views() | {"twice": TWICE.format(arguments=arguments)}
    monkeypatch.setattr(migration, "views", lambda: changed)
    migrate(engine)
    monkeypatch.undo()


def test_a_function_with_other_arguments_takes_the_place_of_the_old_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    before = functions(engine)

    put(engine, monkeypatch, "number integer")
    put(engine, monkeypatch, "number integer, unused text DEFAULT ''")

    assert functions(engine) - before == {"twice(integer, text)"}


def test_a_downgrade_takes_the_functions_with_it_and_migrate_brings_them_back(engine: Engine):
    before = functions(engine)
    assert "run_diff(integer, integer)" in before

    downgrade(engine)
    assert functions(engine) == set()

    migrate(engine)
    assert functions(engine) == before


def test_a_function_may_use_a_view_and_a_view_a_function(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    both = views() | {
        "first": "CREATE VIEW atlas.first AS SELECT 1 AS number",
        "second": "CREATE FUNCTION atlas.second() RETURNS SETOF atlas.first LANGUAGE sql"
        " AS 'SELECT * FROM atlas.first'",
        "third": "CREATE VIEW atlas.third AS SELECT * FROM atlas.second()",
    }
    monkeypatch.setattr(migration, "views", lambda: both)

    migrate(engine)
    monkeypatch.setattr(migration, "views", lambda: both | {"first": f"{both['first']} -- new"})
    migrate(engine)

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT number FROM atlas.third")) == 1
