-- the adapted set at every pair of thresholds, beside the one the run chose (A.4, Fig. 8)
--
-- One pass: a feature passes the first so many epsilons in rising order, and the last so many cosine
-- cuts. So features are counted by these two numbers, and what passes a pair of thresholds is a sum
-- over few counts, however long the grid.
CREATE FUNCTION atlas.selection_sweep(
    epsilons double precision[],
    cosine_quantiles double precision[],
    run integer DEFAULT NULL
)
RETURNS TABLE (
    epsilon double precision,
    cosine_quantile double precision,
    n_selected bigint,
    jaccard double precision,
    layer_correlation double precision
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    WITH chosen AS (
        SELECT coalesce(run, (SELECT id FROM atlas.current_run)) AS run_id
    ),
    energy_cut AS (
        SELECT epsilon, row_number() OVER (ORDER BY epsilon) AS place
        FROM (SELECT DISTINCT unnest(epsilons)) AS given (epsilon)
        WHERE epsilon IS NOT NULL
    ),
    cosine_cut AS (
        SELECT cut.*, row_number() OVER (ORDER BY cosine_quantile DESC) AS place
        FROM chosen CROSS JOIN LATERAL atlas.cosine_cut(cosine_quantiles, chosen.run_id) AS cut
    ),
    -- negative, so that width_bucket, whose thresholds rise and count when equal, counts epsilons
    -- that the energy does not exceed, and cuts that the cosine does not
    threshold AS MATERIALIZED (
        SELECT
            ARRAY(SELECT -epsilon FROM energy_cut ORDER BY epsilon DESC) AS energies,
            ARRAY(SELECT -cosine::double precision FROM cosine_cut ORDER BY place) AS cosines
    ),
    counted AS MATERIALIZED (
        SELECT
            layer,
            is_adapted,
            cardinality(energies)
                - width_bucket(-visual_energy::double precision, energies) AS n_energy,
            CASE
                WHEN cosine < 1 THEN width_bucket(-cosine::double precision, cosines)
                ELSE 0
            END AS n_cosine,
            count(*) AS n
        FROM atlas.feature_record
        CROSS JOIN threshold
        WHERE run_id = (SELECT run_id FROM chosen)
        GROUP BY 1, 2, 3, 4
    ),
    by_layer AS (
        SELECT
            energy_cut.epsilon,
            cosine_cut.cosine_quantile,
            layer,
            coalesce(sum(n) FILTER (WHERE passes), 0) AS n_selected,
            coalesce(sum(n) FILTER (WHERE is_adapted), 0) AS n_chosen,
            coalesce(sum(n) FILTER (WHERE passes AND is_adapted), 0) AS n_both
        FROM energy_cut
        CROSS JOIN cosine_cut
        CROSS JOIN counted
        CROSS JOIN LATERAL (
            SELECT n_energy >= energy_cut.place AND n_cosine >= cosine_cut.place AS passes
        ) AS tried
        GROUP BY 1, 2, 3
    )
    SELECT
        epsilon,
        cosine_quantile,
        sum(n_selected)::bigint,
        coalesce(
            sum(n_both)::double precision / nullif(sum(n_selected + n_chosen - n_both), 0), 1
        ),
        -- NULL where either count is the same in every layer
        coalesce(corr(n_selected::double precision, n_chosen::double precision), 0)
    FROM by_layer
    GROUP BY 1, 2
    ORDER BY 1, 2
$$;

COMMENT ON FUNCTION atlas.selection_sweep(double precision[], double precision[], integer) IS
    'size of the adapted set at every pair of thresholds, its overlap with the set that the run '
    'chose (shared / in either), and the correlation of their counts per layer; of the current run '
    'unless another is named (A.4)';
