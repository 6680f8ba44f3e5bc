"""Whether rankings of heads hold in other words, beside whether they hold on other samples."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_38_wordings"
down_revision = "20261128_37_corruption"
branch_labels = None
depends_on = None

TABLE = "head_stability"
KEY = ["run_id", "layer", "feature", "estimate", "corruption"]
OVER = "what differs between two rankings: samples, drawn anew with replacement; wordings, the same samples asked in other words (the skills' paraphrases)"
NOW, BEFORE = "whether rankings of heads hold on other samples and in other words (beside 5.2)", "whether rankings of heads hold on other samples (beside 5.2, C)"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("over", sa.Text(), server_default="samples", nullable=False, comment=OVER), schema="atlas")
    op.add_column(TABLE, sa.Column("n_wordings", sa.BigInteger(), nullable=True, comment="wordings that were compared, the questions' own among them; none: over samples"), schema="atlas")
    op.create_check_constraint(op.f(f"ck__{TABLE}__over"), TABLE, "over IN ('samples', 'wordings')", schema="atlas")
    op.create_check_constraint(op.f(f"ck__{TABLE}__n_wordings"), TABLE, "n_wordings >= 0", schema="atlas")
    _key([*KEY, "over"])
    op.create_table_comment(TABLE, NOW, existing_comment=BEFORE, schema="atlas")


def downgrade() -> None:
    op.create_table_comment(TABLE, BEFORE, existing_comment=NOW, schema="atlas")
    op.execute(f"DELETE FROM atlas.{TABLE} WHERE over <> 'samples'")
    _key(KEY)
    op.drop_column(TABLE, "n_wordings", schema="atlas")
    op.drop_column(TABLE, "over", schema="atlas")


def _key(columns: list[str]) -> None:
    op.drop_constraint(op.f(f"pk__{TABLE}"), TABLE, schema="atlas")
    op.create_primary_key(op.f(f"pk__{TABLE}"), TABLE, columns, schema="atlas")
