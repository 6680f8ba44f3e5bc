"""Features beside what labels find, and beside a code of places (beside 5.3)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def supervised_report(run_id: int) -> pd.DataFrame:
    """The view supervised_report: a row per direction removed for a relation; by relation, the
    most harmful first."""
    return select(
        """
        SELECT * FROM atlas.supervised_report WHERE run_id = :run_id
        ORDER BY relation, delta_accuracy, found_by, contrast, layer, feature
        """,
        run_id=run_id,
    )


@cached
def supervised_controls(run_id: int, relation: str) -> pd.DataFrame:
    """contrast, method, control_no, control_kind, delta_accuracy of the controls on a relation."""
    return select(
        """
        SELECT contrast, method, control_no, control_kind, delta_accuracy
        FROM atlas.supervised_ablation
        WHERE run_id = :run_id AND relation = :relation AND control_no > 0
        ORDER BY contrast, method, control_no
        """,
        run_id=run_id,
        relation=relation,
    )


@cached
def additions_for(run_id: int, relation: str) -> pd.DataFrame:
    """found_by, contrast, layer, feature (NULL: from labels), alpha, length, removed_norm (length
    added over the residual's), yes_margin_delta, delta_accuracy, n_samples; a row per direction
    that was added to statements of a relation, and strength."""
    return select(
        """
        SELECT 'feature' AS found_by, NULL AS contrast, layer, feature, alpha, length, removed_norm,
               yes_margin_delta, delta_accuracy, n_samples
        FROM atlas.steering
        WHERE run_id = :run_id AND relation = :relation AND evaluation = 'vsr_relation'
        UNION ALL
        SELECT method, contrast, layer, NULL, alpha, length, removed_norm,
               yes_margin_delta, delta_accuracy, n_samples
        FROM atlas.supervised_steering WHERE run_id = :run_id AND relation = :relation
        ORDER BY found_by, contrast, layer, feature, alpha
        """,
        run_id=run_id,
        relation=relation,
    )


@cached
def spatial_codes(run_id: int) -> pd.DataFrame:
    """layer, n_objects_train, n_objects_held_out, n_images_train, r2_x, r2_y, r2_x_erased,
    r2_y_erased: how well places of named objects are read."""
    return select(
        """
        SELECT layer, n_objects_train, n_objects_held_out, n_images_train, r2_x, r2_y,
               r2_x_erased, r2_y_erased
        FROM atlas.spatial_code WHERE run_id = :run_id ORDER BY layer
        """,
        run_id=run_id,
    )


@cached
def spatial_code_report(run_id: int) -> pd.DataFrame:
    """The view spatial_code_report: a row per feature, the most harmful first."""
    return select(
        """
        SELECT * FROM atlas.spatial_code_report WHERE run_id = :run_id
        ORDER BY delta_feature, layer, feature
        """,
        run_id=run_id,
    )
