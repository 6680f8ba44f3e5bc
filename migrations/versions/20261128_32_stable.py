"""The run that readers are promised."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_32_stable"
down_revision = "20261128_31_writer"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stable_promise",
        sa.Column("is_stable", sa.Boolean(), nullable=False, comment="always true: the key that keeps a second row out"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run that is promised"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("is_stable", name=op.f("ck__stable_promise__is_stable")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__stable_promise__run_id__run"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("is_stable", name=op.f("pk__stable_promise")),
        schema="atlas",
        comment="the run that readers are promised to find, at most one row",
    )


def downgrade() -> None:
    op.drop_table("stable_promise", schema="atlas")
