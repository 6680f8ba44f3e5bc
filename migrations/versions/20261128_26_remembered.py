"""What is remembered of a picture is a way of running the model, and is held against its own."""

from alembic import op

revision = "20261128_26_remembered"
down_revision = "20261128_25_as_many_as_needed"
branch_labels = None
depends_on = None

PIECES = "'residual', 'heads', 'answer', 'resumed'"
WITH_KEYS = "'residual', 'remembered', 'heads', 'answer', 'resumed'"
TAKEN, REST = (
    "residual: what statistics are taken from",
    "heads: with attention looked into; answer: logits at the last token; resumed: these after an edit above the layer",
)
BEFORE = f"{TAKEN}; {REST}"
AFTER = f"{TAKEN}; remembered: the same behind the keys of a picture; {REST}"


def upgrade() -> None:
    _allow(WITH_KEYS)
    op.alter_column(
        "forward_check", "piece", comment=AFTER, existing_comment=BEFORE, schema="atlas"
    )


def downgrade() -> None:
    op.execute("DELETE FROM atlas.forward_check WHERE piece = 'remembered'")
    op.alter_column(
        "forward_check", "piece", comment=BEFORE, existing_comment=AFTER, schema="atlas"
    )
    _allow(PIECES)


def _allow(pieces: str) -> None:
    name = op.f("ck__forward_check__piece")
    op.drop_constraint(name, "forward_check", schema="atlas")
    op.create_check_constraint(name, "forward_check", f"piece IN ({pieces})", schema="atlas")
