"""${message}

Revises: ${down_revision | comma,n}
"""
# Old readers must survive the upgrade. Never build partitions of a run here, and index big tables
# where a run is published.

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
# one column, one line
# fmt: off

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
