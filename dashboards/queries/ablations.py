"""What breaks when features are removed, here and in the paper (5.3, D)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def ablations(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """Directional rows of table ablation: the feature (control_no 0), its matched controls.

    On statements of its relation and on general questions.
    """
    return select(
        """
        SELECT * FROM atlas.ablation
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
            AND intervention = 'directional' AND coalesce(control_kind, 'matched') = 'matched'
            AND evaluation IN ('vsr_relation', 'vqa_yes_no')
        ORDER BY evaluation DESC, control_no
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def ablation_summaries(run_id: int) -> pd.DataFrame:
    """The view ablation_summary: a row per removed feature, the most harmful removal first."""
    return select(
        """
        SELECT * FROM atlas.ablation_summary WHERE run_id = :run_id
        ORDER BY delta_vsr, layer, feature
        """,
        run_id=run_id,
    )


@cached
def bench_removals(run_id: int) -> pd.DataFrame:
    """The view ablation_bench: removed features on other benches, the most harmful first."""
    return select(
        """
        SELECT * FROM atlas.ablation_bench WHERE run_id = :run_id
        ORDER BY evaluation, delta_accuracy, layer, feature
        """,
        run_id=run_id,
    )


@cached
def control_effects(run_id: int) -> pd.DataFrame:
    """layer, feature, evaluation, control_no, control_feature, delta_accuracy of controls."""
    return select(
        """
        SELECT layer, feature, evaluation, control_no, control_feature, delta_accuracy
        FROM atlas.ablation
        WHERE run_id = :run_id AND control_no > 0
            AND coalesce(control_kind, 'matched') = 'matched'
        ORDER BY layer, feature, evaluation, control_no
        """,
        run_id=run_id,
    )


@cached
def published_results() -> pd.DataFrame:
    """The table published_result: the paper's Tables 1 and 2 as printed, percentage points."""
    return select("SELECT * FROM atlas.published_result ORDER BY table_no, delta_vsr")
