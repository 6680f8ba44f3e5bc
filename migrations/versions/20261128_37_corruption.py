"""Which corruption rows about heads are of, as a part of their keys."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_37_corruption"
down_revision = "20261128_36_latent_scaling"
branch_labels = None
depends_on = None

COMMENT = "what took the picture's place: mean, the mean image embedding of each patch; global_mean, that of all patches; resample, any other sample's picture; opposite, a picture of which the answer is another"
FIRST = "COALESCE(m.params #>> '{corruption,0}', m.params ->> 'corruption', 'mean')"
MEASURED = "atlas.measurement AS m WHERE m.id = one.measurement_id AND one.corruption <> " + FIRST
KEYS = {
    "head_attribution": ["run_id", "layer", "feature", "method", "head_layer", "head"],
    "head_estimate": ["run_id", "layer", "feature", "rule", "method", "head_layer", "head"],
    "head_exact": ["run_id", "layer", "feature", "part", "method", "head_layer", "head"],
    "head_knockout": ["run_id", "layer", "feature", "part", "control_no"],
    "head_stability": ["run_id", "layer", "feature", "estimate"],
    "attribution_agreement": ["run_id", "part", "estimate", "scope"],
}


def upgrade() -> None:
    for table, key in KEYS.items():
        op.add_column(table, sa.Column("corruption", sa.Text(), server_default="mean", nullable=False, comment=COMMENT), schema="atlas")
        _fill(table)
        op.create_check_constraint(op.f(f"ck__{table}__corruption"), table, "corruption IN ('mean', 'global_mean', 'resample', 'opposite')", schema="atlas")
        _key(table, [*key, "corruption"])


def downgrade() -> None:
    """Of each run its first corruption stays: there is room for one."""
    for table, key in KEYS.items():
        op.execute(f"DELETE FROM atlas.{table} AS one USING {MEASURED}")
        _key(table, key)
        op.drop_column(table, "corruption", schema="atlas")


def _fill(table: str) -> None:
    """Rows that are there say what their stage's parameters do; guards let nobody else do this."""
    op.execute(f"ALTER TABLE atlas.{table} DISABLE TRIGGER USER")
    op.execute(f"UPDATE atlas.{table} AS one SET corruption = {FIRST} FROM {MEASURED}")
    op.execute(f"ALTER TABLE atlas.{table} ENABLE TRIGGER USER")


def _key(table: str, columns: list[str]) -> None:
    op.drop_constraint(op.f(f"pk__{table}"), table, schema="atlas")
    op.create_primary_key(op.f(f"pk__{table}"), table, columns, schema="atlas")
