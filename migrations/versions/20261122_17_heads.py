"""Heads swapped for real, how estimates agree with that, and heads knocked out together."""

from typing import Any

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_17_heads"
down_revision = "20261122_16_interpretation"
branch_labels = None
depends_on = None

FIXES = {
    "q_fix": "q through a softmax computed anew (QK fix): right where that is saturated; none: not computed",
    "k_fix": "k through a softmax computed anew (QK fix)",
    "qk_fix": "q and k at once through a softmax computed anew; they act together, so not q_fix + k_fix",
}
KEYS = {
    "head_exact": ["run_id", "layer", "feature", "part", "method", "head_layer", "head"],
    "attribution_agreement": ["run_id", "part", "estimate", "scope"],
    "head_knockout": ["run_id", "layer", "feature", "part", "control_no"],
}
# name, type, whether it may be missing, comment
COLUMNS: dict[str, tuple[tuple[str, Any, bool, str], ...]] = {
    "head_exact": (
        ("run_id", sa.Integer(), False, "the run this row belongs to"),
        ("layer", sa.SmallInteger(), False, "decoder layer whose output the SAE reads, 0-based"),
        ("feature", sa.Integer(), False, "index in the base dictionary; adapted SAEs keep it"),
        ("part", sa.Text(), False, "what was swapped: queries and keys together, values, or the head's whole output"),
        ("method", sa.CHAR(length=1), False, "A: the corrupt run's put into the clean run; B: the clean run's into the corrupt; as the method of attribution that estimates it"),
        ("head_layer", sa.SmallInteger(), False, "decoder layer of the head, 0-based"),
        ("head", sa.SmallInteger(), False, "query head within that layer, 0-based"),
        ("measurement_id", sa.Integer(), False, "the execution that produced this row: its provenance"),
        ("why", sa.Text(), False, "why this head was patched: among the strongest by A, by B or by their mean with the QK fix; drawn from the others; or because all heads of this feature were"),
        ("effect", sa.REAL(), False, "change of the feature's summed projection, mean over samples, raw residual units; the head drives the feature where A is below 0 and B above 0"),
        ("standard_error", sa.REAL(), False, "standard error of effect over samples"),
        ("effect_low", sa.REAL(), False, "lower end of effect's 95 % interval, Student's t"),
        ("effect_high", sa.REAL(), False, "upper end of effect's 95 % interval, Student's t"),
        ("p_value", sa.DOUBLE_PRECISION(), False, "t test of no effect over samples"),
        ("q_value", sa.DOUBLE_PRECISION(), False, "p_value after Benjamini-Hochberg over the feature's patched heads"),
        ("estimate", sa.REAL(), False, "what attribution says of this swap on the same samples"),
        ("estimate_fix", sa.REAL(), True, "the same with the QK fix; none: not of queries and keys"),
        ("is_causal", sa.Boolean(), False, "whether effect is there beyond chance (q_value) and has the sign of estimate"),
        ("n_samples", sa.BigInteger(), False, "samples averaged"),
    ),
    "attribution_agreement": (
        ("run_id", sa.Integer(), False, "the run this row belongs to"),
        ("part", sa.Text(), False, "what was swapped: queries and keys together, values, or the head's whole output"),
        ("estimate", sa.Text(), False, "method of attribution; mean: of B and -A; fix: with the softmax computed anew"),
        ("scope", sa.Text(), False, "all: over all pairs of feature and head; within_layer: mean over layers of what it is among the features of one layer"),
        ("measurement_id", sa.Integer(), False, "the execution that produced this row: its provenance"),
        ("pearson", sa.REAL(), True, "correlation of estimate and exact effect; none: one of them is constant"),
        ("spearman", sa.REAL(), True, "correlation of their ranks"),
        ("sign_agreement", sa.REAL(), False, "share of pairs of the same sign"),
        ("top_overlap", sa.REAL(), False, "share of a feature's ten strongest heads by exact effect that are among its ten strongest by estimate, mean over features"),
        ("top_overlap_by_chance", sa.REAL(), False, "what top_overlap would be of heads ranked by lot"),
        ("n_features", sa.BigInteger(), False, "features whose heads were all patched"),
        ("n_pairs", sa.BigInteger(), False, "pairs of feature and head compared"),
        ("n_samples", sa.BigInteger(), False, "top samples of a feature averaged over"),
    ),
    "head_knockout": (
        ("run_id", sa.Integer(), False, "the run this row belongs to"),
        ("layer", sa.SmallInteger(), False, "decoder layer whose output the SAE reads, 0-based"),
        ("feature", sa.Integer(), False, "index in the base dictionary; adapted SAEs keep it"),
        ("part", sa.Text(), False, "what the heads take from the corrupt run: queries and keys, or the whole output"),
        ("control_no", sa.SmallInteger(), False, "0: the feature's strongest heads; 1 and up: random heads that look at the picture as much"),
        ("measurement_id", sa.Integer(), False, "the execution that produced this row: its provenance"),
        ("relation", sa.Text(), False, "spatial relation of the statements"),
        ("heads", sa.ARRAY(sa.Text()), False, "the heads, layer and number, e.g. L3H5; the strongest first"),
        ("image_mass", sa.REAL(), False, "share of their attention that goes from text to the picture, mean"),
        ("projection_before", sa.REAL(), False, "residual on the feature's unit direction, mean over text tokens, untouched, raw units"),
        ("projection_after", sa.REAL(), False, "the same, knocked out"),
        ("projection_corrupt", sa.REAL(), False, "the same without the picture"),
        ("projection_delta_low", sa.REAL(), False, "lower end of the 95 % interval of projection_after - projection_before, bootstrap over images"),
        ("projection_delta_high", sa.REAL(), False, "upper end of that interval"),
        ("activation_before", sa.REAL(), False, "the feature's activation, mean over text tokens, untouched, normalised units"),
        ("activation_after", sa.REAL(), False, "the same, knocked out"),
        ("activation_corrupt", sa.REAL(), False, "the same without the picture"),
        ("seed", sa.Integer(), False, "random seed of controls and bootstrap"),
        ("n_samples", sa.BigInteger(), False, "questions answered, each before and after"),
        ("accuracy_before", sa.REAL(), False, "share answered rightly, untouched"),
        ("accuracy_after", sa.REAL(), False, "share answered rightly, knocked out"),
        ("delta_accuracy", sa.REAL(), False, "after minus before, as a fraction; below 0: the knock-out hurts"),
        ("delta_low", sa.REAL(), False, "lower end of its 95 % interval, bootstrap over images"),
        ("delta_high", sa.REAL(), False, "upper end of its 95 % interval, bootstrap over images"),
        ("right_to_wrong", sa.BigInteger(), False, "answers that the knock-out broke"),
        ("wrong_to_right", sa.BigInteger(), False, "answers that the knock-out mended"),
        ("mcnemar_p", sa.DOUBLE_PRECISION(), False, "exact McNemar p of no change"),
        ("q_value", sa.DOUBLE_PRECISION(), True, "mcnemar_p after Benjamini-Hochberg over features; none: a control"),
        ("probability_delta", sa.REAL(), False, "probability of the right answer, after minus before, mean"),
        ("margin_delta", sa.REAL(), False, "logit of the right answer over the wrong, after minus before, mean"),
        ("margin_low", sa.REAL(), False, "lower end of the 95 % interval of margin_delta, bootstrap over images"),
        ("margin_high", sa.REAL(), False, "upper end of the 95 % interval of margin_delta, bootstrap over images"),
        ("yes_rate_before", sa.REAL(), False, "share answered yes, untouched"),
        ("yes_rate_after", sa.REAL(), False, "share answered yes, knocked out"),
        ("balanced_accuracy_before", sa.REAL(), False, "mean of the recalls of yes and no, untouched"),
        ("balanced_accuracy_after", sa.REAL(), False, "mean of the recalls of yes and no, knocked out"),
    ),
}
CHECKS = {
    "head_exact": {
        "correction": "p_value <= q_value",
        "effect": "effect > '-infinity' AND effect < 'infinity'",
        "effect_high": "effect_high > '-infinity' AND effect_high < 'infinity'",
        "effect_low": "effect_low > '-infinity' AND effect_low < 'infinity'",
        "estimate": "estimate > '-infinity' AND estimate < 'infinity'",
        "estimate_fix": "estimate_fix > '-infinity' AND estimate_fix < 'infinity'",
        "feature": "feature >= 0",
        "head": "head >= 0",
        "head_below_feature": "head_layer <= layer",
        "head_layer": "head_layer >= 0",
        "interval": "effect_low <= effect_high",
        "layer": "layer >= 0",
        "method": "method IN ('A', 'B')",
        "n_samples": "n_samples >= 0",
        "p_value": "p_value BETWEEN 0 AND 1",
        "part": "part IN ('qk', 'v', 'z')",
        "q_value": "q_value BETWEEN 0 AND 1",
        "standard_error": "standard_error >= 0 AND standard_error < 'infinity'",
        "why": "why IN ('top', 'random', 'full')",
    },
    "attribution_agreement": {
        "estimate": "estimate IN ('A', 'B', 'mean', 'A_fix', 'B_fix', 'mean_fix')",
        "n_features": "n_features >= 0",
        "n_pairs": "n_pairs >= 0",
        "n_samples": "n_samples >= 0",
        "part": "part IN ('qk', 'v', 'z')",
        "pearson": "pearson BETWEEN -1 AND 1",
        "scope": "scope IN ('all', 'within_layer')",
        "sign_agreement": "sign_agreement BETWEEN 0 AND 1",
        "spearman": "spearman BETWEEN -1 AND 1",
        "top_overlap": "top_overlap BETWEEN 0 AND 1",
        "top_overlap_by_chance": "top_overlap_by_chance BETWEEN 0 AND 1",
    },
    "head_knockout": {
        "accuracy_after": "accuracy_after BETWEEN 0 AND 1",
        "accuracy_before": "accuracy_before BETWEEN 0 AND 1",
        "activation_after": "activation_after >= 0 AND activation_after < 'infinity'",
        "activation_before": "activation_before >= 0 AND activation_before < 'infinity'",
        "activation_corrupt": "activation_corrupt >= 0 AND activation_corrupt < 'infinity'",
        "balanced_accuracy_after": "balanced_accuracy_after BETWEEN 0 AND 1",
        "balanced_accuracy_before": "balanced_accuracy_before BETWEEN 0 AND 1",
        "control": "(control_no = 0) = (q_value IS NOT NULL)",
        "control_no": "control_no >= 0",
        "delta_accuracy": "delta_accuracy BETWEEN -1 AND 1",
        "delta_high": "delta_high BETWEEN -1 AND 1",
        "delta_low": "delta_low BETWEEN -1 AND 1",
        "feature": "feature >= 0",
        "image_mass": "image_mass BETWEEN 0 AND 1",
        "interval": "delta_low <= delta_high",
        "layer": "layer >= 0",
        "margin_delta": "margin_delta > '-infinity' AND margin_delta < 'infinity'",
        "margin_high": "margin_high > '-infinity' AND margin_high < 'infinity'",
        "margin_low": "margin_low > '-infinity' AND margin_low < 'infinity'",
        "mcnemar_p": "mcnemar_p BETWEEN 0 AND 1",
        "n_samples": "n_samples >= 0",
        "part": "part IN ('qk', 'z')",
        "probability_delta": "probability_delta BETWEEN -1 AND 1",
        "projection_after": "projection_after > '-infinity' AND projection_after < 'infinity'",
        "projection_before": "projection_before > '-infinity' AND projection_before < 'infinity'",
        "projection_corrupt": "projection_corrupt > '-infinity' AND projection_corrupt < 'infinity'",
        "projection_delta_high": "projection_delta_high > '-infinity' AND projection_delta_high < 'infinity'",
        "projection_delta_low": "projection_delta_low > '-infinity' AND projection_delta_low < 'infinity'",
        "projection_interval": "projection_delta_low <= projection_delta_high",
        "q_value": "q_value BETWEEN 0 AND 1",
        "right_to_wrong": "right_to_wrong >= 0",
        "wrong_to_right": "wrong_to_right >= 0",
        "yes_rate_after": "yes_rate_after BETWEEN 0 AND 1",
        "yes_rate_before": "yes_rate_before BETWEEN 0 AND 1",
    },
}
COMMENTS = {
    "head_exact": "exact effect of an attention head on a feature (5.2, C)",
    "attribution_agreement": "attribution patching beside exact patching (5.2, C)",
    "head_knockout": "what knocking out a feature's heads does to it and to the answers (5.2, 5.3)",
}


