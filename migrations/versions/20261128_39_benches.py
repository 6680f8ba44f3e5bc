"""What'sUp and GQA as data sets, and as questions that removals are scored on."""

from alembic import op

# one table, one line
# fmt: off

revision = "20261128_39_benches"
down_revision = "20261128_38_wordings"
branch_labels = None
depends_on = None

EVALUATIONS = "'vsr_relation', 'vsr_other', 'vsr_all', 'vqa_yes_no', 'vsr_paper'"
# table, column, words before, words added
CHECKS = (
    ("dataset", "kind", "'vqav2', 'vsr'", "'whatsup', 'gqa'"),
    ("ablation", "evaluation", EVALUATIONS, "'whatsup', 'gqa'"),
    ("ablation_outcome", "evaluation", EVALUATIONS, "'whatsup', 'gqa'"),
    ("ablation_group", "evaluation", EVALUATIONS, "'whatsup', 'gqa'"),
    ("steering", "evaluation", EVALUATIONS, "'whatsup', 'gqa'"),
)


def upgrade() -> None:
    for table, column, before, added in CHECKS:
        name = op.f(f"ck__{table}__{column}")
        op.drop_constraint(name, table, schema="atlas")
        op.create_check_constraint(name, table, f"{column} IN ({before}, {added})", schema="atlas")


def downgrade() -> None:
    for table, column, before, _ in CHECKS:
        name = op.f(f"ck__{table}__{column}")
        op.drop_constraint(name, table, schema="atlas")
        # rows that a newer version has loaded stay as they are
        op.execute(f"ALTER TABLE atlas.{table} ADD CONSTRAINT {name} CHECK ({column} IN ({before})) NOT VALID")
