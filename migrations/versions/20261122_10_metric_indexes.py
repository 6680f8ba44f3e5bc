"""An index for every metric of the wide row: a page sorted by any of them costs no scan."""

from alembic import op

revision = "20261122_10_metric_indexes"
down_revision = "20261122_09_imported_labels"
branch_labels = None
depends_on = None

METRICS = (
    *("encoder_cosine", "best_base_cosine", "n_firings"),
    *("cosine_image", "cosine_full", "cosine_random"),
    *("energy_image", "energy_question_no_image", "modality_preference", "firing_rate"),
    *("spatial_delta_p", "spatial_q_value"),
    *("ocr_delta_p", "ocr_odds_ratio", "ocr_q_value", "vsr_odds_ratio"),
)


def upgrade() -> None:
    for metric in METRICS:
        op.create_index(
            op.f(f"ix__feature_record__{metric}"), "feature_record", [metric], schema="atlas"
        )


def downgrade() -> None:
    for metric in METRICS:
        op.drop_index(
            op.f(f"ix__feature_record__{metric}"), table_name="feature_record", schema="atlas"
        )
