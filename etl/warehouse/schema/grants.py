"""Who may use views and functions: what others were granted survives that these are made anew."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from feature_atlas.etl.warehouse.list_rights import grant_lists
from feature_atlas.models import SCHEMA
from feature_atlas.models.session import READER, WRITER


class Grant(NamedTuple):
    """One right of one role."""

    kind: str
    """VIEW or FUNCTION."""
    name: str
    """Without the schema, and without arguments: a function may get others."""
    column: str | None
    """None: on the whole."""
    right: str
    """As SELECT."""
    role: str
    """Quoted, or PUBLIC."""
    may_pass_on: bool
    """With the grant option."""


def grants_on(connection: Connection, oids: list[int]) -> list[Grant]:
    """What was granted on these views and functions, to others than their owner."""
    return [Grant(*row) for row in connection.execute(text(GRANTED), {"oids": oids})]


def grant_again(connection: Connection, grants: list[Grant], oids: list[int]) -> None:
    """Grant it on those of these that have the names now; a column takes its rights with it."""
    for grant in grants:
        asked = {"kind": grant.kind, "name": grant.name, "column": grant.column, "oids": oids}
        for column, target in connection.execute(text(TARGETS), asked).all():
            passing = " WITH GRANT OPTION" if grant.may_pass_on else ""
            connection.exec_driver_sql(
                f"GRANT {grant.right}{column} ON {target} TO {grant.role}{passing}"
            )


def grant_readers(connection: Connection, functions: list[str]) -> None:
    """What reader and writer may do; a function is everybody's until that is taken back."""
    called = ", ".join(functions)
    if called:
        connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {called} FROM PUBLIC")
    relations = ", ".join(connection.scalars(text(OWNED), {"schema": SCHEMA}))
    for role in (READER, WRITER):
        if connection.scalar(text("SELECT to_regrole(:name)"), {"name": role}) is not None:
            connection.exec_driver_sql(f"GRANT SELECT ON {relations} TO {role}")
            if called and role == READER:
                connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {called} TO {role}")
    grant_lists(connection)


GRANTED = """
WITH granted AS (
    SELECT 'VIEW' AS kind, relname AS name, NULL AS attname, relowner AS owner, relacl AS acl
    FROM pg_class WHERE oid = ANY (:oids)
    UNION ALL
    SELECT 'VIEW', relname, attname, relowner, attacl
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE pg_class.oid = ANY (:oids) AND NOT attisdropped
    UNION ALL
    SELECT 'FUNCTION', proname, NULL, proowner, proacl FROM pg_proc WHERE oid = ANY (:oids)
)
SELECT kind, name, attname, privilege_type,
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, is_grantable
FROM granted CROSS JOIN aclexplode(acl)
WHERE grantee <> owner
"""

TARGETS = """
SELECT '' AS of_column, format('TABLE %s', oid::regclass) FROM pg_class
WHERE :kind = 'VIEW' AND CAST(:column AS text) IS NULL AND relname = :name AND oid = ANY (:oids)
UNION ALL
SELECT format(' (%I)', attname), format('TABLE %s', pg_class.oid::regclass)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relname = :name AND attname = :column AND pg_class.oid = ANY (:oids)
UNION ALL
SELECT '', format('FUNCTION %s', oid::regprocedure) FROM pg_proc
WHERE :kind = 'FUNCTION' AND proname = :name AND oid = ANY (:oids)
"""

# relations of others in this schema are theirs to grant
OWNED = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = to_regnamespace(:schema) AND relkind IN ('r', 'p', 'v', 'm')
  AND pg_has_role(relowner, 'USAGE')
"""
