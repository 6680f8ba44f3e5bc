"""What the paper's figures show of a whole run, summed in the database where features are many."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, kept, select


@cached
def fvu_curves(run_id: int) -> pd.DataFrame:
    """regime, layer, tokens_seen, role, fvu, l0, n_tokens; role `all`: those of the regime."""
    return select(
        """
        SELECT r.name AS regime, c.layer, c.tokens_seen, c.role, c.fvu, c.l0, c.n_tokens
        FROM atlas.training_curve c JOIN atlas.regime r ON r.id = c.regime_id
        WHERE c.run_id = :run_id
        ORDER BY c.regime_id, c.layer, c.tokens_seen, c.role
        """,
        run_id=run_id,
    )


@cached
def cosines_by_layer(run_id: int) -> pd.DataFrame:
    """regime, layer, n_features, mean; n_fired, mean_fired, lower_fired, upper_fired: the same and
    the quartiles over features that fired in training, the others were never updated."""
    return select(
        """
        SELECT r.name AS regime, per_layer.*
        FROM (
            SELECT regime_id, layer, count(*) AS n_features, avg(cosine) AS mean,
                   count(*) FILTER (WHERE n_firings > 0) AS n_fired,
                   avg(cosine) FILTER (WHERE n_firings > 0) AS mean_fired,
                   percentile_cont(0.25) WITHIN GROUP (ORDER BY cosine)
                       FILTER (WHERE n_firings > 0) AS lower_fired,
                   percentile_cont(0.75) WITHIN GROUP (ORDER BY cosine)
                       FILTER (WHERE n_firings > 0) AS upper_fired
            FROM atlas.decoder_cosine WHERE run_id = :run_id GROUP BY regime_id, layer
        ) AS per_layer
        JOIN atlas.regime r ON r.id = per_layer.regime_id
        ORDER BY regime_id, layer
        """,
        run_id=run_id,
    )


@kept
def mean_cosines(run_id: int) -> pd.DataFrame:
    """regime, layer, mean over all features of the layer; from the wide row, which knows six."""
    return select(
        """
        SELECT regime, layer, mean
        FROM (
            SELECT layer, avg(cosine) AS text, avg(cosine_image) AS image,
                   avg(cosine_full) AS "full", avg(cosine_random) AS random,
                   avg(cosine_refit) AS refit, avg(cosine_language) AS language
            FROM atlas.feature_record WHERE run_id = :run_id GROUP BY layer
        ) AS wide
        CROSS JOIN LATERAL (
            VALUES (1, 'text', text), (2, 'image', image), (3, 'full', "full"),
                   (4, 'random', random), (5, 'refit', refit), (6, 'language', language)
        ) AS long (place, regime, mean)
        WHERE mean IS NOT NULL ORDER BY place, layer
        """,
        run_id=run_id,
    )


@kept
def cosine_quantiles(run_id: int, regime: str) -> pd.DataFrame:
    """layer, n_features, lowest_5, lowest_25, median, highest_25, highest_5: of the features that
    fired while this regime trained, the others were never updated."""
    return select(
        """
        SELECT layer, n_features, quantiles[1] AS lowest_5, quantiles[2] AS lowest_25,
               quantiles[3] AS median, quantiles[4] AS highest_25, quantiles[5] AS highest_5
        FROM (
            SELECT layer, count(*) AS n_features,
                   percentile_cont('{0.05,0.25,0.5,0.75,0.95}'::float[])
                       WITHIN GROUP (ORDER BY cosine) AS quantiles
            FROM atlas.decoder_cosine
            WHERE run_id = :run_id AND n_firings > 0
              AND regime_id = (SELECT id FROM atlas.regime WHERE name = :regime)
            GROUP BY layer
        ) AS of_layer ORDER BY layer
        """,
        run_id=run_id,
        regime=regime,
    )


@kept
def adapted_by_layer(run_id: int) -> pd.DataFrame:
    """layer, n_adapted, n_beyond_null, n_beyond_language, n_turned_by_vision (NULL: no such
    control)."""
    return select(
        """
        SELECT layer, n_adapted, n_beyond_null, n_beyond_language, n_turned_by_vision
        FROM atlas.adapted_beyond_null_by_layer WHERE run_id = :run_id ORDER BY layer
        """,
        run_id=run_id,
    )


@kept
def adapted_cosines(run_id: int) -> pd.DataFrame:
    """layer, n_adapted, n_turned; mean_all, mean_adapted (lower, upper: its quartiles),
    mean_turned (by vision); of the adapted, mean_null (refit features that fired as often) and
    mean_language (their cosine without pictures)."""
    return select(
        """
        SELECT layer,
               count(*) FILTER (WHERE is_adapted) AS n_adapted,
               count(*) FILTER (WHERE is_turned_by_vision) AS n_turned,
               avg(cosine) AS mean_all,
               avg(cosine) FILTER (WHERE is_adapted) AS mean_adapted,
               percentile_cont(0.25) WITHIN GROUP (ORDER BY cosine)
                   FILTER (WHERE is_adapted) AS lower,
               percentile_cont(0.75) WITHIN GROUP (ORDER BY cosine)
                   FILTER (WHERE is_adapted) AS upper,
               avg(cosine) FILTER (WHERE is_turned_by_vision) AS mean_turned,
               -- excess_rotation is the null's cosine less its own
               avg(cosine + excess_rotation) FILTER (WHERE is_adapted) AS mean_null,
               avg(cosine_language) FILTER (WHERE is_adapted) AS mean_language
        FROM atlas.feature_record WHERE run_id = :run_id GROUP BY layer ORDER BY layer
        """,
        run_id=run_id,
    )


@kept
def energies_by_layer(run_id: int) -> pd.DataFrame:
    """layer, image, question (the paper's E_v), no_image: means over all features of a layer."""
    return select(
        """
        SELECT layer, avg(energy_image) AS image, avg(visual_energy) AS question,
               avg(energy_question_no_image) AS no_image
        FROM atlas.feature_record WHERE run_id = :run_id GROUP BY layer ORDER BY layer
        """,
        run_id=run_id,
    )


@kept
def selection_sweep(
    run_id: int, epsilons: list[float], cosine_quantiles: list[float]
) -> pd.DataFrame:
    """epsilon, cosine_quantile, n_selected, jaccard, layer_correlation; a row per pair."""
    return select(
        """
        SELECT * FROM atlas.selection_sweep(
            cast(:epsilons AS float[]), cast(:cosine_quantiles AS float[]),
            cast(:run_id AS integer))
        """,
        run_id=run_id,
        epsilons=epsilons,
        cosine_quantiles=cosine_quantiles,
    )


@kept
def firing_rates(run_id: int, skill: str, per_decade: int) -> pd.DataFrame:
    """split (skill, base), rate (lower end of a bin of the logarithm; NULL: never fires),
    n_features: all features of the run by their firing rate per token."""
    return select(
        """
        SELECT split, power(10, step / :per_decade) AS rate, sum(n_features)::bigint AS n_features
        FROM (
            -- both at once, so that every feature is looked at once; NULL: never fires; a rate of
            -- exactly 1 belongs to the last bin
            SELECT floor(:per_decade * log(least(nullif(fired_skill, 0)::float / tokens_skill,
                                                 0.999999))) AS step_skill,
                   floor(:per_decade * log(least(nullif(fired_base, 0)::float / tokens_base,
                                                 0.999999))) AS step_base,
                   count(*) AS n_features
            FROM atlas.firing_shift
            WHERE run_id = :run_id AND skill_id = (SELECT id FROM atlas.skill WHERE name = :skill)
            GROUP BY 1, 2
        ) AS counted
        CROSS JOIN LATERAL (VALUES ('skill', step_skill), ('base', step_base)) AS part (split, step)
        GROUP BY split, step ORDER BY split, step
        """,
        run_id=run_id,
        skill=skill,
        per_decade=float(per_decade),
    )


@cached
def adapted_shifts(run_id: int, skill: str) -> pd.DataFrame:
    """layer, feature, rate_skill, rate_base, is_candidate, survives, is_turned_by_vision, and the
    odds ratio with its 95 % interval per token (also with images resampled), per question, on
    question tokens alone and among questions of one length: every adapted feature."""
    return select(
        """
        SELECT layer, feature, is_candidate, survives, is_turned_by_vision,
               fired_skill::float / nullif(tokens_skill, 0) AS rate_skill,
               fired_base::float / nullif(tokens_base, 0) AS rate_base,
               odds_ratio, odds_ratio_low, odds_ratio_high,
               odds_ratio_boot_low, odds_ratio_boot_high,
               question_odds_ratio, question_odds_ratio_low, question_odds_ratio_high,
               role_odds_ratio, role_odds_ratio_low, role_odds_ratio_high,
               matched_odds_ratio, matched_odds_ratio_low, matched_odds_ratio_high
        FROM atlas.skill_shift
        JOIN (
            SELECT run_id, layer, feature, is_turned_by_vision FROM atlas.selection
        ) AS chosen USING (run_id, layer, feature)
        WHERE run_id = :run_id AND skill = :skill AND is_adapted
        ORDER BY layer, feature
        """,
        run_id=run_id,
        skill=skill,
    )
