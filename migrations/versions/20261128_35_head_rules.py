"""Heads by further rules, how far each agrees with real swaps, and whether rankings hold."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_35_head_rules"
down_revision = "20261128_34_view_files"
branch_labels = None
depends_on = None

BEFORE = ("A", "B", "mean", "A_fix", "B_fix", "mean_fix")
ESTIMATES = (*BEFORE, "A_relp", "B_relp", "mean_relp", "A_ig", "B_ig", "mean_ig", "A_grad_drop", "B_grad_drop", "mean_grad_drop")
SCOPES_BEFORE = ("all", "within_layer")
SCOPES = (*SCOPES_BEFORE, "within_feature")
ESTIMATE_BEFORE = "method of attribution; mean: of B and -A; fix: with the softmax computed anew"
ESTIMATE = "method of attribution; mean: of B and -A; fix: with the softmax computed anew; relp, ig, grad_drop: rules of head_estimate"
SCOPE_BEFORE = "all: over all pairs of feature and head; within_layer: mean over layers of what it is among the features of one layer"
SCOPE = "all: over all pairs of feature and head; within_layer: mean over layers of what it is among the features of one layer; within_feature: mean over features of what it is among a feature's heads"
METHOD_BEFORE = "attribution method that ranked the head, A or B"
METHOD = "estimate that ranked the head: the one that agrees best with real swaps of queries and keys (attribution_agreement)"
NUMBERS = {
    "spearman_low": ("lower end of spearman's 95 % interval, samples drawn anew; none: another scope than within_feature", "BETWEEN -1 AND 1"),
    "spearman_high": ("upper end", "BETWEEN -1 AND 1"),
    "top_overlap_low": ("lower end of top_overlap's 95 % interval, likewise", "BETWEEN 0 AND 1"),
    "top_overlap_high": ("upper end", "BETWEEN 0 AND 1"),
    "n_passes": ("passes of a prompt up to the feature's layer, forward and backward, that the estimate takes for one feature, mean over features; none: not counted", ">= 0 AND n_passes < 'infinity'"),
    "n_passes_exact": ("the same of swapping every head for real, one at a time", ">= 0 AND n_passes_exact < 'infinity'"),
}
SHOWN = ("overlay", "custom_overlay")


def upgrade() -> None:
    _create_tables()
    table = "attribution_agreement"
    for name, (comment, legal) in NUMBERS.items():
        op.add_column(table, sa.Column(name, sa.REAL(), nullable=True, comment=comment), schema="atlas")
        op.create_check_constraint(op.f(f"ck__{table}__{name}"), table, f"{name} {legal}", schema="atlas")
    _allow(table, "estimate", ESTIMATES)
    _allow(table, "scope", SCOPES)
    op.alter_column(table, "estimate", comment=ESTIMATE, existing_comment=ESTIMATE_BEFORE, schema="atlas")
    op.alter_column(table, "scope", comment=SCOPE, existing_comment=SCOPE_BEFORE, schema="atlas")
    for table in SHOWN:
        op.alter_column(table, "method", type_=sa.Text(), existing_type=sa.CHAR(length=1), comment=METHOD, existing_comment=METHOD_BEFORE, schema="atlas")
        _allow(table, "method", ESTIMATES)


def downgrade() -> None:
    for table in SHOWN:
        op.drop_constraint(op.f(f"ck__{table}__method"), table, schema="atlas", type_="check")
        op.alter_column(table, "method", type_=sa.CHAR(length=1), existing_type=sa.Text(), postgresql_using="CASE left(method, 1) WHEN 'A' THEN 'A' ELSE 'B' END", comment=METHOD_BEFORE, existing_comment=METHOD, schema="atlas")
        op.create_check_constraint(op.f(f"ck__{table}__method"), table, "method IN ('A', 'B')", schema="atlas")
    table = "attribution_agreement"
    op.alter_column(table, "scope", comment=SCOPE_BEFORE, existing_comment=SCOPE, schema="atlas")
    op.alter_column(table, "estimate", comment=ESTIMATE_BEFORE, existing_comment=ESTIMATE, schema="atlas")
    _allow(table, "scope", SCOPES_BEFORE, not_valid=True)  # rows in other words stay
    _allow(table, "estimate", BEFORE, not_valid=True)
    for name in reversed(NUMBERS):
        op.drop_column(table, name, schema="atlas")
    op.drop_table("head_stability", schema="atlas")
    op.drop_table("head_estimate", schema="atlas")


def _allow(table: str, column: str, words: tuple[str, ...], *, not_valid: bool = False) -> None:
    """Other words in a column."""
    name = op.f(f"ck__{table}__{column}")
    op.drop_constraint(name, table, schema="atlas", type_="check")
    rule = f"{column} IN ({', '.join(map(repr, words))})"
    op.create_check_constraint(name, table, rule, schema="atlas", postgresql_not_valid=not_valid)


def _create_tables() -> None:
    op.create_table(
        "head_estimate",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("rule", sa.Text(), nullable=False, comment="relp: relevance in the place of gradients, norms, gates and patterns held fixed; ig: gradients integrated from the corrupted to the clean picture; grad_drop: mean size with one layer's write dropped at a time, with the sign of the undropped score"),
        sa.Column("method", sa.CHAR(length=1), nullable=False, comment="A: of the clean run, (corrupted - clean); B: of the corrupted run; as in head_attribution. Of ig A = -B"),
        sa.Column("head_layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer of the head, 0-based"),
        sa.Column("head", sa.SmallInteger(), autoincrement=False, nullable=False, comment="query head within that layer, 0-based"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("qk", sa.REAL(), nullable=False, comment="through queries and keys, mean over samples, raw residual units; relp: through a softmax computed anew; the head drives the feature where A is below 0 and B above 0"),
        sa.Column("v", sa.REAL(), nullable=False, comment="through the values, raw residual units"),
        sa.Column("z", sa.REAL(), nullable=False, comment="through the head's output, raw residual units"),
        sa.Column("standard_error", sa.REAL(), nullable=False, comment="standard error of qk over samples"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="samples averaged"),
        sa.CheckConstraint("method IN ('A', 'B')", name=op.f("ck__head_estimate__method")),
        sa.CheckConstraint("qk > '-infinity' AND qk < 'infinity'", name=op.f("ck__head_estimate__qk")),
        sa.CheckConstraint("rule IN ('relp', 'ig', 'grad_drop')", name=op.f("ck__head_estimate__rule")),
        sa.CheckConstraint("standard_error >= 0 AND standard_error < 'infinity'", name=op.f("ck__head_estimate__standard_error")),
        sa.CheckConstraint("v > '-infinity' AND v < 'infinity'", name=op.f("ck__head_estimate__v")),
        sa.CheckConstraint("z > '-infinity' AND z < 'infinity'", name=op.f("ck__head_estimate__z")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__head_estimate__feature")),
        sa.CheckConstraint("head >= 0", name=op.f("ck__head_estimate__head")),
        sa.CheckConstraint("head_layer <= layer", name=op.f("ck__head_estimate__head_below_feature")),
        sa.CheckConstraint("head_layer >= 0", name=op.f("ck__head_estimate__head_layer")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__head_estimate__layer")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__head_estimate__n_samples")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__head_estimate__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__head_estimate__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "rule", "method", "head_layer", "head", name=op.f("pk__head_estimate")),
        schema="atlas",
        comment="effect of an attention head on a feature by further rules (beside 5.2, C)",
    )
    op.create_index(op.f("ix__head_estimate__measurement_id"), "head_estimate", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
    op.create_table(
        "head_stability",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("estimate", sa.Text(), nullable=False, comment="of queries and keys, as in attribution_agreement"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("spearman", sa.REAL(), nullable=False, comment="rank correlation over all heads, mean over pairs of draws with replacement"),
        sa.Column("jaccard", sa.REAL(), nullable=False, comment="of the heads that are among the first ten in either, the share that is in both, mean"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="samples that rankings are made from"),
        sa.CheckConstraint("estimate IN ('A', 'B', 'mean', 'A_fix', 'B_fix', 'mean_fix', 'A_relp', 'B_relp', 'mean_relp', 'A_ig', 'B_ig', 'mean_ig', 'A_grad_drop', 'B_grad_drop', 'mean_grad_drop')", name=op.f("ck__head_stability__estimate")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__head_stability__feature")),
        sa.CheckConstraint("jaccard BETWEEN 0 AND 1", name=op.f("ck__head_stability__jaccard")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__head_stability__layer")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__head_stability__n_samples")),
        sa.CheckConstraint("spearman BETWEEN -1 AND 1", name=op.f("ck__head_stability__spearman")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__head_stability__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__head_stability__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "estimate", name=op.f("pk__head_stability")),
        schema="atlas",
        comment="whether rankings of heads hold on other samples (beside 5.2, C)",
    )
    op.create_index(op.f("ix__head_stability__measurement_id"), "head_stability", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")
