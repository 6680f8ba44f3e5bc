"""Which tokens a feature writes, and which features write nearly the same."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261128_30_writes_and_resembles"
down_revision = "20261128_29_activation_histogram"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logit_effect",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("top_token_ids", postgresql.ARRAY(sa.Integer()), nullable=False, comment="ids of the tokens that it makes likeliest"),
        sa.Column("top_tokens", postgresql.ARRAY(sa.Text()), nullable=False, comment="these tokens as text"),
        sa.Column("top_effects", postgresql.ARRAY(sa.REAL()), nullable=False, comment="what a unit of activation adds to each of these tokens' logits, less the mean over all tokens, in a residual of root mean square 1 and before a soft cap; largest first"),
        sa.Column("bottom_token_ids", postgresql.ARRAY(sa.Integer()), nullable=False, comment="ids of those that it makes least likely"),
        sa.Column("bottom_tokens", postgresql.ARRAY(sa.Text()), nullable=False, comment="these tokens as text"),
        sa.Column("bottom_effects", postgresql.ARRAY(sa.REAL()), nullable=False, comment="what a unit of activation adds to each of these tokens' logits, less the mean over all tokens, in a residual of root mean square 1 and before a soft cap; smallest first"),
        sa.CheckConstraint("'-infinity' < ALL (bottom_effects) AND 'infinity' > ALL (bottom_effects)", name=op.f("ck__logit_effect__bottom_effects")),
        sa.CheckConstraint("'-infinity' < ALL (top_effects) AND 'infinity' > ALL (top_effects)", name=op.f("ck__logit_effect__top_effects")),
        sa.CheckConstraint("0 <= ALL (bottom_token_ids)", name=op.f("ck__logit_effect__bottom_token_ids")),
        sa.CheckConstraint("0 <= ALL (top_token_ids)", name=op.f("ck__logit_effect__top_token_ids")),
        sa.CheckConstraint("cardinality(bottom_token_ids) = cardinality(bottom_tokens) AND cardinality(bottom_tokens) = cardinality(bottom_effects)", name=op.f("ck__logit_effect__bottom")),
        sa.CheckConstraint("cardinality(top_token_ids) = cardinality(top_tokens) AND cardinality(top_tokens) = cardinality(top_effects)", name=op.f("ck__logit_effect__top")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__logit_effect__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__logit_effect__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__logit_effect__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__logit_effect__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__logit_effect")),
        schema="atlas",
        comment="which tokens a feature's direction makes likelier, and less likely (4.2)",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index(op.f("ix__logit_effect__measurement_id"), "logit_effect", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
    op.create_table(
        "nearest_feature",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("features", postgresql.ARRAY(sa.Integer()), nullable=False, comment="the nearest features of the same layer, nearest first"),
        sa.Column("cosines", postgresql.ARRAY(sa.REAL()), nullable=False, comment="cosine of their decoder rows with its own"),
        sa.CheckConstraint("-1 <= ALL (cosines) AND 1 >= ALL (cosines)", name=op.f("ck__nearest_feature__cosines")),
        sa.CheckConstraint("0 <= ALL (features)", name=op.f("ck__nearest_feature__features")),
        sa.CheckConstraint("cardinality(features) = cardinality(cosines)", name=op.f("ck__nearest_feature__as_many")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__nearest_feature__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__nearest_feature__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__nearest_feature__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__nearest_feature__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__nearest_feature")),
        schema="atlas",
        comment="which features of its layer write nearly the same direction (4.2)",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index(op.f("ix__nearest_feature__measurement_id"), "nearest_feature", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("nearest_feature", schema="atlas")
    op.drop_table("logit_effect", schema="atlas")
