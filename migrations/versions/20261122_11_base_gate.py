"""Warnings of a measurement; base dictionaries on text of their own model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_11_base_gate"
down_revision = "20261122_10_metric_indexes"
branch_labels = None
depends_on = None

AT_LEAST_0 = ("fvu", "l0", "mean_norm", "stated_fvu", "stated_l0")


def upgrade() -> None:
    op.add_column("measurement", sa.Column("warnings", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment="what a reader of its numbers must know, in sentences"), schema="atlas")
    op.create_table(
        "gate_check",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("l0", sa.REAL(), nullable=False, comment="features that fire on a token, mean; at most k"),
        sa.Column("fvu", sa.REAL(), nullable=False, comment="fraction of variance unexplained; 0: perfect, 1: no better than the mean"),
        sa.Column("share_dead", sa.REAL(), nullable=False, comment="share of features that fired on none of the tokens"),
        sa.Column("mean_norm", sa.REAL(), nullable=False, comment="mean length of the normalised residual; sqrt(d_model) where the scale is right"),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False, comment="held-out tokens of the base model counted, BOS left out"),
        sa.Column("stated_l0", sa.REAL(), nullable=True, comment="l0 as the release states it; NULL: it does not"),
        sa.Column("stated_fvu", sa.REAL(), nullable=True, comment="fvu as the release states it; NULL: it does not"),
        sa.Column("stated_share_dead", sa.REAL(), nullable=True, comment="share_dead as the release states it; NULL: it does not"),
        *(sa.CheckConstraint(f"{name} >= 0 AND {name} < 'infinity'", name=op.f(f"ck__gate_check__{name}")) for name in AT_LEAST_0),
        *(sa.CheckConstraint(f"{name} BETWEEN 0 AND 1", name=op.f(f"ck__gate_check__{name}")) for name in ("share_dead", "stated_share_dead")),
        *(sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck__gate_check__{name}")) for name in ("layer", "n_tokens")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__gate_check__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__gate_check__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", name=op.f("pk__gate_check")),
        schema="atlas",
        comment="base SAEs on held-out text of their own model, before anything else (3.2)",
    )
    op.create_index("ix__gate_check__measurement_id", "gate_check", ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute("CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.gate_check FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    op.drop_table("gate_check", schema="atlas")
    op.drop_column("measurement", "warnings", schema="atlas")
