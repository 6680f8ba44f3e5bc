"""Each way of running the model against its own plain forward."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_22_forward_check"
down_revision = "20261128_21_markers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forward_check",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("piece", sa.Text(), nullable=False, comment="residual: what statistics are taken from; heads: with attention looked into; answer: logits at the last token; resumed: these after an edit above the layer"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("difference", sa.REAL(), nullable=False, comment="greatest difference at a token, or of a prompt's logits, relative to their length"),
        sa.Column("bound", sa.REAL(), nullable=False, comment="the difference at which the run would have stopped"),
        sa.Column("n_prompts", sa.BigInteger(), nullable=False, comment="questions with pictures that were run"),
        sa.CheckConstraint("piece IN ('residual', 'heads', 'answer', 'resumed')", name=op.f("ck__forward_check__piece")),
        *(sa.CheckConstraint(f"{name} >= 0 AND {name} < 'infinity'", name=op.f(f"ck__forward_check__{name}")) for name in ("bound", "difference")),
        *(sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck__forward_check__{name}")) for name in ("layer", "n_prompts")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__forward_check__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__forward_check__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "piece", "layer", name=op.f("pk__forward_check")),
        schema="atlas",
        comment="each way of running the model against its own plain forward, at the start (3.1)",
    )
    op.create_index("ix__forward_check__measurement_id", "forward_check", ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute("CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.forward_check FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    op.drop_table("forward_check", schema="atlas")
