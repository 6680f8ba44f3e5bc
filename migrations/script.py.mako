"""${message}

Revises: ${down_revision | comma,n}
"""
# A phrase, not an identifier: 20261122_add_firing_shift. Old readers must survive the upgrade
# half. Never build partitions of a run here, and index big tables where a run is published.

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
