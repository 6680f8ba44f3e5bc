"""A role for what a processor writes around and between the pieces of a picture."""

from alembic import op

revision = "20261128_21_markers"
down_revision = "20261128_20_gates"
branch_labels = None
depends_on = None

ROLES = {
    "role_energy": "'bos', 'prefix', 'image', 'question', 'suffix', 'header'",
    "training_curve": "'all', 'bos', 'prefix', 'image', 'question', 'suffix', 'header', 'answer'",
}


def upgrade() -> None:
    for table, roles in ROLES.items():
        _allow(table, f"{roles}, 'marker'")


def downgrade() -> None:
    for table, roles in ROLES.items():
        op.execute(f"DELETE FROM atlas.{table} WHERE role = 'marker'")
        _allow(table, roles)


def _allow(table: str, roles: str) -> None:
    name = op.f(f"ck__{table}__role")
    op.drop_constraint(name, table, schema="atlas", type_="check")
    op.create_check_constraint(name, table, f"role IN ({roles})", schema="atlas")
