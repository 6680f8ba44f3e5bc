"""Which views and functions are the atlas's own: whatever else is there is somebody's."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_34_view_files"
down_revision = "20261128_33_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "view_file",
        sa.Column("name", sa.Text(), nullable=False, comment="of the view, or of the function with its arguments"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk__view_file")),
        schema="atlas",
        comment="views and functions that migrate made; others are people's own",
    )


def downgrade() -> None:
    op.drop_table("view_file", schema="atlas")
