-- every column of every table and view that the asking role may read; units end the comments
-- (models/units.py)
CREATE VIEW atlas.columns AS
SELECT
    space.nspname::text AS schema,
    relation.relname::text AS relation,
    CASE WHEN relation.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END AS kind,
    own.attname::text AS "column",
    own.attnum::integer AS place,
    format_type(own.atttypid, own.atttypmod) AS type,
    substring(said.comment FROM '\[([^][;]*)[^][]*\]$') AS unit,
    substring(said.comment FROM '\[[^][;]*; ([^][]*)\]$') AS range,
    regexp_replace(said.comment, ' \[[^][]*\]$', '') AS description,
    obj_description(relation.oid, 'pg_class') AS relation_description,
    CASE relation.relkind
        WHEN 'r' THEN greatest(relation.reltuples, 0)::bigint
        WHEN 'p' THEN (
            SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint
            FROM pg_partition_tree(relation.oid) AS part
            JOIN pg_class AS leaf ON leaf.oid = part.relid
            WHERE leaf.relkind = 'r'
        )
    END AS n_rows_estimate
FROM pg_class AS relation
JOIN pg_namespace AS space ON space.oid = relation.relnamespace
JOIN pg_attribute AS own ON own.attrelid = relation.oid
CROSS JOIN LATERAL (
    SELECT coalesce(col_description(relation.oid, own.attnum), '') AS comment
) AS said
WHERE space.nspname IN ('atlas', 'lists')
    AND relation.relkind IN ('r', 'p', 'v', 'm')
    AND NOT relation.relispartition
    AND relation.relname <> 'alembic_version'
    AND own.attnum > 0
    AND NOT own.attisdropped
    AND has_column_privilege(relation.oid, own.attnum, 'SELECT');

COMMENT ON VIEW atlas.columns IS
    'every column that may be read here: what it holds, in which unit, within which range';
COMMENT ON COLUMN atlas.columns.schema IS 'atlas, or lists: what readers keep';
COMMENT ON COLUMN atlas.columns.relation IS 'table or view';
COMMENT ON COLUMN atlas.columns.kind IS 'table or view';
COMMENT ON COLUMN atlas.columns."column" IS 'its name';
COMMENT ON COLUMN atlas.columns.place IS 'its place in the relation, 1-based';
COMMENT ON COLUMN atlas.columns.type IS 'as SQL writes it';
COMMENT ON COLUMN atlas.columns.unit IS
    'what its numbers are counted in; identifier and index: no quantity; NULL: no number';
COMMENT ON COLUMN atlas.columns.range IS 'what its table lets in; NULL: any value of its type';
COMMENT ON COLUMN atlas.columns.description IS 'what it holds; numbers in parentheses are sections of the paper';
COMMENT ON COLUMN atlas.columns.relation_description IS 'what a row of the relation is';
COMMENT ON COLUMN atlas.columns.n_rows_estimate IS
    'rows of the table, as the last ANALYZE counted; NULL: a view';
