"""How strongly a feature fires, by kind of token."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261128_29_activation_histogram"
down_revision = "20261128_28_patch_activation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activation_histogram",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("role", sa.Text(), nullable=False, comment="what the tokens are for, in base questions with their own image"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("first_bin", sa.SmallInteger(), nullable=False, comment="bin of the first count. Bin b begins at 2^(b/2 - 6) normalised units where b is even, at 1.5 * 2^((b-1)/2 - 6) where it is odd, and ends where the next begins; bin 0 holds all that is weaker, 31 all that is stronger"),
        sa.Column("n_tokens", postgresql.ARRAY(sa.Integer()), nullable=False, comment="tokens on which it fires with a strength in this bin and those that follow, up to the strongest in which there are some"),
        sa.CheckConstraint("role IN ('image', 'question', 'suffix', 'header')", name=op.f("ck__activation_histogram__role")),
        sa.CheckConstraint("0 <= ALL (n_tokens)", name=op.f("ck__activation_histogram__n_tokens")),
        sa.CheckConstraint("cardinality(n_tokens) BETWEEN 1 AND 32 - first_bin", name=op.f("ck__activation_histogram__bins")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__activation_histogram__feature")),
        sa.CheckConstraint("first_bin BETWEEN 0 AND 31", name=op.f("ck__activation_histogram__first_bin")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__activation_histogram__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__activation_histogram__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__activation_histogram__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "role", name=op.f("pk__activation_histogram")),
        schema="atlas",
        comment="how strongly a feature fires on each kind of token (4.2)",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index(op.f("ix__activation_histogram__measurement_id"), "activation_histogram", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("activation_histogram", schema="atlas")
