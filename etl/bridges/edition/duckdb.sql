-- What an edition has in DuckDB's own words: views that would be long as tables, and functions.

-- whatever the atlas has published since
CREATE VIEW atlas.current_run AS
SELECT
    run.id,
    run.slug,
    run.config,
    run.config_hash,
    run.parent_id,
    run.code_version,
    run.dirty,
    run.created_at,
    run.published_at,
    run.n_layers,
    run.d_sae,
    vlm.name AS vlm,
    vlm.base_name AS base_model,
    sae_set.name AS sae_set
FROM atlas.run AS run
JOIN atlas.vlm AS vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set AS sae_set ON sae_set.id = run.sae_set_id;

CREATE VIEW atlas.near_feature AS
SELECT
    run_id,
    layer,
    feature,
    unnest(range(1, len(features) + 1))::INTEGER AS place,
    unnest(features) AS near_feature,
    unnest(cosines) AS cosine
FROM atlas.nearest_feature;

CREATE VIEW atlas.activation_bin AS
SELECT
    run_id,
    layer,
    feature,
    role,
    bin,
    CASE WHEN bin > 0 THEN (1 + bin % 2 / 2::DOUBLE) * 2 ^ (bin // 2 - 6) ELSE 0 END AS low,
    CASE
        WHEN bin < 31 THEN (1 + (bin + 1) % 2 / 2::DOUBLE) * 2 ^ ((bin + 1) // 2 - 6)
    END AS high,
    n_tokens
FROM (
    SELECT
        run_id,
        layer,
        feature,
        role,
        (first_bin + unnest(range(len(n_tokens))))::INTEGER AS bin,
        unnest(n_tokens) AS n_tokens
    FROM atlas.activation_histogram
);

CREATE MACRO atlas.run_id(named) AS (SELECT id FROM atlas.run WHERE slug = named);

COMMENT ON MACRO atlas.run_id IS 'number of the run of this name; NULL if it is not in the edition';

-- a feature's rank is the share of features with a lower cosine; the bottom share has those below it
CREATE MACRO atlas.adapted_set(epsilon, cosine_quantile, run := NULL) AS TABLE
SELECT layer, feature
FROM (
    SELECT
        *,
        (rank() OVER (ORDER BY cosine) - 1)::DOUBLE / count(*) OVER () AS cosine_rank
    FROM atlas.feature
    WHERE run IS NULL OR run_id = run
)
WHERE cosine_rank < CASE
        WHEN cosine_quantile BETWEEN 0 AND 1 THEN cosine_quantile::DOUBLE
        ELSE error('the cosine quantile is a share, 0 to 1 (25 % is 0.25)')
    END
    AND cosine < 1
    AND visual_energy > epsilon;

COMMENT ON MACRO TABLE atlas.adapted_set IS
    'features adapted at these thresholds: visual energy above epsilon, cosine in the bottom share (4.2)';

CREATE MACRO atlas.selection_sweep(epsilons, cosine_quantiles, run := NULL) AS TABLE
WITH ranked AS (
    SELECT
        *,
        (rank() OVER (ORDER BY cosine) - 1)::DOUBLE / count(*) OVER () AS cosine_rank
    FROM atlas.feature
    WHERE run IS NULL OR run_id = run
), tried AS (
    SELECT DISTINCT epsilon, cosine_quantile
    FROM (SELECT unnest(epsilons)::DOUBLE AS epsilon)
    CROSS JOIN (SELECT unnest(cosine_quantiles)::DOUBLE AS cosine_quantile)
    WHERE epsilon IS NOT NULL AND cosine_quantile IS NOT NULL
), by_layer AS (
    SELECT
        epsilon,
        cosine_quantile,
        layer,
        count(*) FILTER (WHERE passes) AS n_selected,
        count(*) FILTER (WHERE is_adapted) AS n_chosen,
        count(*) FILTER (WHERE passes AND is_adapted) AS n_both
    FROM (
        SELECT
            tried.*,
            layer,
            is_adapted,
            visual_energy > epsilon AND cosine_rank < cosine_quantile AND cosine < 1 AS passes
        FROM tried
        CROSS JOIN ranked
    )
    GROUP BY epsilon, cosine_quantile, layer
)
SELECT
    epsilon,
    cosine_quantile,
    sum(n_selected)::BIGINT AS n_selected,
    coalesce(sum(n_both)::DOUBLE / nullif(sum(n_selected + n_chosen - n_both), 0), 1) AS jaccard,
    CASE
        WHEN stddev_pop(n_selected) > 0 AND stddev_pop(n_chosen) > 0
            THEN corr(n_selected, n_chosen)
        ELSE 0
    END AS layer_correlation
FROM by_layer
GROUP BY epsilon, cosine_quantile
ORDER BY epsilon, cosine_quantile;

COMMENT ON MACRO TABLE atlas.selection_sweep IS
    'size of the adapted set at every pair of thresholds, its overlap with the set that the run chose (shared / in either), and the correlation of their counts per layer (A.4)';

-- every word has to be there, as it is: no stems, no phrases, nothing by meaning
CREATE MACRO atlas.search(words, max_rows := 25) AS TABLE
WITH asked AS (
    SELECT regexp_extract_all(lower(words), '\w+') AS asked
), said AS (
    SELECT layer, feature, 'description' AS kind, description AS whole_text,
        row_number() OVER (ORDER BY f1 DESC NULLS LAST, layer, feature) AS place
    FROM atlas.description
    CROSS JOIN asked
    WHERE len(asked) > 0
        AND list_has_all(regexp_extract_all(lower(description), '\w+'), asked)
), sample_hit AS (
    SELECT id, question
    FROM atlas.sample
    CROSS JOIN asked
    WHERE len(asked) > 0 AND list_has_all(regexp_extract_all(lower(question), '\w+'), asked)
), question_hit AS (
    SELECT layer, feature, 'question' AS kind, min_by(question, rank) AS whole_text,
        row_number() OVER (ORDER BY count(*) DESC, layer, feature) AS place
    FROM atlas.example
    JOIN sample_hit ON sample_hit.id = sample_id
    WHERE quantile IS NULL
    GROUP BY layer, feature
), fused AS (
    SELECT
        layer,
        feature,
        sum(1::DOUBLE / (60 + place)) AS score,
        list(DISTINCT kind ORDER BY kind) AS matched,
        min_by(whole_text, place) AS snippet
    FROM (FROM said UNION ALL FROM question_hit)
    GROUP BY layer, feature
)
SELECT run_id, layer, feature, label, f1, score, matched, snippet
FROM fused
JOIN atlas.feature USING (layer, feature)
ORDER BY score DESC, layer, feature
LIMIT max_rows;

COMMENT ON MACRO TABLE atlas.search IS
    'features by words in their descriptions and in the questions of their strongest samples; every word has to be there as it is';

-- the nearest that are stored, and who counts this one among theirs
CREATE MACRO atlas.near(of_layer, of_feature, cosine_at_least := -1, n := 10) AS TABLE
SELECT layer, other AS feature, max(cosine) AS cosine
FROM (
    SELECT layer, near_feature AS other, cosine
    FROM atlas.near_feature
    WHERE layer = of_layer AND feature = of_feature
    UNION ALL
    SELECT layer, feature, cosine
    FROM atlas.near_feature
    WHERE layer = of_layer AND near_feature = of_feature
)
WHERE cosine >= cosine_at_least
GROUP BY layer, other
ORDER BY max(cosine) DESC, other
LIMIT n;

COMMENT ON MACRO TABLE atlas.near IS
    'the nearest features of a layer by the cosine of decoder rows, none below cosine_at_least (4.2)';
