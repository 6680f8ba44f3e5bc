"""Comments, of which `migrate` puts the newest in place: no revision has to say them.

Those of tables are the models' own. A view's column inherits one or has one in the view's file,
and gets the unit of its name behind it.
"""

from collections.abc import Iterable, Sequence

from feature_atlas.etl.warehouse.schema.sql_text import sql_text
from feature_atlas.models import Base, Kept
from feature_atlas.models.units import OTHERWISE, UNITS


def table_comments() -> str:
    """SQL that says of every table and each of its columns what the model says."""
    tables = [*Base.metadata.sorted_tables, *Kept.metadata.sorted_tables]
    of_tables = (
        f"COMMENT ON TABLE {table.fullname} IS {sql_text(table.comment)};"
        for table in tables
        if table.comment is not None
    )
    of_columns = (
        f"COMMENT ON COLUMN {table.fullname}.{column.name} IS {sql_text(column.comment)};"
        for table in tables
        for column in table.columns
        if column.comment is not None
    )
    return "\n".join((*of_tables, *of_columns))


def view_units(views: Iterable[str]) -> str:
    """SQL that puts a unit behind the comment of every number of a view, where there is none."""
    return VIEW_UNITS.format(
        views=" ".join(f"atlas.{view}" for view in views),
        units=_values([(str(place), *pair) for place, pair in enumerate(UNITS)]),
        otherwise=_values([(*name.split("."), unit) for name, unit in OTHERWISE.items()]),
    )


def _values(rows: Iterable[Sequence[str]]) -> str:
    return ",\n".join(f"({', '.join(map(sql_text, row))})" for row in rows)


VIEW_UNITS = """\
-- No view. Naming all of them makes this the last: {views}
DO $body$
DECLARE
    own record;
BEGIN
    FOR own IN
        WITH unit (place, unit, names) AS (VALUES {units}),
        otherwise (relation, name, unit) AS (VALUES {otherwise})
        SELECT relation.oid::regclass AS relation, attribute.attname AS name, said.comment,
            coalesce(otherwise.unit, named.unit) AS unit
        FROM pg_class AS relation
        JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
        JOIN pg_type AS type ON type.oid = attribute.atttypid
        LEFT JOIN pg_type AS item ON item.oid = type.typelem AND type.typcategory = 'A'
        CROSS JOIN LATERAL (
            SELECT col_description(relation.oid, attribute.attnum) AS comment
        ) AS said
        LEFT JOIN otherwise
            ON otherwise.relation = relation.relname AND otherwise.name = attribute.attname
        LEFT JOIN LATERAL (
            SELECT unit.unit FROM unit
            WHERE attribute.attname ~ ('^(?:' || unit.names || ')$')
            ORDER BY unit.place::integer LIMIT 1
        ) AS named ON true
        WHERE relation.relnamespace = 'atlas'::regnamespace
            AND relation.relkind = 'v'
            AND attribute.attnum > 0
            AND coalesce(item.typcategory, type.typcategory) = 'N'
            AND said.comment !~ '\\[[^][]*\\]$'
            AND coalesce(otherwise.unit, named.unit) IS NOT NULL
    LOOP
        EXECUTE format(
            'COMMENT ON COLUMN %s.%I IS %L', own.relation, own.name,
            own.comment || ' [' || own.unit || ']'
        );
    END LOOP;
END
$body$;
"""
