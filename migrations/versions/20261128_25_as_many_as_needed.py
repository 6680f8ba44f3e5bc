"""A neutral prompt is tried on as many images as the verdict needs."""

from alembic import op

revision = "20261128_25_as_many_as_needed"
down_revision = "20261128_24_peaks"
branch_labels = None
depends_on = None

BEFORE = "images tried with this prompt"
AFTER = f"{BEFORE}: of its top samples, drawn, as many as the verdict needs"


def upgrade() -> None:
    _say(AFTER, BEFORE)


def downgrade() -> None:
    _say(BEFORE, AFTER)


def _say(now: str, until_now: str) -> None:
    op.alter_column(
        "neutral_prompt", "n_samples", schema="atlas", comment=now, existing_comment=until_now
    )
