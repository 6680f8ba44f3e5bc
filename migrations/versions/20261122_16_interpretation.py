"""How sure a description's score is, who graded it, and which label a reviewer saw."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_16_interpretation"
down_revision = "20261122_15_skills"
branch_labels = None
depends_on = None

UNIQUE = "uq__auto_interp__description"
KEY = ["run_id", "layer", "feature", "variant", "explainer", "model", "scorer"]

SHARES = {
    "mcc_low": "lower end of its 95 % interval, bootstrap over pictures",
    "mcc_high": "upper end of its 95 % interval",
    "f1_gain_low": "lower end of the 95 % interval of f1 - shuffled_f1, paired",
    "f1_gain_high": "upper end of the 95 % interval of f1 - shuffled_f1",
    "picture_gain_low": "lower end of the 95 % interval of f1 - text_only_f1, paired",
    "picture_gain_high": "upper end of the 95 % interval of f1 - text_only_f1",
}
COUNTS = {
    "n_same_relation": "negatives taken because they ask with the same relation word",
    "n_same_image": "negatives taken because they ask about the picture of a positive",
    "n_repaired": "replies that could not be read and were asked for once more",
}


def upgrade() -> None:
    op.add_column("auto_interp", sa.Column("grader_model", sa.Text(), comment="the model that judged the description; none: not told"), schema="atlas")
    op.add_column("auto_interp", sa.Column("raw_verdicts", sa.ARRAY(sa.Text()), comment="the grader's replies about this description as they came"), schema="atlas")
    for name, comment in SHARES.items():
        _add(name, sa.REAL(), comment, "BETWEEN -1 AND 1")
    _add("chance_p", sa.DOUBLE_PRECISION(), "P of as many true positives if the yeses fell by lot: Fisher's exact test, one-sided", "BETWEEN 0 AND 1")
    _add("text_only_f1", sa.REAL(), "F1 of this description on these samples without their pictures", "BETWEEN 0 AND 1")
    for name, comment in COUNTS.items():
        _add(name, sa.BigInteger(), comment, ">= 0")
    _replace_key([*KEY, "grader_model"])
    op.add_column("review", sa.Column("judged", sa.Text(), comment="the label that the reviewer saw; accepting keeps it, whatever is described later"), schema="atlas")


def downgrade() -> None:
    op.drop_column("review", "judged", schema="atlas")
    # an older atlas has place for one grader of a description: the first
    op.execute(
        "DELETE FROM atlas.auto_interp AS later USING atlas.auto_interp AS first WHERE first.id < later.id AND "
        + " AND ".join(f"first.{name} IS NOT DISTINCT FROM later.{name}" for name in KEY)
    )
    _replace_key(KEY)
    for name in ["grader_model", "raw_verdicts", *SHARES, "chance_p", "text_only_f1", *COUNTS]:
        op.drop_column("auto_interp", name, schema="atlas")


def _add(name: str, kind: sa.types.TypeEngine, comment: str, legal: str) -> None:
    """A column of auto_interp, and what it may hold."""
    op.add_column("auto_interp", sa.Column(name, kind, comment=comment), schema="atlas")
    op.create_check_constraint(op.f(f"ck__auto_interp__{name}"), "auto_interp", f"{name} {legal}", schema="atlas")


def _replace_key(columns: list[str]) -> None:
    op.drop_constraint(UNIQUE, "auto_interp", schema="atlas")
    op.create_unique_constraint(UNIQUE, "auto_interp", columns, schema="atlas", postgresql_nulls_not_distinct=True)
