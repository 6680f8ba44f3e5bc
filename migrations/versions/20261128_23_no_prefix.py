"""Templates that write nothing before the picture leave no prefix to measure."""

from alembic import op

revision = "20261128_23_no_prefix"
down_revision = "20261128_22_forward_check"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("visual_energy", "energy_prefix", nullable=True, schema="atlas")


def downgrade() -> None:
    op.alter_column("visual_energy", "energy_prefix", nullable=False, schema="atlas")
