"""Turns beside their controls: the refit null, language alone, and what vision is left with."""

from typing import Any

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_13_geometry"
down_revision = "20261122_12_adaptation"
branch_labels = None
depends_on = None

COLUMNS: dict[str, dict[str, tuple[Any, str]]] = {
    "decoder_cosine": {
        "null_cosine": (sa.REAL, "median cosine of refit features of the layer that fired as often: turned by training alone; none: no refit regime, the refit regime itself, or a random start"),
        "excess_rotation": (sa.REAL, "null_cosine less cosine; above 0: turned further than refitting alone"),
        "rotation_p_value": (sa.Double, "chance that a refit feature which fired as often turns at least as far"),
        "rotation_q_value": (sa.Double, "rotation_p_value after Benjamini-Hochberg over all features of the regime"),
    },
    "selection": {
        "is_beyond_null": (sa.Boolean, "whether it turned further than refitting alone explains (rotation_q_value, excess_rotation); none: no refit regime"),
        "is_beyond_language": (sa.Boolean, "whether it turned further than on the same questions without image, by more than the refit null's noise; none: no such regime"),
        "is_turned_by_vision": (sa.Boolean, "whether it is adapted, beyond the null and beyond language; none: no controls"),
    },
    "feature_record": {
        "cosine_refit": (sa.REAL, "decoder cosine in the refit regime: turned by training alone"),
        "cosine_language": (sa.REAL, "decoder cosine in the language regime: questions without image"),
        "excess_rotation": (sa.REAL, "median cosine of refit features that fired as often, less cosine; above 0: turned further than refitting alone; none: no refit regime"),
        "rotation_q_value": (sa.Double, "p of no turn beyond the refit null after Benjamini-Hochberg"),
        "is_turned_by_vision": (sa.Boolean, "whether it is adapted and turned beyond the refit null and the language control; none: no such controls"),
    },
}
CHECKS = {
    "decoder_cosine": {
        "null_cosine": "null_cosine BETWEEN -1 AND 1",
        "excess_rotation": "excess_rotation BETWEEN -2 AND 2",
        "rotation_p_value": "rotation_p_value BETWEEN 0 AND 1",
        "rotation_q_value": "rotation_q_value BETWEEN 0 AND 1",
        "null": "num_nulls(null_cosine, excess_rotation, rotation_p_value, rotation_q_value) IN (0, 4)",
        "correction": "rotation_p_value <= rotation_q_value",
    },
    "selection": {
        "vision": "is_turned_by_vision = (is_adapted AND is_beyond_null AND is_beyond_language)",
    },
    "feature_record": {
        "cosine_refit": "cosine_refit BETWEEN -1 AND 1",
        "cosine_language": "cosine_language BETWEEN -1 AND 1",
        "excess_rotation": "excess_rotation BETWEEN -2 AND 2",
        "rotation_q_value": "rotation_q_value BETWEEN 0 AND 1",
    },
}
METRICS = ("cosine_refit", "cosine_language", "excess_rotation", "rotation_q_value")


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, (kind, comment) in columns.items():
            op.add_column(table, sa.Column(name, kind(), comment=comment), schema="atlas")
        for name, condition in CHECKS[table].items():
            op.create_check_constraint(op.f(f"ck__{table}__{name}"), table, condition, schema="atlas")
    for metric in METRICS:
        op.create_index(op.f(f"ix__feature_record__{metric}"), "feature_record", [metric], schema="atlas")


def downgrade() -> None:
    for table, columns in COLUMNS.items():  # checks and indexes go with their columns
        for name in columns:
            op.drop_column(table, name, schema="atlas")
