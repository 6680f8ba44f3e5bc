"""How strongly one feature fires, which tokens it writes, and what writes nearly the same."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def activation_bins(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """role, bin, low, high (NULL: no upper edge), n_tokens; a row per role and bin with tokens
    or between such."""
    return select(
        """
        SELECT role, bin, low::float AS low, high::float AS high, n_tokens FROM atlas.activation_bin
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY role, bin
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def logit_effects(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """side (top, bottom), place, token, token_id, effect; the strongest of each side first."""
    return select(
        """
        SELECT side, place, token, token_id, effect
        FROM atlas.logit_effect CROSS JOIN LATERAL (
            SELECT 'top' AS side, * FROM unnest(top_tokens, top_token_ids, top_effects)
                WITH ORDINALITY AS t (token, token_id, effect, place)
            UNION ALL
            SELECT 'bottom', * FROM unnest(bottom_tokens, bottom_token_ids, bottom_effects)
                WITH ORDINALITY AS b (token, token_id, effect, place)
        ) AS written
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY side DESC, place
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def output_scores(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """tokens_of (logits, label), tokens, alpha, n_prompts, n_controls; output_score with _before,
    _control and the ends of its gain; log_probability_delta with _control and the ends likewise."""
    return select(
        """
        SELECT tokens_of, tokens, alpha, n_prompts, n_controls, output_score,
               output_score_before, output_score_control, output_score_gain_low,
               output_score_gain_high, log_probability_delta, log_probability_control,
               log_probability_gain_low, log_probability_gain_high
        FROM atlas.output_score
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY tokens_of DESC
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def near_features(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """layer, feature (the other one), cosine, label, is_adapted, own_cosine (with its base); the
    nearest first."""
    return select(
        """
        SELECT near.layer, near.near_feature AS feature, near.cosine, said.label,
               record.is_adapted, record.cosine AS own_cosine
        FROM atlas.near_feature AS near
        JOIN atlas.feature_record AS record
            ON record.run_id = :run_id AND record.layer = :layer
            AND record.feature = near.near_feature
        LEFT JOIN atlas.feature_label AS said
            ON said.run_id = :run_id AND said.layer = :layer AND said.feature = near.near_feature
        WHERE near.run_id = :run_id AND near.layer = :layer AND near.feature = :feature
        ORDER BY near.place
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )
