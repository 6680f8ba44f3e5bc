"""How runs were made and what they weigh: states, stages, warnings, checks, provenance, disk."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, kept, select
from feature_atlas.models.base import Base

FACTS = {
    table.name: table
    for table in Base.metadata.sorted_tables
    if {"run_id", "measurement_id"} <= set(table.columns.keys())
}
"""Tables whose rows say which execution of a stage they are from."""

COPIED = {
    "decoder_cosine": (
        *("cosine", "encoder_cosine", "best_base_feature", "best_base_cosine", "n_firings"),
        *("cosine_image", "cosine_full", "cosine_random", "cosine_refit", "cosine_language"),
        *("excess_rotation", "rotation_q_value"),
    ),
    "seed_stability": ("cosine_sd", "n_seeds_adapted", "n_seeds_turned_by_vision"),
    "latent_scaling": ("scale_text", "scale_image"),
    "visual_energy": (
        *("visual_energy", "energy_image", "energy_question_no_image"),
        *("modality_preference", "firing_rate"),
    ),
    "selection": ("is_adapted", "is_turned_by_vision"),
    "firing_shift": (
        *("spatial_delta_p", "spatial_odds_ratio", "spatial_odds_ratio_low"),
        *("spatial_odds_ratio_high", "spatial_q_value", "is_spatial_candidate"),
        *("ocr_delta_p", "ocr_odds_ratio", "ocr_odds_ratio_low", "ocr_odds_ratio_high"),
        *("ocr_q_value", "is_ocr_candidate", "vsr_odds_ratio"),
    ),
    "candidate": ("survives_spatial", "survives_ocr"),
}
"""Where the wide row, feature_record, has each of its columns from."""


@cached
def ledger() -> pd.DataFrame:
    """The view runs, and disk (bytes of the run's own partitions, from the catalogue): every run,
    whatever its state, the newest first."""
    return select("""
        SELECT runs.*, coalesce(own.bytes, 0)::bigint AS disk
        FROM atlas.runs LEFT JOIN (
            SELECT (regexp_match(pg_get_expr(part.relpartbound, part.oid), '\\((\\d+)\\)'))[1]::int
                       AS run_id,
                   sum(pg_total_relation_size(part.oid)) AS bytes
            FROM pg_class AS part
            WHERE part.relispartition AND part.relkind = 'r'
              AND part.relnamespace = 'atlas'::regnamespace
            GROUP BY 1
        ) AS own USING (run_id)
        ORDER BY created_at DESC, run_id DESC
    """)


@cached
def partition_sizes(run_id: int) -> pd.DataFrame:
    """table, bytes, index_bytes of the run's own partitions, the largest first."""
    return select(
        """
        SELECT parent.relname AS table, pg_total_relation_size(part.oid) AS bytes,
               pg_indexes_size(part.oid) AS index_bytes
        FROM pg_inherits
        JOIN pg_class AS part ON part.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE parent.relkind = 'p' AND parent.relnamespace = 'atlas'::regnamespace
          AND pg_get_expr(part.relpartbound, part.oid)
              = format('FOR VALUES IN (%s)', cast(:run_id AS integer))
        ORDER BY bytes DESC, 1
        """,
        run_id=run_id,
    )


@cached
def run_warnings(run_id: int) -> pd.DataFrame:
    """kind, place, warning: what stages said, code with uncommitted changes, and opening checks
    that came near their bounds or far from what the release states; in this order."""
    return select(
        """
        SELECT kind, place, warning FROM (
            SELECT 1 AS rank, warning_no AS number, 'stage' AS kind, stage AS place, warning
            FROM atlas.run_warning WHERE run_id = :run_id
            UNION ALL
            SELECT 2, 0, 'code', string_agg(stage, ', ' ORDER BY started_at),
                   'ran with uncommitted changes: ' || code_version || ' alone does not remake it.'
            FROM atlas.measurement WHERE run_id = :run_id AND dirty GROUP BY code_version
            UNION ALL
            SELECT 3, layer, 'forward check', format('layer %s, %s', layer, piece),
                   format('%s of the model''s own, above half the bound of %s.', difference, bound)
            FROM atlas.forward_check WHERE run_id = :run_id AND difference > bound / 2
            UNION ALL
            SELECT 4, layer, 'gate check', format('layer %s', layer),
                   format('fvu %s, the release states %s.', fvu, stated_fvu)
            FROM atlas.gate_check WHERE run_id = :run_id AND fvu > 1.2 * stated_fvu
            UNION ALL
            SELECT 5, layer, 'gate check', format('layer %s', layer),
                   format('l0 %s, the release states %s.', l0, stated_l0)
            FROM atlas.gate_check
            WHERE run_id = :run_id AND abs(l0 - stated_l0) > 0.1 * stated_l0
        ) AS said ORDER BY rank, number, place
        """,
        run_id=run_id,
    )


@cached
def forward_checks_by_layer(run_id: int) -> pd.DataFrame:
    """piece, layer, difference, bound, n_prompts."""
    return select(
        """
        SELECT piece, layer, difference, bound, n_prompts FROM atlas.forward_check
        WHERE run_id = :run_id ORDER BY piece, layer
        """,
        run_id=run_id,
    )


@cached
def gate_checks(run_id: int) -> pd.DataFrame:
    """layer, l0, stated_l0, fvu, stated_fvu, share_dead, stated_share_dead, mean_norm, n_tokens."""
    return select(
        """
        SELECT layer, l0, stated_l0, fvu, stated_fvu, share_dead, stated_share_dead, mean_norm,
               n_tokens
        FROM atlas.gate_check WHERE run_id = :run_id ORDER BY layer
        """,
        run_id=run_id,
    )


@kept
def origins(run_id: int, table: str) -> pd.DataFrame:
    """stage, device, seeds, code_version, dirty, params, inputs, input_fingerprint, libraries,
    started_at, finished_at, added_at, checksum: of every execution that wrote rows of a table."""
    if table not in FACTS:
        raise ValueError(f"no table of facts {table!r}; there are {', '.join(FACTS)}.")
    return select(
        f"""
        SELECT stage, device, seeds, code_version, dirty, params, inputs, input_fingerprint,
               libraries, started_at, finished_at, added_at, checksum
        FROM atlas.measurement
        WHERE id IN (SELECT DISTINCT measurement_id FROM atlas.{table} WHERE run_id = :run_id)
        ORDER BY started_at, id
        """,
        run_id=run_id,
    )


@kept
def empty_tables(run_id: int) -> pd.DataFrame:
    """table: the tables of facts of which the run has no row."""
    looks = " UNION ALL ".join(
        f"SELECT '{name}' AS table WHERE NOT EXISTS"
        f" (SELECT FROM atlas.{name} WHERE run_id = :run_id)"
        for name in sorted(FACTS)
    )
    return select(looks, run_id=run_id)
