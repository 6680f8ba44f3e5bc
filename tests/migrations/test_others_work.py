"""What others built on the atlas outlives a new version: views, their rows and rights, triggers.

A version is here its view files; tests/migrations/test_filled_database.py has the revisions.
"""

import re

import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse import migrate as migration
from feature_atlas.etl.warehouse.migrate import configured, downgrade, find_atlas, migrate
from feature_atlas.etl.warehouse.schema.own_views import own_views
from feature_atlas.etl.warehouse.schema.view_files import views

LAB = """
DO $$ BEGIN
    IF to_regrole('colleague') IS NULL THEN CREATE ROLE colleague; END IF;
END $$;
CREATE SCHEMA lab;
CREATE VIEW lab.mine AS SELECT layer, feature, label, f1 FROM atlas.feature;
CREATE VIEW lab."on mine" AS SELECT count(*) AS n, sum(f1) AS f1 FROM lab.mine;
CREATE MATERIALIZED VIEW lab.kept AS SELECT * FROM atlas.adapted;
CREATE UNIQUE INDEX place ON lab.kept (layer, feature);
CREATE VIEW lab.change AS
    SELECT run.slug, atlas.mcnemar_exact(3, run.run_id) AS p FROM atlas.runs AS run;
CREATE TABLE lab.note (said text, run integer DEFAULT atlas.run_id('none'));
CREATE VIEW atlas.beside AS SELECT count(*) AS n FROM atlas.funnel;
CREATE FUNCTION lab.name_of(atlas.feature) RETURNS text LANGUAGE sql AS 'SELECT $1.label';
CREATE FUNCTION lab.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER no_rows INSTEAD OF INSERT ON atlas.ocr FOR EACH ROW EXECUTE FUNCTION lab.refuse();
COMMENT ON VIEW lab.mine IS 'for the paper';
GRANT SELECT ON lab.mine TO colleague;
GRANT SELECT ON atlas.feature, atlas.spatial TO colleague WITH GRANT OPTION;
GRANT SELECT (slug) ON atlas.runs TO colleague;
GRANT EXECUTE ON FUNCTION atlas.meaning_gap(text, text, integer), atlas.run_id(text) TO colleague;
"""

RELATIONS = ("mine", '"on mine"', "kept", "change")

RIGHTS = """
SELECT relname, acl.grantee::regrole::text, acl.privilege_type, acl.is_grantable
FROM pg_class CROSS JOIN aclexplode(relacl) AS acl
WHERE relnamespace IN ('lab'::regnamespace, 'atlas'::regnamespace) AND relkind IN ('v', 'm')
UNION ALL
SELECT relname || '.' || attname, acl.grantee::regrole::text, acl.privilege_type, acl.is_grantable
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid CROSS JOIN aclexplode(attacl) AS acl
WHERE relnamespace = 'atlas'::regnamespace
UNION ALL
SELECT proname, acl.grantee::regrole::text, acl.privilege_type, acl.is_grantable
FROM pg_proc CROSS JOIN aclexplode(proacl) AS acl WHERE pronamespace = 'atlas'::regnamespace
"""


@pytest.fixture
def shared(published_engine: Engine) -> Engine:
    """An atlas with a run, on which a lab has built."""
    engine = published_engine
    with engine.begin() as connection:
        connection.exec_driver_sql(LAB)
    return engine


def of_the_lab(engine: Engine) -> dict[str, object]:
    """All that must stay: rows, definitions by their number, rights."""
    with engine.connect() as connection:
        found: dict[str, object] = {
            name: connection.execute(text(f"SELECT * FROM lab.{name} ORDER BY 1, 2")).all()
            for name in RELATIONS
        }
        numbers = "SELECT oid FROM pg_class WHERE relnamespace = 'lab'::regnamespace ORDER BY oid"
        found["numbers"] = connection.scalars(text(numbers)).all()
        found["beside"] = connection.scalar(text("SELECT n FROM atlas.beside"))
        found["rights"] = set(connection.execute(text(RIGHTS)).all())
        triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'no_rows'"
        found["triggers"] = connection.scalar(text(triggers))
    return found


