-- features of a run by words, and by meaning where a vector of the words is given. Each kind of hit
-- is a list; a feature's score is the sum of 1 / (60 + place) over the lists it is in (reciprocal
-- rank fusion). `select * from atlas.search('left of')` searches the current run by words.
CREATE FUNCTION atlas.search(
    words text,
    searched_run integer DEFAULT NULL,
    max_rows integer DEFAULT 25,
    meaning real[] DEFAULT NULL,
    model text DEFAULT NULL,
    revision text DEFAULT ''
)
RETURNS TABLE (
    run_id integer,
    layer smallint,
    feature integer,
    label text,
    f1 real,
    score double precision,
    matched text[],
    snippet text
)
LANGUAGE sql STABLE
AS $$
WITH asked AS (
    SELECT
        coalesce(searched_run, (SELECT id FROM atlas.current_run)) AS run,
        greatest(max_rows, 60) AS depth
), hit AS (
    SELECT hits.*
    FROM asked CROSS JOIN LATERAL atlas.search_text(words, asked.run, asked.depth) AS hits
    UNION ALL
    SELECT hits.*
    FROM asked CROSS JOIN LATERAL atlas.search_meaning(
        meaning, search.model, search.revision, asked.run, asked.depth
    ) AS hits
), fused AS (
    SELECT
        hit.layer,
        hit.feature,
        sum(1.0::double precision / (60 + hit.place)) AS score,
        array_agg(hit.kind ORDER BY hit.place, hit.kind) AS matched,
        (array_agg(hit.whole_text ORDER BY hit.place, hit.kind))[1] AS whole_text
    FROM hit
    GROUP BY hit.layer, hit.feature
    ORDER BY score DESC, hit.layer, hit.feature
    LIMIT max_rows
)
SELECT
    asked.run,
    fused.layer,
    fused.feature,
    described.label,
    described.f1,
    fused.score,
    fused.matched,
    -- a token like <assistant> is no tag: ts_headline would leave it out
    translate(
        ts_headline(
            'atlas.words',
            translate(fused.whole_text, '<>', U&'\E000\E001'),
            websearch_to_tsquery('atlas.words', left(words, 1000)),
            'StartSel=«, StopSel=», MinWords=15, MaxWords=35, ShortWord=0'
        ),
        U&'\E000\E001',
        '<>'
    )
FROM fused
CROSS JOIN asked
LEFT JOIN LATERAL (
    SELECT wide.label, wide.f1
    FROM atlas.feature_all_runs AS wide
    WHERE wide.run_id = asked.run AND wide.layer = fused.layer AND wide.feature = fused.feature
    OFFSET 0 -- asked feature by feature: the view would sort all labels of the run otherwise
) AS described ON true
ORDER BY fused.score DESC, fused.layer, fused.feature
$$;

COMMENT ON FUNCTION atlas.search IS
    'features by words and meaning, merged by reciprocal rank; default: the current run, 25 rows';
