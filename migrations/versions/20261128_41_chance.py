"""Every score beside what random dictionaries get."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_41_chance"
down_revision = "20261128_40_seeds"
branch_labels = None
depends_on = None

NUMBERS = (*("mean", "low", "high", "p5", "p95"), *(f"random_{name}" for name in ("mean", "low", "high", "p5", "p95")))


def upgrade() -> None:
    op.create_table(
        "chance_score",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("score", sa.Text(), nullable=False),
        sa.Column("measurement_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.REAL(), nullable=True) for name in NUMBERS[:5]),
        sa.Column("n_random", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.REAL(), nullable=True) for name in NUMBERS[5:]),
        sa.Column("is_beyond_chance", sa.Boolean(), nullable=True),
        *(sa.CheckConstraint(f"{name} > '-infinity' AND {name} < 'infinity'", name=op.f(f"ck__chance_score__{name}")) for name in NUMBERS),
        sa.CheckConstraint("n >= 0", name=op.f("ck__chance_score__n")),
        sa.CheckConstraint("n_random >= 0", name=op.f("ck__chance_score__n_random")),
        sa.CheckConstraint("low <= high", name=op.f("ck__chance_score__interval")),
        sa.CheckConstraint("p5 <= p95", name=op.f("ck__chance_score__percentiles")),
        sa.CheckConstraint("random_low <= random_high", name=op.f("ck__chance_score__random_interval")),
        sa.CheckConstraint("random_p5 <= random_p95", name=op.f("ck__chance_score__random_percentiles")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__chance_score__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__chance_score__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "score", name=op.f("pk__chance_score")),
        schema="atlas",
    )
    op.create_index(op.f("ix__chance_score__measurement_id"), "chance_score", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("chance_score", schema="atlas")
