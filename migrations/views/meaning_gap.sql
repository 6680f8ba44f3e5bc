-- why a run's descriptions, or some of them, cannot be found by meaning; NULL when all can
CREATE FUNCTION atlas.meaning_gap(model text, revision text, searched_run integer) RETURNS text
LANGUAGE sql STABLE
AS $$
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
        THEN 'this database has no pgvector: `feature-atlas embed` installs it where it may'
    WHEN n_texts = 0
        THEN 'no feature of this run is described'
    WHEN n_vectors < n_texts
        THEN format(
            '%s of %s descriptions have no vector of the model %s: `feature-atlas embed` makes them',
            n_texts - n_vectors, n_texts, meaning_gap.model
        )
END
FROM (
    SELECT count(*) AS n_texts, count(stored.description) AS n_vectors
    FROM atlas.description AS said
    LEFT JOIN atlas.label_embedding AS stored
        ON stored.description = said.description
        AND stored.model = meaning_gap.model
        AND stored.revision = meaning_gap.revision
    WHERE said.run_id = searched_run AND said.description ~ '\S'
) AS counted
$$;

COMMENT ON FUNCTION atlas.meaning_gap IS
    'why descriptions of a run cannot be found by meaning; NULL when all can';
