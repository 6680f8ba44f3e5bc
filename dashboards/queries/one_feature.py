"""What one feature is, and what changed of it."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, select


@cached
def feature(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """At most one row: the columns of the view feature_all_runs, and cosine_rank (0..1)."""
    return select(
        """
        SELECT f.*, s.cosine_rank
        FROM atlas.feature_all_runs f LEFT JOIN atlas.selection s USING (run_id, layer, feature)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def decoder_cosines(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """regime, cosine, encoder_cosine, base_norm, adapted_norm, best_base_feature,
    best_base_cosine, n_firings; null_cosine, excess_rotation, rotation_q_value (NULL: no refit
    null to compare with); a row per regime."""
    return select(
        """
        SELECT r.name AS regime, cosine, encoder_cosine, base_norm, adapted_norm,
               best_base_feature, best_base_cosine, n_firings,
               null_cosine, excess_rotation, rotation_q_value
        FROM atlas.decoder_cosine d JOIN atlas.regime r ON r.id = d.regime_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY r.id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def latent_scales(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """tokens (text, image), scale with its ends low and high (95 %), base_beta, vlm_beta, n_tokens;
    no row where the feature does not fire, or the stage did not run."""
    return select(
        """
        SELECT tokens, scale, scale - 1.96 * standard_error AS low,
               scale + 1.96 * standard_error AS high, base_beta, vlm_beta, n_tokens
        FROM atlas.latent_scaling CROSS JOIN LATERAL (VALUES
            ('text', scale_text, standard_error_text, base_beta_text, vlm_beta_text,
             n_tokens_text),
            ('image', scale_image, standard_error_image, base_beta_image, vlm_beta_image,
             n_tokens_image)
        ) AS part (tokens, scale, standard_error, base_beta, vlm_beta, n_tokens)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND n_tokens > 0
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def visual_energies(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """condition, energy, n_fired (NULL: not counted); a row per condition."""
    return select(
        """
        SELECT condition, energy, n_fired
        FROM atlas.visual_energy CROSS JOIN LATERAL (VALUES
            (1, 'image tokens', energy_image, fired_image),
            (2, 'text, with its image', energy_question, fired_question),
            (3, 'text, mean image', energy_question_mean_image, fired_question_mean_image),
            (4, 'text, no image', energy_question_no_image, fired_question_no_image),
            (5, 'constant prefix', energy_prefix, fired_prefix)
        ) AS part (place, condition, energy, n_fired)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY place
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def modality_preferences(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """against (no image, mean image), preference (log ratio of energies), low, high (95 %; NULL:
    a run from before it was measured); a row per kind of comparison."""
    return select(
        """
        SELECT against, preference, low, high
        FROM atlas.visual_energy CROSS JOIN LATERAL (VALUES
            (1, 'no image', modality_preference, modality_preference_low,
             modality_preference_high),
            (2, 'the mean image', mean_image_preference, mean_image_preference_low,
             mean_image_preference_high)
        ) AS part (place, against, preference, low, high)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
          AND preference IS NOT NULL
        ORDER BY place
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def firing_shifts(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """skill, and all numbers of the table firing_shift; a row per skill."""
    return select(
        """
        SELECT k.name AS skill, f.*
        FROM atlas.firing_shift f JOIN atlas.skill k ON k.id = f.skill_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY k.id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def neutral_prompts(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """skill, survives, prompt, n_samples, n_fired, n_fired_mean_image, mean_activation; a row
    per skill and prompt."""
    return select(
        """
        SELECT k.name AS skill, c.survives, p.prompt, p.n_samples, p.n_fired,
               p.n_fired_mean_image, p.mean_activation
        FROM atlas.neutral_prompt p JOIN atlas.skill k ON k.id = p.skill_id
        JOIN atlas.candidate c USING (run_id, skill_id, layer, feature)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY k.id, p.prompt_no
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def descriptions(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """The table auto_interp, and f1_gain, is_informative, needs_picture, grader_is_constant of the
    view label_score; the one that is the label unless a reviewer says otherwise comes first."""
    return select(
        """
        SELECT said.*, score.f1_gain, score.is_informative, score.needs_picture,
               score.grader_is_constant
        FROM atlas.auto_interp AS said JOIN atlas.label_score AS score USING (id)
        LEFT JOIN atlas.best_description AS best ON best.auto_interp_id = said.id
        WHERE said.run_id = :run_id AND said.layer = :layer AND said.feature = :feature
        ORDER BY best.auto_interp_id IS NULL, said.f1 DESC, said.id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def reviews(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """verdict, description, note, judged, reviewer, created_at; newest first."""
    return select(
        """
        SELECT verdict, description, note, judged, reviewer, created_at FROM atlas.review
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY created_at DESC, id DESC
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def review_agreement(run_id: int) -> pd.DataFrame:
    """reviewer, other_reviewer (None: all pairs together), n_features, share_same,
    share_by_chance, kappa with its ends kappa_low and kappa_high; all pairs first."""
    return select(
        """
        SELECT reviewer, other_reviewer, n_features, share_same, share_by_chance, kappa,
               kappa_low, kappa_high
        FROM atlas.review_agreement WHERE run_id = :run_id
        ORDER BY reviewer NULLS FIRST, other_reviewer
        """,
        run_id=run_id,
    )


@cached
def intruders(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """judge, model, n_trials, n_right, n_failed, accuracy with accuracy_low and accuracy_high
    (95 %), chance_p; a row per judge."""
    return select(
        """
        SELECT judge, model, n_trials, n_right, n_failed, accuracy, accuracy_low, accuracy_high,
               chance_p
        FROM atlas.intruder
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY judge, model
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def base_labels(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """base_label, model, method, source: what others say of the feature that it started from."""
    return select(
        """
        SELECT base_label, model, method, source FROM atlas.base_label_of_feature
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def same_feature(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """run_id, slug, state, published_at, layer, feature, label, cosine, visual_energy, is_adapted,
    survives_spatial, survives_ocr, spatial_odds_ratio, ablation_delta; a row per run that started
    from the same base SAEs, the newest first."""
    return select(
        """
        SELECT run_id, slug, state, published_at, layer, feature, label, cosine, visual_energy,
               is_adapted, survives_spatial, survives_ocr, spatial_odds_ratio, ablation_delta
        FROM atlas.feature_all_runs JOIN atlas.run ON run.id = run_id
        WHERE sae_set_id = (SELECT sae_set_id FROM atlas.run WHERE id = :run_id)
          AND layer = :layer AND feature = :feature
        ORDER BY published_at DESC, run_id DESC LIMIT :max_rows
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        max_rows=MAX_ROWS,
    )


@cached
def firing_feature_from(run_id: int, layer: int, start: int) -> pd.DataFrame:
    """feature: the first of a layer, from `start` on and then from 0, that fires on questions."""
    return select(
        """
        SELECT feature FROM atlas.feature_record
        WHERE run_id = :run_id AND layer = :layer AND firing_rate > 0
        ORDER BY feature < :start, feature LIMIT 1
        """,
        run_id=run_id,
        layer=layer,
        start=start,
    )