def upgrade() -> None:
    for name, comment in FIXES.items():
        op.add_column("head_attribution", sa.Column(name, sa.REAL(), nullable=True, comment=comment), schema="atlas")
        op.create_check_constraint(op.f(f"ck__head_attribution__{name}"), "head_attribution", f"{name} > '-infinity' AND {name} < 'infinity'", schema="atlas")
    for table in COLUMNS:
        _create(table)


def _create(table: str) -> None:
    """A table of facts with its key, checks, index of provenance and guard."""
    op.create_table(
        table,
        *(sa.Column(name, kind, autoincrement=False, nullable=may_miss, comment=comment) for name, kind, may_miss, comment in COLUMNS[table]),
        *(sa.CheckConstraint(condition, name=op.f(f"ck__{table}__{name}")) for name, condition in CHECKS[table].items()),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f(f"fk__{table}__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f(f"fk__{table}__run_id__run")),
        sa.PrimaryKeyConstraint(*KEYS[table], name=op.f(f"pk__{table}")),
        schema="atlas",
        comment=COMMENTS[table],
    )
    op.create_index(f"ix__{table}__measurement_id", table, ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute(f"CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.{table} FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    for table in reversed(COLUMNS):
        op.drop_table(table, schema="atlas")
    for name in FIXES:
        op.drop_column("head_attribution", name, schema="atlas")