def bring(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    """Be a version whose files say something else; None: it has no such file."""
    new = {name: sql for name, sql in (views() | changed).items() if sql is not None}
    monkeypatch.setattr(migration, "views", lambda: new)


def test_changed_views_take_their_places_under_what_others_built(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
):
    before = of_the_lab(shared)
    told = views()
    bring(
        monkeypatch,
        feature_all_runs=told["feature_all_runs"].replace(
            "SELECT\n", "SELECT\n    1 AS first,\n", 1
        )
        + "COMMENT ON COLUMN atlas.feature_all_runs.first IS 'one';",
        spatial=told["spatial"].replace("WHERE survives_spatial", "WHERE is_adapted"),
        mcnemar_exact=told["mcnemar_exact"].replace("SELECT", "SELECT -- as before\n", 1),
        meaning_gap="CREATE FUNCTION atlas.meaning_gap(a text, b text) RETURNS text"
        " LANGUAGE sql AS 'SELECT $2';",
        answer="CREATE VIEW atlas.answer AS SELECT 42 AS number",
    )

    migrate(shared)

    after = of_the_lab(shared)
    assert after.pop("rights") >= before.pop("rights")
    assert after == before
    with shared.connect() as connection:
        assert connection.scalar(text("SELECT number FROM atlas.answer")) == 42
        assert connection.scalar(text("SELECT DISTINCT first FROM atlas.spatial")) == 1
        assert connection.scalar(text("SELECT count(*) FROM atlas.spatial")) == len(after["kept"])
        said = "SELECT col_description('atlas.feature'::regclass, attnum) FROM pg_attribute"
        where = " WHERE attrelid = 'atlas.feature'::regclass AND attname IN ('first', 'label')"
        assert set(connection.scalars(text(said + where))) >= {"one"}
        assert connection.scalar(text("SELECT atlas.meaning_gap('', 'b')")) == "b"

    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="its columns first go"):
        migrate(shared)  # the older version again: nothing is taken away


def test_what_cannot_be_replaced_stops_and_says_what_to_run(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
):
    before = of_the_lab(shared)
    bring(monkeypatch, current_run="CREATE VIEW atlas.current_run AS SELECT 1 AS id")

    with pytest.raises(RuntimeError) as stopped:
        migrate(shared)

    said = str(stopped.value)
    assert "atlas.current_run cannot be brought to this version: its columns slug, config" in said
    for what in ("view lab.mine", 'view lab."on mine"', "materialized view lab.kept"):
        assert what in said
    assert "pg_dump --schema-only " in said
    assert of_the_lab(shared) == before

    drops = re.findall("DROP .*;", said)
    with shared.begin() as connection:
        for drop in drops:
            connection.exec_driver_sql(drop)
    monkeypatch.undo()
    bring(monkeypatch, answer="CREATE VIEW atlas.answer AS SELECT 42 AS number")
    migrate(shared)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"run_id": "CREATE FUNCTION atlas.run_id(a text, b text) RETURNS integer LANGUAGE sql"
          " AS 'SELECT 1'"}, "other arguments"),
        ({"mcnemar_exact": "CREATE FUNCTION atlas.mcnemar_exact(a bigint, b bigint) RETURNS text"
          " LANGUAGE sql AS $$ SELECT '' $$"}, "cannot change return type"),
        ({"beside": "CREATE VIEW atlas.beside AS SELECT 1 AS n"}, "somebody has made something"),
    ],
)  # fmt: skip
def test_nothing_is_changed_where_a_function_or_a_name_is_in_the_way(
    changed: dict[str, str], words: str, shared: Engine, monkeypatch: pytest.MonkeyPatch
):
    before = of_the_lab(shared)
    bring(monkeypatch, **changed)

    with pytest.raises(RuntimeError, match=words):
        migrate(shared)

    assert of_the_lab(shared) == before


def test_a_view_that_a_version_no_longer_has_stays_as_long_as_it_is_used(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
):
    before = of_the_lab(shared)
    bring(monkeypatch, funnel=None, head_map=None)
    migrate(shared)
    after = of_the_lab(shared)
    assert after.pop("rights") < before.pop("rights")  # without those on the view that is gone
    assert after == before

    with shared.begin() as connection:
        there = text("SELECT to_regclass('atlas.funnel'), to_regclass('atlas.head_map')")
        assert connection.execute(there).one() == ("funnel", None)
        connection.exec_driver_sql("DROP VIEW atlas.beside")
    bring(monkeypatch, head_map=None)
    migrate(shared)
    bring(monkeypatch, funnel=None)
    migrate(shared)

    with shared.connect() as connection:
        assert connection.execute(there).one() == (None, "head_map")


def test_an_older_revision_is_refused_while_somebody_needs_the_views(shared: Engine):
    before = of_the_lab(shared)

    with pytest.raises(RuntimeError, match=r"an older revision takes them all away"):
        downgrade(shared, "-1")

    assert of_the_lab(shared) == before


def test_who_only_reads_is_told_to_migrate_and_changes_nothing(
    shared: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", shared.url.render_as_string(hide_password=False))
    find_atlas()
    bring(monkeypatch, answer="CREATE VIEW atlas.answer AS SELECT 42 AS number")

    with pytest.raises(RuntimeError, match=r"views of another version.*`feature-atlas migrate`"):
        find_atlas()

    with shared.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('atlas.answer')")) is None


def test_before_there_were_notes_a_newer_name_is_somebodys_own(engine: Engine):
    with configured(engine) as (connection, _):
        assert "atlas.claim" in own_views(connection).values()
        connection.execute(text("DROP TABLE atlas.view_file"))

        ours = own_views(connection).values()

        assert "atlas.feature" in ours
        assert "atlas.claim" not in ours
