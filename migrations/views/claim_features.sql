-- numbers of the paper's claims about features (4.2, 4.3, A), from one pass over a run's wide rows.
-- A share is counted (hits of n cases); another number is a mean, or a difference of two, with its
-- variance. Shallow, middle and deep are the thirds of the layers that have dictionaries.
CREATE VIEW atlas.claim_features AS
SELECT
    run_id,
    claim,
    check_no,
    coalesce(hits / nullif(n, 0)::double precision, mean) AS value,
    coalesce(share.low, mean - 1.96 * sqrt(variance)) AS low,
    coalesce(share.high, mean + 1.96 * sqrt(variance)) AS high
FROM (
    SELECT
        run_id,
        count(*) AS n_all,
        count(*) FILTER (WHERE visual_energy = 0) AS n_blind,
        count(*) FILTER (WHERE is_adapted) AS n_adapted,
        count(*) FILTER (WHERE is_spatial_candidate) AS n_candidates,
        count(*) FILTER (WHERE survives_spatial) AS n_survivors,
        -- NULL where there are no controls, or no such skill
        CASE WHEN count(is_turned_by_vision) > 0
            THEN count(*) FILTER (WHERE is_spatial_candidate AND is_turned_by_vision)
        END AS n_candidates_turned,
        CASE WHEN count(is_turned_by_vision) > 0
            THEN count(*) FILTER (WHERE survives_spatial AND is_turned_by_vision)
        END AS n_survivors_turned,
        count(*) FILTER (WHERE is_ocr_candidate) AS n_ocr,
        count(*) FILTER (WHERE is_ocr_candidate AND is_spatial_candidate) AS n_ocr_spatial,
        CASE WHEN count(ocr_q_value) > 0 THEN count(*) FILTER (WHERE survives_ocr) END
            AS n_ocr_survivors,
        avg(adapted) FILTER (WHERE reads) - avg(adapted) FILTER (WHERE sees) AS reading_adapted,
        var_samp(adapted) FILTER (WHERE reads) / nullif(count(*) FILTER (WHERE reads), 0)
            + var_samp(adapted) FILTER (WHERE sees) / nullif(count(*) FILTER (WHERE sees), 0)
            AS reading_adapted_variance,
        avg(cosine - cosine_full) FILTER (WHERE is_shallow) AS text_full,
        var_samp(cosine - cosine_full) FILTER (WHERE is_shallow)
            / nullif(count(*) FILTER (WHERE is_shallow), 0) AS text_full_variance,
        avg(cosine - cosine_image) FILTER (WHERE is_shallow) AS text_image,
        var_samp(cosine - cosine_image) FILTER (WHERE is_shallow)
            / nullif(count(*) FILTER (WHERE is_shallow), 0) AS text_image_variance,
        avg(cosine_random) AS random,
        var_samp(cosine_random) / count(*) AS random_variance,
        avg(cosine_image) FILTER (WHERE is_deep) - avg(cosine_image) FILTER (WHERE is_shallow)
            AS image_rise,
        var_samp(cosine_image) FILTER (WHERE is_deep) / nullif(count(*) FILTER (WHERE is_deep), 0)
            + var_samp(cosine_image) FILTER (WHERE is_shallow)
            / nullif(count(*) FILTER (WHERE is_shallow), 0) AS image_rise_variance,
        avg(cosine_full) FILTER (WHERE is_deep) - avg(cosine_full) FILTER (WHERE is_shallow)
            AS full_rise,
        var_samp(cosine_full) FILTER (WHERE is_deep) / nullif(count(*) FILTER (WHERE is_deep), 0)
            + var_samp(cosine_full) FILTER (WHERE is_shallow)
            / nullif(count(*) FILTER (WHERE is_shallow), 0) AS full_rise_variance,
        avg(adapted) FILTER (WHERE is_middle) - avg(adapted) FILTER (WHERE is_deep) AS middle_deep,
        var_samp(adapted) FILTER (WHERE is_middle) / nullif(count(*) FILTER (WHERE is_middle), 0)
            + var_samp(adapted) FILTER (WHERE is_deep) / nullif(count(*) FILTER (WHERE is_deep), 0)
            AS middle_deep_variance,
        avg(adapted) FILTER (WHERE is_middle) - avg(adapted) FILTER (WHERE is_shallow)
            AS middle_shallow,
        var_samp(adapted) FILTER (WHERE is_middle) / nullif(count(*) FILTER (WHERE is_middle), 0)
            + var_samp(adapted) FILTER (WHERE is_shallow) / nullif(count(*) FILTER (WHERE is_shallow), 0)
            AS middle_shallow_variance,
        avg(turned) FILTER (WHERE is_middle) - avg(turned) FILTER (WHERE is_deep) AS turned_deep,
        var_samp(turned) FILTER (WHERE is_middle) / nullif(count(*) FILTER (WHERE is_middle), 0)
            + var_samp(turned) FILTER (WHERE is_deep) / nullif(count(*) FILTER (WHERE is_deep), 0)
            AS turned_deep_variance
    FROM atlas.feature_record
    JOIN (
        SELECT
            run.id AS run_id,
            of_run.layer::smallint AS layer,
            (run.config -> 'selection' ->> 'epsilon')::double precision AS epsilon,
            place <= a_third AS is_shallow,
            place > a_third AND place <= run.n_layers - a_third AS is_middle,
            place > greatest(run.n_layers - a_third, 1) AS is_deep
        FROM atlas.run
        JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
        CROSS JOIN LATERAL (SELECT ceil(run.n_layers / 3.0) AS a_third) AS size
        CROSS JOIN LATERAL unnest(sae_set.layers) WITH ORDINALITY AS of_run (layer, place)
        OFFSET 0 -- as it stands: else the configuration would be read again for every feature
    ) AS part USING (run_id, layer)
    CROSS JOIN LATERAL (
        SELECT
            is_adapted::integer::double precision AS adapted,
            is_turned_by_vision::integer::double precision AS turned,
            visual_energy > epsilon AS sees,
            visual_energy > epsilon AND ocr_odds_ratio_low > 1 AND ocr_q_value < 0.05 AS reads
    ) AS told
    GROUP BY run_id
) AS counted
CROSS JOIN LATERAL (
    VALUES
        ('half-do-not-see', 1, n_blind, n_all, NULL::double precision, NULL::double precision),
        ('few-adapt', 1, n_adapted, n_all, NULL, NULL),
        ('spatial-recruits-some', 1, n_candidates, n_adapted, NULL, NULL),
        ('spatial-recruits-some', 3, n_candidates_turned, n_candidates, NULL, NULL),
        ('neutral-prompts-decide', 1, n_survivors, n_candidates, NULL, NULL),
        ('survivors-are-used', 3, n_survivors_turned, n_survivors, NULL, NULL),
        ('ocr-likewise', 1, n_ocr_survivors, n_adapted, NULL, NULL),
        ('ocr-likewise', 2, n_ocr_spatial, n_ocr, NULL, NULL),
        ('ocr-likewise', 3, NULL, NULL, reading_adapted, reading_adapted_variance),
        ('text-stays-aligned', 1, NULL, NULL, text_full, text_full_variance),
        ('text-stays-aligned', 2, NULL, NULL, text_image, text_image_variance),
        ('text-stays-aligned', 3, NULL, NULL, random, random_variance),
        ('deeper-layers-align', 1, NULL, NULL, image_rise, image_rise_variance),
        ('deeper-layers-align', 2, NULL, NULL, full_rise, full_rise_variance),
        ('middle-layers-adapt', 1, NULL, NULL, middle_deep, middle_deep_variance),
        ('middle-layers-adapt', 2, NULL, NULL, middle_shallow, middle_shallow_variance),
        ('middle-layers-adapt', 3, NULL, NULL, turned_deep, turned_deep_variance)
) AS number (claim, check_no, hits, n, mean, variance)
LEFT JOIN LATERAL atlas.share_interval(hits, n) AS share ON true;

COMMENT ON VIEW atlas.claim_features IS 'numbers of the paper''s claims about features (4.2, 4.3, A)';
COMMENT ON COLUMN atlas.claim_features.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_features.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_features.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_features.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_features.high IS 'upper end of that interval';
