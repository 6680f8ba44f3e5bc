"""Descriptions of what a feature writes beside those of what it fires on."""

from alembic import op

revision = "20261128_44_output_centric"
down_revision = "20261128_43_intruder"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _allow("'RAW', 'OVERLAY', 'OUTPUT'")


def downgrade() -> None:
    # an older atlas has no place for them
    op.execute("DELETE FROM atlas.auto_interp WHERE variant = 'OUTPUT'")
    _allow("'RAW', 'OVERLAY'")


def _allow(words: str) -> None:
    name = op.f("ck__auto_interp__variant")
    op.drop_constraint(name, "auto_interp", schema="atlas")
    op.create_check_constraint(name, "auto_interp", f"variant IN ({words})", schema="atlas")
