"""How much memory every stage took, beside its time."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_24_peaks"
down_revision = "20261128_23_no_prefix"
branch_labels = None
depends_on = None

COLUMNS = {
    "peak_main_bytes": "largest resident size in bytes of the process while it ran; NULL: not "
    "known, as on systems that do not say, and for runs of before",
    "peak_device_bytes": "most bytes of tensors on a card while it ran, of the fullest; NULL: it "
    "ran on a CPU, or it is a run of before",
}


def upgrade() -> None:
    for name, comment in COLUMNS.items():
        column = sa.Column(name, sa.BigInteger(), nullable=True, comment=comment)
        op.add_column("measurement", column, schema="atlas")
        check = op.f(f"ck__measurement__{name}")
        op.create_check_constraint(check, "measurement", f"{name} >= 0", schema="atlas")


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("measurement", name, schema="atlas")
