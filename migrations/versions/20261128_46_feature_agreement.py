"""How well attribution foretells real swaps, feature by feature."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_46_feature_agreement"
down_revision = "20261128_45_output_score"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feature_agreement",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("part", sa.Text(), nullable=False, comment="what was swapped: queries and keys together, values, or the head's whole output"),
        sa.Column("estimate", sa.Text(), nullable=False, comment="method of attribution, as in attribution_agreement"),
        sa.Column("corruption", sa.Text(), server_default="mean", nullable=False, comment="what took the picture's place: mean, the mean image embedding of each patch; global_mean, that of all patches; resample, any other sample's picture; opposite, a picture of which the answer is another: samples in which that raises the feature count with the other sign"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("pearson", sa.REAL(), nullable=True, comment="correlation of estimate and exact effect; none: one of them is constant"),
        sa.Column("spearman", sa.REAL(), nullable=True, comment="correlation of their ranks"),
        sa.Column("spearman_low", sa.REAL(), nullable=False, comment="lower end of spearman's 95 % interval, samples drawn anew"),
        sa.Column("spearman_high", sa.REAL(), nullable=False, comment="upper end"),
        sa.Column("sign_agreement", sa.REAL(), nullable=False, comment="share of heads of the same sign"),
        sa.Column("top_overlap", sa.REAL(), nullable=False, comment="share of the ten strongest heads by exact effect that are among the ten strongest by estimate"),
        sa.Column("top_overlap_low", sa.REAL(), nullable=False, comment="lower end of top_overlap's 95 % interval, likewise"),
        sa.Column("top_overlap_high", sa.REAL(), nullable=False, comment="upper end"),
        sa.Column("top_overlap_by_chance", sa.REAL(), nullable=False, comment="what top_overlap would be of heads ranked by lot"),
        sa.Column("n_passes", sa.BigInteger(), nullable=False, comment="passes of a prompt up to the feature's layer, forward and backward, that the estimate takes"),
        sa.Column("n_passes_exact", sa.BigInteger(), nullable=False, comment="the same of swapping every head for real, one at a time"),
        sa.Column("n_heads", sa.BigInteger(), nullable=False, comment="heads compared"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="top samples averaged over"),
        sa.CheckConstraint("corruption IN ('mean', 'global_mean', 'resample', 'opposite')", name=op.f("ck__feature_agreement__corruption")),
        sa.CheckConstraint("estimate IN ('A', 'B', 'mean', 'A_fix', 'B_fix', 'mean_fix', 'A_relp', 'B_relp', 'mean_relp', 'A_ig', 'B_ig', 'mean_ig', 'A_grad_drop', 'B_grad_drop', 'mean_grad_drop')", name=op.f("ck__feature_agreement__estimate")),
        sa.CheckConstraint("part IN ('qk', 'v', 'z')", name=op.f("ck__feature_agreement__part")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__feature_agreement__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__feature_agreement__layer")),
        sa.CheckConstraint("n_heads >= 0", name=op.f("ck__feature_agreement__n_heads")),
        sa.CheckConstraint("n_passes >= 0", name=op.f("ck__feature_agreement__n_passes")),
        sa.CheckConstraint("n_passes_exact >= 0", name=op.f("ck__feature_agreement__n_passes_exact")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__feature_agreement__n_samples")),
        sa.CheckConstraint("pearson BETWEEN -1 AND 1", name=op.f("ck__feature_agreement__pearson")),
        sa.CheckConstraint("sign_agreement BETWEEN 0 AND 1", name=op.f("ck__feature_agreement__sign_agreement")),
        sa.CheckConstraint("spearman BETWEEN -1 AND 1", name=op.f("ck__feature_agreement__spearman")),
        sa.CheckConstraint("spearman_high BETWEEN -1 AND 1", name=op.f("ck__feature_agreement__spearman_high")),
        sa.CheckConstraint("spearman_low BETWEEN -1 AND 1", name=op.f("ck__feature_agreement__spearman_low")),
        sa.CheckConstraint("top_overlap BETWEEN 0 AND 1", name=op.f("ck__feature_agreement__top_overlap")),
        sa.CheckConstraint("top_overlap_by_chance BETWEEN 0 AND 1", name=op.f("ck__feature_agreement__top_overlap_by_chance")),
        sa.CheckConstraint("top_overlap_high BETWEEN 0 AND 1", name=op.f("ck__feature_agreement__top_overlap_high")),
        sa.CheckConstraint("top_overlap_low BETWEEN 0 AND 1", name=op.f("ck__feature_agreement__top_overlap_low")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__feature_agreement__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__feature_agreement__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "part", "estimate", "corruption", name=op.f("pk__feature_agreement")),
        schema="atlas",
        comment="attribution patching beside exact patching, by feature (5.2, C)",
    )
    op.create_index(op.f("ix__feature_agreement__measurement_id"), "feature_agreement", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("feature_agreement", schema="atlas")
