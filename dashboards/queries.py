"""Every question the dashboards ask of the database: one function, one SELECT, one DataFrame.

Nothing else in `dashboards` reads. All but `runs` and `published_results` ask about one run, so
that Postgres touches only that run's partitions. Answers are kept for a minute.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine, text

from feature_atlas.models.session import database_url, make_reader_engine

TTL = 60.0
"""Seconds an answer is kept: a published run stays as it is, labels and reviews may change."""

MAX_ROWS = 500
"""Rows of a table on a page."""


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return make_reader_engine(url)


def _select(sql: str, **values: Any) -> pd.DataFrame:
    with _engine(database_url()).connect() as connection:
        # not pandas.read_sql: it hides which database error it was
        rows = connection.execute(text(sql), values)
        return pd.DataFrame(rows.all(), columns=list(rows.keys()))


def _cached(query: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    return st.cache_data(query, ttl=TTL, show_spinner=False)


# ---------------------------------------------------------------- the run


@_cached
def runs() -> pd.DataFrame:
    """run_id, slug, state, published_at, n_layers, d_sae, config, code_version, dirty, vlm,
    vlm_revision, architecture, vlm_layers, n_heads, base_name, sae_set, release, gate, k,
    hook_site, layers; the newest published first."""
    return _select("""
        SELECT r.id AS run_id, r.slug, r.state, r.published_at, r.n_layers, r.d_sae, r.config,
               r.code_version, r.dirty, v.name AS vlm, v.revision AS vlm_revision, v.architecture,
               v.n_layers AS vlm_layers, v.n_heads, v.base_name,
               s.name AS sae_set, s.release, s.gate, s.k, s.hook_site, s.layers
        FROM atlas.run r
        JOIN atlas.vlm v ON v.id = r.vlm_id
        JOIN atlas.sae_set s ON s.id = r.sae_set_id
        WHERE r.state IN ('published', 'superseded')
        ORDER BY r.state, r.published_at DESC, r.id DESC
    """)


@_cached
def measurements(run_id: int) -> pd.DataFrame:
    """stage, seconds, rows, seeds, device, code_version, params, started_at; in order of time."""
    return _select(
        """
        SELECT stage, extract(epoch FROM finished_at - started_at)::float AS seconds, rows, seeds,
               device, code_version, params::text AS params, started_at
        FROM atlas.measurement WHERE run_id = :run_id ORDER BY started_at, id
        """,
        run_id=run_id,
    )


@_cached
def funnel(run_id: int) -> pd.DataFrame:
    """skill, step, n_features; steps in order."""
    return _select(
        """
        SELECT skill, step, n_features FROM atlas.funnel
        WHERE run_id = :run_id ORDER BY skill DESC, step_no
        """,
        run_id=run_id,
    )


@_cached
def layer_summaries(run_id: int) -> pd.DataFrame:
    """The view layer_summary: layer, n_adapted, n_spatial_candidates, n_spatial, n_ocr_candidates,
    n_ocr, n_firing, mean_cosine, mean_cosine_adapted, mean_cosine_image, ..., by layer."""
    return _select(
        "SELECT * FROM atlas.layer_summary WHERE run_id = :run_id ORDER BY layer", run_id=run_id
    )


@_cached
def training_curves(run_id: int) -> pd.DataFrame:
    """regime, layer, tokens_seen, fvu, l0; on held-out tokens, in order of training."""
    return _select(
        """
        SELECT r.name AS regime, c.layer, c.tokens_seen, c.fvu, c.l0
        FROM atlas.training_curve c JOIN atlas.regime r ON r.id = c.regime_id
        WHERE c.run_id = :run_id ORDER BY c.regime_id, c.layer, c.tokens_seen
        """,
        run_id=run_id,
    )


# ---------------------------------------------------------------- many features


@_cached
def feature_points(run_id: int) -> pd.DataFrame:
    """layer, feature, cosine, visual_energy, is_adapted: every feature."""
    return _select(
        """
        SELECT layer, feature, cosine, visual_energy, is_adapted
        FROM atlas.feature_record WHERE run_id = :run_id ORDER BY layer, feature
        """,
        run_id=run_id,
    )


@_cached
def feature_bins(run_id: int, n_bins: int) -> pd.DataFrame:
    """is_adapted, cosine and visual_energy of the middle of the bin (energy 0 stays 0),
    n_features: the same cloud in `n_bins` x `n_bins` bins, the energy in steps of its logarithm."""
    return _select(
        """
        WITH point AS (
            SELECT is_adapted, cosine, ln(nullif(visual_energy, 0)::float) AS log_energy
            FROM atlas.feature_record WHERE run_id = :run_id
        ), edge AS (
            SELECT min(cosine)::float AS x_low, min(log_energy) AS y_low,
                   greatest(max(cosine) - min(cosine), 1e-9)::float / :n_bins AS x_step,
                   greatest(max(log_energy) - min(log_energy), 1e-9) / :n_bins AS y_step
            FROM point
        ), bin AS (
            SELECT is_adapted,
                   least(floor((cosine - x_low) / x_step), :n_bins - 1) AS x,
                   -- least alone would take NULL, an energy of 0, for the highest bin
                   CASE WHEN log_energy IS NOT NULL
                        THEN least(floor((log_energy - y_low) / y_step), :n_bins - 1) END AS y,
                   count(*) AS n_features
            FROM point CROSS JOIN edge GROUP BY 1, 2, 3
        )
        SELECT is_adapted, x_low + (x + 0.5) * x_step AS cosine,
               coalesce(exp(y_low + (y + 0.5) * y_step), 0) AS visual_energy, n_features
        FROM bin CROSS JOIN edge
        """,
        run_id=run_id,
        n_bins=n_bins,
    )


_WITH_LABEL = """
    SELECT layer, feature, cosine, visual_energy, is_adapted, is_spatial_candidate,
           survives_spatial, is_ocr_candidate, survives_ocr, spatial_delta_p, spatial_odds_ratio,
           spatial_odds_ratio_low, spatial_odds_ratio_high, ocr_odds_ratio, label, f1,
           ablation_relation, ablation_delta, ablation_low, ablation_high
    FROM atlas.feature_all_runs WHERE run_id = :run_id AND
