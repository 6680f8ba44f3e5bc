"""Controls of the adaptation beside the paper's regimes; curves by token role."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_12_adaptation"
down_revision = "20261122_11_base_gate"
branch_labels = None
depends_on = None

KEY = ["run_id", "regime_id", "layer", "tokens_seen"]
ROLE = "held-out tokens judged; all: those of the roles that the regime trains on"
OF_REGIME = {
    "id": ("1 text, 2 image, 3 full, 4 random, 5 refit, 6 language, 7 instruct", "1 text, 2 image, 3 full, 4 random"),
    "name": (
        "text: text tokens only, as the paper chose; image; full; random: full from an untrained start. Controls on text alone: refit, the base model on plain text, the null; language, the VLM on questions without their image; instruct, a tuned model on them",
        "text: text tokens only, as the paper chose; image; full; random: untrained control",
    ),
}
REGIME = ("one choice of the model and tokens that adapt the SAE (3.2)", "one way of choosing the tokens that adapt the SAE (3.2)")


def upgrade() -> None:
    op.execute("INSERT INTO atlas.regime (id, name) VALUES (5, 'refit'), (6, 'language'), (7, 'instruct') ON CONFLICT DO NOTHING")
    _comment(now=0)
    op.add_column("training_curve", sa.Column("role", sa.Text(), server_default="all", nullable=False, comment=ROLE), schema="atlas")
    op.create_check_constraint(op.f("ck__training_curve__role"), "training_curve", "role IN ('all', 'bos', 'prefix', 'image', 'question', 'suffix', 'header', 'answer')", schema="atlas")
    _key([*KEY, "role"])


def downgrade() -> None:
    # the regimes stay: words that no older row uses, and rows of newer runs that do
    op.execute("DELETE FROM atlas.training_curve WHERE role <> 'all'")  # no place in the older key
    _key(KEY)
    op.drop_column("training_curve", "role", schema="atlas")
    _comment(now=1)


def _key(columns: list[str]) -> None:
    op.drop_constraint(op.f("pk__training_curve"), "training_curve", schema="atlas")
    op.create_primary_key(op.f("pk__training_curve"), "training_curve", columns, schema="atlas")


def _comment(now: int) -> None:
    """New comments, or those before."""
    for column, comments in OF_REGIME.items():
        op.alter_column("regime", column, comment=comments[now], schema="atlas")
    op.create_table_comment("regime", REGIME[now], schema="atlas")
