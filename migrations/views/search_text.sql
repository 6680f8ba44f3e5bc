-- features found by words, without stop words: "above" and "left of" are what is searched here.
--   description   what the feature is said to mean; the best fit first, then the best F1
--   question      how many of its strongest samples ask with these words; of a question asked more
--                 than a thousand times a fair thousand counts
--   token         in how many of its three strongest samples of each source it fires most on one of
--                 these words
-- The best `depth` features of each kind; place 1 is best. `words` are as in a web search:
-- "a phrase", or, -without. Any text may come; only its first 1000 characters count.
CREATE FUNCTION atlas.search_text(words text, searched_run integer, depth integer DEFAULT 60)
RETURNS TABLE (kind text, place bigint, layer smallint, feature integer, whole_text text)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    asked tsquery := websearch_to_tsquery('atlas.words', left(words, 1000));
    -- without what must not occur; 'T' or nothing: it only says what must not
    sought text := nullif(querytree(asked), 'T');
    stems text[] := tsvector_to_array(to_tsvector('simple', sought));
    names text[] := ARRAY(
        SELECT unnest(stems)
        EXCEPT
        SELECT unnest('{a,an,the,is,are,was,of,to,and,it,this,that,what,which,where,who}'::text[])
    );
BEGIN
    IF coalesce(sought, '') = '' THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT
        'description',
        row_number() OVER (ORDER BY best.fit DESC, best.f1 DESC NULLS LAST, best.layer, best.feature),
        best.layer,
        best.feature,
        best.description
    FROM (
        SELECT DISTINCT ON (said.layer, said.feature)
            said.layer, said.feature, said.description, said.f1, fit
        FROM atlas.description AS said
        CROSS JOIN LATERAL ts_rank(to_tsvector('atlas.words', said.description), asked, 1) AS fit
        WHERE said.run_id = searched_run
            AND to_tsvector('atlas.words', said.description) @@ asked
        ORDER BY said.layer, said.feature, fit DESC, said.f1 DESC NULLS LAST, said.description
    ) AS best
    ORDER BY 2
    LIMIT depth;

    RETURN QUERY
    SELECT
        'question',
        row_number() OVER (ORDER BY asking.n DESC, asking.best[1], asking.layer, asking.feature),
        asking.layer,
        asking.feature,
        (SELECT question FROM atlas.sample WHERE id = asking.best[2])
    FROM (
        SELECT
            example.layer,
            example.feature,
            count(*) AS n,
            min(ARRAY[example.rank, sample.id]) AS best
        FROM (
            SELECT id
            FROM atlas.sample
            WHERE to_tsvector('atlas.words', question) @@ asked
            ORDER BY hashint8(id), id
            LIMIT 1000
        ) AS sample
        JOIN atlas.example ON example.sample_id = sample.id
        WHERE example.run_id = searched_run AND example.quantile IS NULL
        GROUP BY example.layer, example.feature
        ORDER BY 3 DESC, (min(ARRAY[example.rank, sample.id]))[1], 1, 2
        LIMIT depth
    ) AS asking
    ORDER BY 2;

    RETURN QUERY
    SELECT
        'token',
        row_number() OVER (
            ORDER BY firing.n_words DESC, firing.n DESC, firing.best, firing.layer, firing.feature
        ),
        firing.layer,
        firing.feature,
        firing.token
    FROM (
        SELECT
            example.layer,
            example.feature,
            count(DISTINCT word) AS n_words,
            count(*) AS n,
            min(example.rank) AS best,
            (array_agg(
                btrim(example.tokens[example.max_token + 1])
                ORDER BY example.rank, example.source
            ))[1] AS token
        FROM unnest(CASE WHEN names = '{}' THEN stems ELSE names END) AS word
        JOIN atlas.example
            ON to_tsvector('atlas.words', example.tokens[example.max_token + 1])
                @@ plainto_tsquery('simple', word)
        WHERE example.run_id = searched_run AND example.rank < 3 AND example.quantile IS NULL
        GROUP BY example.layer, example.feature
        ORDER BY 3 DESC, 4 DESC, 5, 1, 2
        LIMIT depth
    ) AS firing
    ORDER BY 2;
END
$$;

COMMENT ON FUNCTION atlas.search_text IS
    'features of a run by words in their descriptions, their questions and the token they fire on';