"""


@_cached
def marked_features(run_id: int) -> pd.DataFrame:
    """Candidates, described and removed features: the columns of `_WITH_LABEL`, by layer."""
    return _select(
        _WITH_LABEL
        + """(is_spatial_candidate OR is_ocr_candidate OR label IS NOT NULL
              OR ablation_delta IS NOT NULL)
        ORDER BY layer, feature LIMIT 20000
        """,
        run_id=run_id,
    )


@_cached
def features_between(
    run_id: int, cosine: tuple[float, float], visual_energy: tuple[float, float]
) -> pd.DataFrame:
    """At most `MAX_ROWS` features of a box, the most energetic first: as `_WITH_LABEL`."""
    return _select(
        _WITH_LABEL
        + """cosine BETWEEN :cosine_low AND :cosine_high
             AND visual_energy BETWEEN :energy_low AND :energy_high
        ORDER BY visual_energy DESC, layer, feature LIMIT :max_rows
        """,
        run_id=run_id,
        cosine_low=cosine[0],
        cosine_high=cosine[1],
        energy_low=visual_energy[0],
        energy_high=visual_energy[1],
        max_rows=MAX_ROWS,
    )


# ---------------------------------------------------------------- one feature


@_cached
def feature(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """At most one row: the columns of the view feature_all_runs, and cosine_rank (0..1)."""
    return _select(
        """
        SELECT f.*, s.cosine_rank
        FROM atlas.feature_all_runs f LEFT JOIN atlas.selection s USING (run_id, layer, feature)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@_cached
def decoder_cosines(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """regime, cosine, encoder_cosine, base_norm, adapted_norm, best_base_feature,
    best_base_cosine, n_firings; a row per regime."""
    return _select(
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


@_cached
def visual_energies(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """condition, energy, n_fired (NULL: not counted); a row per condition."""
    return _select(
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


@_cached
def firing_shifts(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """skill, and all numbers of the table firing_shift; a row per skill."""
    return _select(
        """
        SELECT k.name AS skill, f.*
        FROM atlas.firing_shift f JOIN atlas.skill k ON k.id = f.skill_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY k.id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@_cached
def neutral_prompts(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """skill, survives, prompt, n_samples, n_fired, n_fired_mean_image, mean_activation; a row
    per skill and prompt."""
    return _select(
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


@_cached
def descriptions(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """The table auto_interp, best F1 first."""
    return _select(
        """
        SELECT * FROM atlas.auto_interp
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature ORDER BY f1 DESC, id
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@_cached
def reviews(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """verdict, description, note, reviewer, created_at; newest first."""
    return _select(
        """
        SELECT verdict, description, note, reviewer, created_at FROM atlas.review
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY created_at DESC, id DESC
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@_cached
def examples(run_id: int, layer: int, feature: int, n_ranks: int) -> pd.DataFrame:
    """source, rank, question, answer, relation, max_activation, tokens, activations, external_id,
    thumbnail; the strongest `n_ranks` of each source."""
    return _select(
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


@_cached
def head_attributions(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """method, head_layer, head, score, q, k, v, z, standard_error, n_samples."""
    return _select(
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


@_cached
def overlays(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """sample_id, question, answer, thumbnail, kind, method, head_layer, head, score, grid_rows,
    grid_columns, weights, image_mass; samples in order of activation, heads in order of score."""
    return _select(
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


# ---------------------------------------------------------------- removals


@_cached
def ablations(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """The table ablation: the feature (control_no 0) and its controls, per evaluation."""
    return _select(
        """
        SELECT * FROM atlas.ablation
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY evaluation DESC, control_no
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@_cached
def ablation_summaries(run_id: int) -> pd.DataFrame:
    """The view ablation_summary: a row per removed feature, the most harmful removal first."""
    return _select(
        """
        SELECT * FROM atlas.ablation_summary WHERE run_id = :run_id
        ORDER BY delta_vsr, layer, feature
        """,
        run_id=run_id,
    )


@_cached
def control_effects(run_id: int) -> pd.DataFrame:
    """layer, feature, evaluation, control_no, control_feature, delta_accuracy of every control."""
    return _select(
        """
        SELECT layer, feature, evaluation, control_no, control_feature, delta_accuracy
        FROM atlas.ablation WHERE run_id = :run_id AND control_no > 0
        ORDER BY layer, feature, evaluation, control_no
        """,
        run_id=run_id,
    )


@_cached
def published_results() -> pd.DataFrame:
    """The table published_result: the paper's Tables 1 and 2 as printed, percentage points."""
    return _select("SELECT * FROM atlas.published_result ORDER BY table_no, delta_vsr")
