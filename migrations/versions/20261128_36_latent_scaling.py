"""Whether features are used less than before they met pictures."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_36_latent_scaling"
down_revision = "20261128_35_head_rules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "latent_scaling",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("scale_text", sa.REAL(), nullable=True, comment="vlm_beta_text over base_beta_text; 1: written as strongly, in whatever direction (cosine says which); 0.5: half as strongly; none: the base feature fires on no text token"),
        sa.Column("standard_error_text", sa.REAL(), nullable=True, comment="of scale_text, tokens taken as independent; none: fewer than two tokens"),
        sa.Column("base_beta_text", sa.REAL(), nullable=True, comment="least squares factor of the base feature's activation in the base model's residual, text tokens; 1: the dictionary accounts for it"),
        sa.Column("vlm_beta_text", sa.REAL(), nullable=True, comment="least squares factor of the same activations in the VLM's residual, along the adapted direction"),
        sa.Column("n_tokens_text", sa.BigInteger(), nullable=False, comment="text tokens on which the base feature fires"),
        sa.Column("scale_image", sa.REAL(), nullable=True, comment="scale_text of image tokens, which the base model reads as the VLM's projector made them"),
        sa.Column("standard_error_image", sa.REAL(), nullable=True, comment="of scale_image, likewise"),
        sa.Column("base_beta_image", sa.REAL(), nullable=True, comment="base_beta_text of image tokens"),
        sa.Column("vlm_beta_image", sa.REAL(), nullable=True, comment="vlm_beta_text of image tokens"),
        sa.Column("n_tokens_image", sa.BigInteger(), nullable=False, comment="image tokens on which the base feature fires"),
        sa.CheckConstraint("base_beta_image > '-infinity' AND base_beta_image < 'infinity'", name=op.f("ck__latent_scaling__base_beta_image")),
        sa.CheckConstraint("base_beta_text > '-infinity' AND base_beta_text < 'infinity'", name=op.f("ck__latent_scaling__base_beta_text")),
        sa.CheckConstraint("scale_image > '-infinity' AND scale_image < 'infinity'", name=op.f("ck__latent_scaling__scale_image")),
        sa.CheckConstraint("scale_text > '-infinity' AND scale_text < 'infinity'", name=op.f("ck__latent_scaling__scale_text")),
        sa.CheckConstraint("standard_error_image >= 0 AND standard_error_image < 'infinity'", name=op.f("ck__latent_scaling__standard_error_image")),
        sa.CheckConstraint("standard_error_text >= 0 AND standard_error_text < 'infinity'", name=op.f("ck__latent_scaling__standard_error_text")),
        sa.CheckConstraint("vlm_beta_image > '-infinity' AND vlm_beta_image < 'infinity'", name=op.f("ck__latent_scaling__vlm_beta_image")),
        sa.CheckConstraint("vlm_beta_text > '-infinity' AND vlm_beta_text < 'infinity'", name=op.f("ck__latent_scaling__vlm_beta_text")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__latent_scaling__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__latent_scaling__layer")),
        sa.CheckConstraint("n_tokens_image >= 0", name=op.f("ck__latent_scaling__n_tokens_image")),
        sa.CheckConstraint("n_tokens_text >= 0", name=op.f("ck__latent_scaling__n_tokens_text")),
        sa.CheckConstraint("num_nulls(base_beta_image, vlm_beta_image) IN (0, 2)", name=op.f("ck__latent_scaling__image")),
        sa.CheckConstraint("num_nulls(base_beta_text, vlm_beta_text) IN (0, 2)", name=op.f("ck__latent_scaling__text")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__latent_scaling__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__latent_scaling__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__latent_scaling")),
        schema="atlas",
        comment="whether a feature is used less than by the base model (beside 4.2)",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index(op.f("ix__latent_scaling__measurement_id"), "latent_scaling", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
    op.add_column("feature_record", sa.Column("scale_text", sa.REAL(), nullable=True, comment="how strongly the VLM writes it where the base model does, text tokens; 1: as strongly, 0.5: half; low with cosine near 1: shrunk, near 1 with a low cosine: turned; none: not measured (latent_scaling)"), schema="atlas")
    op.add_column("feature_record", sa.Column("scale_image", sa.REAL(), nullable=True, comment="scale_text of image tokens"), schema="atlas")
    op.create_index(op.f("ix__feature_record__scale_image"), "feature_record", ["scale_image"], unique=False, schema="atlas")
    op.create_index(op.f("ix__feature_record__scale_text"), "feature_record", ["scale_text"], unique=False, schema="atlas")
    op.create_check_constraint(op.f("ck__feature_record__scale_image"), "feature_record", "scale_image > '-infinity' AND scale_image < 'infinity'", schema="atlas")
    op.create_check_constraint(op.f("ck__feature_record__scale_text"), "feature_record", "scale_text > '-infinity' AND scale_text < 'infinity'", schema="atlas")


def downgrade() -> None:
    op.drop_column("feature_record", "scale_image", schema="atlas")
    op.drop_column("feature_record", "scale_text", schema="atlas")
    op.drop_table("latent_scaling", schema="atlas")
