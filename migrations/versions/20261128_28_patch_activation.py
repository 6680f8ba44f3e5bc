"""Where in the pictures of its examples a feature fires."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_28_patch_activation"
down_revision = "20261128_27_random_examples"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patch_activation",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("sample_id", sa.BigInteger(), nullable=False, comment="the question and its image"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("grid_rows", sa.SmallInteger(), nullable=False, comment="patches from top to bottom"),
        sa.Column("grid_columns", sa.SmallInteger(), nullable=False, comment="patches from left to right"),
        sa.Column("seen_left", sa.REAL(), nullable=False, comment="left edge of the patch grid on the upright picture, pixels; below 0 where it was padded"),
        sa.Column("seen_top", sa.REAL(), nullable=False, comment="its upper edge"),
        sa.Column("seen_right", sa.REAL(), nullable=False, comment="its right edge; above the width where padded"),
        sa.Column("seen_bottom", sa.REAL(), nullable=False, comment="its lower edge; above the height where padded"),
        sa.Column("max_activation", sa.REAL(), nullable=False, comment="activation on the strongest patch, normalised units; 0: silent on the whole picture"),
        sa.Column("patches", sa.LargeBinary(), nullable=True, comment="a byte a patch, row by row from the top left: 255 * activation / max_activation, rounded. 24 x 24 patches are 576 bytes. NULL: silent"),
        sa.CheckConstraint("max_activation >= 0 AND max_activation < 'infinity'", name=op.f("ck__patch_activation__max_activation")),
        sa.CheckConstraint("seen_bottom > '-infinity' AND seen_bottom < 'infinity'", name=op.f("ck__patch_activation__seen_bottom")),
        sa.CheckConstraint("seen_left > '-infinity' AND seen_left < 'infinity'", name=op.f("ck__patch_activation__seen_left")),
        sa.CheckConstraint("seen_right > '-infinity' AND seen_right < 'infinity'", name=op.f("ck__patch_activation__seen_right")),
        sa.CheckConstraint("seen_top > '-infinity' AND seen_top < 'infinity'", name=op.f("ck__patch_activation__seen_top")),
        sa.CheckConstraint("(max_activation > 0) = (patches IS NOT NULL)", name=op.f("ck__patch_activation__silent")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__patch_activation__feature")),
        sa.CheckConstraint("grid_rows > 0 AND grid_columns > 0", name=op.f("ck__patch_activation__grid")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__patch_activation__layer")),
        sa.CheckConstraint("octet_length(patches) = grid_rows * grid_columns", name=op.f("ck__patch_activation__patches")),
        sa.CheckConstraint("seen_left <= seen_right AND seen_top <= seen_bottom", name=op.f("ck__patch_activation__seen")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__patch_activation__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__patch_activation__run_id__run")),
        sa.ForeignKeyConstraint(["sample_id"], ["atlas.sample.id"], name=op.f("fk__patch_activation__sample_id__sample")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "sample_id", name=op.f("pk__patch_activation")),
        schema="atlas",
        comment="where in the pictures of its examples a feature fires (5.1)",
    )
    op.create_index(op.f("ix__patch_activation__measurement_id"), "patch_activation", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("patch_activation", schema="atlas")
