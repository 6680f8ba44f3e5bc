"""Everything known of one feature."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


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
    best_base_cosine, n_firings; a row per regime."""
    return select(
        """
        SELECT r.name AS regime, cosine, encoder_cosine, base_norm, adapted_norm,
               best_base_feature, best_base_cosine, n_firings
        FROM atlas.decoder_cosine d JOIN atlas.regime r ON r.id = d.regime_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY r.id
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
            (2, 'question, with its image', energy_question, fired_question),
            (3, 'question, mean image', energy_question_mean_image, fired_question_mean_image),
            (4, 'question, no image', energy_question_no_image, fired_question_no_image),
            (5, 'constant prefix', energy_prefix, NULL)
        ) AS part (place, condition, energy, n_fired)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY place
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
    """The table auto_interp, best F1 first."""
    return select(
        """
        SELECT * FROM atlas.auto_interp
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY f1 DESC, id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def reviews(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """verdict, description, note, reviewer, created_at; newest first."""
    return select(
        """
        SELECT verdict, description, note, reviewer, created_at FROM atlas.review
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY created_at DESC, id DESC
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def examples(run_id: int, layer: int, feature: int, n_ranks: int) -> pd.DataFrame:
    """source, rank, question, answer, relation, max_activation, tokens, activations, external_id,
    thumbnail; the strongest `n_ranks` of each source."""
    return select(
        """
        SELECT e.source, e.rank, s.question, s.answer, s.relation, e.max_activation, e.tokens,
               e.activations, s.external_id, i.thumbnail
        FROM atlas.example e JOIN atlas.sample s ON s.id = e.sample_id
        JOIN atlas.image i ON i.id = s.image_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND e.rank < :n_ranks
        ORDER BY e.source, e.rank
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        n_ranks=n_ranks,
    )


@cached
def head_attributions(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """method, head_layer, head, score, q, k, v, z, standard_error, n_samples."""
    return select(
        """
        SELECT method, head_layer, head, score, q, k, v, z, standard_error, n_samples
        FROM atlas.head_attribution
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY method, head_layer, head
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def overlays(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """sample_id, question, answer, thumbnail, kind, method, head_layer, head, score, grid_rows,
    grid_columns, weights, image_mass; samples in order of activation, heads in order of score."""
    return select(
        """
        SELECT o.sample_id, s.question, s.answer, i.thumbnail, o.kind, o.method, o.head_layer,
               o.head, h.score, o.grid_rows, o.grid_columns, o.weights, o.image_mass
        FROM atlas.overlay o JOIN atlas.sample s ON s.id = o.sample_id
        JOIN atlas.image i ON i.id = s.image_id
        LEFT JOIN atlas.head_attribution h USING (run_id, layer, feature, method, head_layer, head)
        LEFT JOIN (
            SELECT sample_id, max(max_activation) AS activation FROM atlas.example
            WHERE run_id = :run_id AND layer = :layer AND feature = :feature GROUP BY sample_id
        ) AS fired USING (sample_id)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY fired.activation DESC NULLS LAST, o.sample_id, abs(h.score) DESC NULLS LAST,
                 o.head_layer, o.head
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )
