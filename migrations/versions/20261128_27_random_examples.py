"""Examples drawn at random, beside the strongest and those of each quantile."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_27_random_examples"
down_revision = "20261128_26_remembered"
branch_labels = None
depends_on = None

QUANTILE = "tenth of the feature's samples in order of activation that it stands for, 0 weakest to 9; NULL: it is one of the strongest. Ranks go on from those"
LIES_IN = "tenth of the feature's samples in order of activation in which it lies, 0 weakest to 9; NULL: it is one of the strongest. Ranks go on from those"


def upgrade() -> None:
    op.add_column("example", sa.Column("draw", sa.SmallInteger(), nullable=True, comment="place among the feature's samples drawn at random, a picture being as likely as any on which it fires, 0 first; NULL: not drawn so. A strongest one may be drawn, too"), schema="atlas")
    op.create_check_constraint(op.f("ck__example__draw"), "example", "draw >= 0", schema="atlas")
    op.alter_column("example", "quantile", comment=LIES_IN, existing_comment=QUANTILE, schema="atlas")


def downgrade() -> None:
    op.alter_column("example", "quantile", comment=QUANTILE, existing_comment=LIES_IN, schema="atlas")
    op.drop_column("example", "draw", schema="atlas")
