"""Gates other than TopK: k may be absent, thresholds are summed up."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, REAL

# one column, one line
# fmt: off

revision = "20261128_20_gates"
down_revision = "20261122_19_ablations"
branch_labels = None
depends_on = None

GATES = "gate IN ('topk', 'topk_before_norms', 'threshold', 'relu')"
# table, column, type, comment now, comment before
COMMENTS: tuple[tuple[str, str, Any, str, str], ...] = (
    ("sae_set", "gate", sa.Text(), "which pre-activations survive; topk: the k largest, decoder norms multiplied in; topk_before_norms: the k largest as they are; threshold: all above their feature's; relu: all above 0", "which pre-activations survive, e.g. topk"),
    ("gate_check", "l0", REAL(), "features that fire on a token, mean; under TopK at most k", "features that fire on a token, mean; at most k"),
)


def upgrade() -> None:
    op.add_column("sae_set", sa.Column("threshold", ARRAY(REAL()), nullable=True, comment="median threshold of the features of each layer of layers, in normalised pre-activations; NULL: topk"), schema="atlas")
    op.alter_column("sae_set", "k", existing_type=sa.Integer(), nullable=True, comment="features that may fire on one token; NULL: any number", existing_comment="features that may fire on one token", schema="atlas")
    for table, column, kind, now, before in COMMENTS:
        op.alter_column(table, column, existing_type=kind, comment=now, existing_comment=before, schema="atlas")
    op.create_check_constraint(op.f("ck__sae_set__gate"), "sae_set", GATES, schema="atlas")
    op.create_check_constraint(op.f("ck__sae_set__k_or_threshold"), "sae_set", "(k IS NULL) = (threshold IS NOT NULL)", schema="atlas")


def downgrade() -> None:
    op.drop_constraint(op.f("ck__sae_set__k_or_threshold"), "sae_set", schema="atlas")
    op.drop_constraint(op.f("ck__sae_set__gate"), "sae_set", schema="atlas")
    for table, column, kind, now, before in COMMENTS:
        op.alter_column(table, column, existing_type=kind, comment=before, existing_comment=now, schema="atlas")
    op.execute("UPDATE atlas.sae_set SET k = d_sae WHERE k IS NULL")
    op.alter_column("sae_set", "k", existing_type=sa.Integer(), nullable=False, comment="features that may fire on one token", existing_comment="features that may fire on one token; NULL: any number", schema="atlas")
    op.drop_column("sae_set", "threshold", schema="atlas")
