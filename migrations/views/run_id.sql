-- the number of a published run by its name: an argument for the functions that compare runs
CREATE FUNCTION atlas.run_id(slug text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT run.id
    FROM atlas.run
    WHERE run.slug = run_id.slug AND run.state IN ('published', 'superseded')
    ORDER BY run.published_at DESC, run.id DESC
    LIMIT 1
$$;

COMMENT ON FUNCTION atlas.run_id(text) IS
    'number of the published run of this name; NULL if there is none';
