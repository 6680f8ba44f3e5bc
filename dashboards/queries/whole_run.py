"""What a run is and what it found as a whole."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def runs() -> pd.DataFrame:
    """run_id, slug, state, published_at, n_layers, d_sae, config, code_version, dirty, vlm,
    vlm_revision, architecture, vlm_layers, n_heads, base_name, sae_set, release, gate, k,
    hook_site, layers, is_stable; the newest published first."""
    return select("""
        SELECT r.id AS run_id, r.slug, r.state, r.published_at, r.n_layers, r.d_sae, r.config,
               r.code_version, r.dirty, v.name AS vlm, v.revision AS vlm_revision, v.architecture,
               v.n_layers AS vlm_layers, v.n_heads, v.base_name,
               s.name AS sae_set, s.release, s.gate, s.k, s.hook_site, s.layers,
               coalesce(r.id = (SELECT id FROM atlas.stable_run), false) AS is_stable
        FROM atlas.run r
        JOIN atlas.vlm v ON v.id = r.vlm_id
        JOIN atlas.sae_set s ON s.id = r.sae_set_id
        WHERE r.state IN ('published', 'superseded')
        ORDER BY r.state, r.published_at DESC, r.id DESC
    """)


@cached
def measurements(run_id: int) -> pd.DataFrame:
    """stage, seconds, peaks in GB, rows, seeds, device, code_version, params, started_at; by time.

    peak_gb is of main memory, card_gb of a card's.
    """
    return select(
        """
        SELECT stage, extract(epoch FROM finished_at - started_at)::float AS seconds,
               peak_main_bytes / 1e9 AS peak_gb, peak_device_bytes / 1e9 AS card_gb, rows, seeds,
               device, code_version, params::text AS params, started_at
        FROM atlas.measurement WHERE run_id = :run_id ORDER BY started_at, id
        """,
        run_id=run_id,
    )


@cached
def forward_checks(run_id: int) -> pd.DataFrame:
    """piece, difference (the greatest of its layers), bound; none for runs of before the check."""
    return select(
        """
        SELECT piece, max(difference) AS difference, max(bound) AS bound FROM atlas.forward_check
        WHERE run_id = :run_id GROUP BY piece ORDER BY piece
        """,
        run_id=run_id,
    )


@cached
def funnel(run_id: int) -> pd.DataFrame:
    """skill, step, n_features; steps in order."""
    return select(
        """
        SELECT skill, step, n_features FROM atlas.funnel
        WHERE run_id = :run_id ORDER BY skill DESC, step_no
        """,
        run_id=run_id,
    )
