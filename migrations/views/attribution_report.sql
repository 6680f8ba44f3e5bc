-- how far attribution patching may be believed: estimates beside real swaps of the same heads on the
-- same samples, what each costs, whether its rankings hold on other samples, and how many heads that
-- it did not put first are causes all the same (5.2, C)
CREATE VIEW atlas.attribution_report AS
SELECT
    agreement.run_id,
    agreement.part,
    agreement.estimate,
    agreement.scope,
    agreement.spearman,
    agreement.pearson,
    agreement.sign_agreement,
    agreement.top_overlap,
    agreement.top_overlap_by_chance,
    agreement.n_features,
    agreement.n_pairs,
    agreement.n_samples,
    patched.n_top,
    patched.n_top_causal,
    patched.n_random,
    patched.n_random_causal,
    rank() OVER (
        PARTITION BY agreement.run_id, agreement.corruption, agreement.part, agreement.scope
        ORDER BY agreement.spearman DESC NULLS LAST
    ) AS place,
    agreement.spearman_low,
    agreement.spearman_high,
    agreement.top_overlap_low,
    agreement.top_overlap_high,
    agreement.n_passes,
    agreement.n_passes_exact,
    stability.spearman AS stable_spearman,
    stability.jaccard AS stable_jaccard,
    stability.wordings_spearman,
    stability.wordings_jaccard,
    agreement.corruption
FROM atlas.attribution_agreement AS agreement
LEFT JOIN (
    SELECT
        run_id,
        corruption,
        part,
        method,
        count(*) FILTER (WHERE why = 'top') AS n_top,
        count(*) FILTER (WHERE why = 'top' AND is_causal) AS n_top_causal,
        count(*) FILTER (WHERE why = 'random') AS n_random,
        count(*) FILTER (WHERE why = 'random' AND is_causal) AS n_random_causal
    FROM atlas.head_exact
    GROUP BY run_id, corruption, part, method
) AS patched
    ON patched.run_id = agreement.run_id
    AND patched.corruption = agreement.corruption
    AND patched.part = agreement.part
    AND patched.method = left(agreement.estimate, 1)
LEFT JOIN (
    SELECT
        run_id,
        corruption,
        estimate,
        avg(spearman) FILTER (WHERE over = 'samples') AS spearman,
        avg(jaccard) FILTER (WHERE over = 'samples') AS jaccard,
        avg(spearman) FILTER (WHERE over = 'wordings') AS wordings_spearman,
        avg(jaccard) FILTER (WHERE over = 'wordings') AS wordings_jaccard
    FROM atlas.head_stability
    GROUP BY run_id, corruption, estimate
) AS stability
    ON stability.run_id = agreement.run_id
    AND stability.corruption = agreement.corruption
    AND stability.estimate = agreement.estimate
    AND agreement.part = 'qk';

COMMENT ON VIEW atlas.attribution_report IS
    'how well attribution foretells real patching, and what it misses (5.2, C)';
COMMENT ON COLUMN atlas.attribution_report.place IS
    'place among the estimates of this corruption, part and scope by spearman; 1: agrees best';
COMMENT ON COLUMN atlas.attribution_report.spearman IS 'correlation of their ranks';
COMMENT ON COLUMN atlas.attribution_report.estimate IS
    'method of attribution, as in attribution_agreement';
COMMENT ON COLUMN atlas.attribution_report.stable_spearman IS
    'rank correlation of two rankings whose samples are drawn anew, mean over traced features; '
    'none: of another part than qk';
COMMENT ON COLUMN atlas.attribution_report.stable_jaccard IS
    'of the heads among their first ten, the share that both have, likewise';
COMMENT ON COLUMN atlas.attribution_report.wordings_spearman IS
    'rank correlation of two rankings by the same samples in two wordings, mean over traced features; '
    'none: not asked, or under another corruption than the first';
COMMENT ON COLUMN atlas.attribution_report.wordings_jaccard IS
    'of the heads among their first ten, the share that both have, likewise';
COMMENT ON COLUMN atlas.attribution_report.n_samples IS
    'top samples of a feature averaged over, at most';
COMMENT ON COLUMN atlas.attribution_report.n_top IS
    'pairs of any feature and a head put first that were patched, the way of this method''s swap';
COMMENT ON COLUMN atlas.attribution_report.n_top_causal IS
    'of these, the ones that are causes; the rest was put first in error';
COMMENT ON COLUMN atlas.attribution_report.n_random IS
    'pairs of any feature and a head drawn from the others that were patched';
COMMENT ON COLUMN atlas.attribution_report.n_random_causal IS
    'of these, the ones that are causes: over n_random the share of what screening misses';
