"""Whether features turn again when the data come in another order."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_40_seeds"
down_revision = "20261128_39_benches"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seed_stability",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("measurement_id", sa.Integer(), nullable=False),
        sa.Column("n_seeds", sa.SmallInteger(), nullable=False),
        sa.Column("cosine_mean", sa.REAL(), nullable=False),
        sa.Column("cosine_sd", sa.REAL(), nullable=False),
        sa.Column("cosine_low", sa.REAL(), nullable=False),
        sa.Column("cosine_high", sa.REAL(), nullable=False),
        sa.Column("n_seeds_adapted", sa.BigInteger(), nullable=False),
        sa.Column("n_seeds_turned_by_vision", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("n_seeds_adapted <= n_seeds", name=op.f("ck__seed_stability__adapted")),
        sa.CheckConstraint("n_seeds_turned_by_vision <= n_seeds_adapted", name=op.f("ck__seed_stability__vision")),
        sa.CheckConstraint("cosine_low <= cosine_high", name=op.f("ck__seed_stability__order")),
        sa.CheckConstraint("n_seeds >= 2", name=op.f("ck__seed_stability__n_seeds")),
        sa.CheckConstraint("cosine_mean BETWEEN -1 AND 1", name=op.f("ck__seed_stability__cosine_mean")),
        sa.CheckConstraint("cosine_sd BETWEEN 0 AND 2", name=op.f("ck__seed_stability__cosine_sd")),
        sa.CheckConstraint("cosine_low BETWEEN -1 AND 1", name=op.f("ck__seed_stability__cosine_low")),
        sa.CheckConstraint("cosine_high BETWEEN -1 AND 1", name=op.f("ck__seed_stability__cosine_high")),
        sa.CheckConstraint("n_seeds_adapted >= 0", name=op.f("ck__seed_stability__n_seeds_adapted")),
        sa.CheckConstraint("n_seeds_turned_by_vision >= 0", name=op.f("ck__seed_stability__n_seeds_turned_by_vision")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__seed_stability__layer")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__seed_stability__feature")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__seed_stability__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__seed_stability__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__seed_stability")),
        schema="atlas",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index(op.f("ix__seed_stability__measurement_id"), "seed_stability", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
    op.create_table(
        "seed_set",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("feature_set", sa.Text(), nullable=False),
        sa.Column("n_seeds", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("measurement_id", sa.Integer(), nullable=False),
        sa.Column("n_features", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.REAL(), nullable=True),
        sa.Column("share_by_chance", sa.REAL(), nullable=False),
        sa.CheckConstraint("n_seeds >= 1", name=op.f("ck__seed_set__n_seeds")),
        sa.CheckConstraint("n_features >= 0", name=op.f("ck__seed_set__n_features")),
        sa.CheckConstraint("share BETWEEN 0 AND 1", name=op.f("ck__seed_set__share")),
        sa.CheckConstraint("share_by_chance BETWEEN 0 AND 1", name=op.f("ck__seed_set__share_by_chance")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__seed_set__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__seed_set__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "feature_set", "n_seeds", name=op.f("pk__seed_set")),
        schema="atlas",
    )
    op.create_index(op.f("ix__seed_set__measurement_id"), "seed_set", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
    op.add_column("feature_record", sa.Column("cosine_sd", sa.REAL(), nullable=True), schema="atlas")
    op.add_column("feature_record", sa.Column("n_seeds_adapted", sa.BigInteger(), nullable=True), schema="atlas")
    op.add_column("feature_record", sa.Column("n_seeds_turned_by_vision", sa.BigInteger(), nullable=True), schema="atlas")
    op.create_index(op.f("ix__feature_record__cosine_sd"), "feature_record", ["cosine_sd"], unique=False, schema="atlas")
    op.create_check_constraint(op.f("ck__feature_record__cosine_sd"), "feature_record", "cosine_sd BETWEEN 0 AND 2", schema="atlas")
    op.create_check_constraint(op.f("ck__feature_record__n_seeds_adapted"), "feature_record", "n_seeds_adapted >= 0", schema="atlas")
    op.create_check_constraint(op.f("ck__feature_record__n_seeds_turned_by_vision"), "feature_record", "n_seeds_turned_by_vision >= 0", schema="atlas")


def downgrade() -> None:
    op.drop_column("feature_record", "n_seeds_turned_by_vision", schema="atlas")
    op.drop_column("feature_record", "n_seeds_adapted", schema="atlas")
    op.drop_column("feature_record", "cosine_sd", schema="atlas")
    op.drop_table("seed_set", schema="atlas")
    op.drop_table("seed_stability", schema="atlas")
