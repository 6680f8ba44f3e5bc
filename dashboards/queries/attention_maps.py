"""Where heads look: on top samples and custom prompts of one feature, and in the whole run."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def overlays(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """sample_id, question, answer, thumbnail, width, height, kind, method, head_layer, head, score,
    grid_rows, grid_columns, weights, image_mass, seen_left, seen_top, seen_right, seen_bottom,
    lift; samples in order of activation, heads in order of score."""
    return select(
        """
        SELECT o.sample_id, s.question, s.answer, i.thumbnail, i.width, i.height, o.kind, o.method,
               o.head_layer, o.head, h.score, o.grid_rows, o.grid_columns, o.weights, o.image_mass,
               o.seen_left, o.seen_top, o.seen_right, o.seen_bottom, o.lift
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


@cached
def custom_prompts(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """prompt, question, tokens, activations, max_activation, thumbnail, width, height, added_at,
    kind, head_layer, head, grid_rows, grid_columns, weights, image_mass, seen_left, seen_top,
    seen_right, seen_bottom; a row per head, the newest prompt first."""
    return select(
        """
        SELECT p.prompt, p.question, p.tokens, p.activations, p.max_activation, p.thumbnail,
               p.width, p.height, m.added_at, o.kind, o.head_layer, o.head, o.grid_rows,
               o.grid_columns, o.weights, o.image_mass, o.seen_left, o.seen_top, o.seen_right,
               o.seen_bottom
        FROM atlas.custom_prompt p
        JOIN atlas.custom_overlay o USING (run_id, layer, feature, prompt)
        JOIN atlas.measurement m ON m.id = p.measurement_id
        WHERE p.run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY m.added_at DESC NULLS LAST, p.prompt, o.head_layer, o.head
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def localisation(run_id: int) -> pd.DataFrame:
    """comparison, n_pairs, n_features, n_images, share, share_low, share_high, lift, lift_low,
    lift_high; none where it is not known what is in the pictures."""
    return select(
        """
        SELECT comparison, n_pairs, n_features, n_images, share, share_low, share_high, lift,
               lift_low, lift_high
        FROM atlas.localisation WHERE run_id = :run_id
        ORDER BY array_position(
            '{top,bottom,random,top - bottom,top - random}'::text[], comparison
        )
        """,
        run_id=run_id,
    )
