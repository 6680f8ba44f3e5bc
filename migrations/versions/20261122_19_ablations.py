"""Interventions, kinds of control, what could be detected; groups of features, and steering."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_19_ablations"
down_revision = "20261122_18_overlays"
branch_labels = None
depends_on = None

EVALUATIONS = "evaluation IN ('vsr_relation', 'vsr_other', 'vsr_all', 'vqa_yes_no', 'vsr_paper')"
OF_EVALUATION = "vsr_relation: test statements of the relation; vsr_other: of other relations; vsr_all: of every relation; vqa_yes_no: general questions; vsr_paper: the paper's way, all statements of the relation, those that it was chosen on too"
INTERVENTIONS = "intervention IN ('directional', 'mean_projection', 'feature_subtraction', 'base_direction')"
CONTROL = "(control_no = 0 OR coalesce(control_kind, 'matched') = 'direction') = (control_feature IS NULL)"
KEYS = {
    "ablation": ["run_id", "layer", "feature", "evaluation", "control_no"],
    "ablation_outcome": ["run_id", "layer", "feature", "evaluation", "sample_id"],
}
# table, check, condition now, condition before
CHECKS = (
    ("ablation", "evaluation", EVALUATIONS, "evaluation IN ('vsr_relation', 'vqa_yes_no')"),
    ("ablation", "intervention", INTERVENTIONS, "intervention IN ('directional')"),
    ("ablation", "control", CONTROL, "(control_no = 0) = (control_feature IS NULL)"),
    ("ablation_outcome", "evaluation", EVALUATIONS, "evaluation IN ('vsr_relation', 'vqa_yes_no')"),
)
# column, comment now, comment before; of table ablation
COMMENTS = (
    ("evaluation", OF_EVALUATION, "vsr_relation: statements of the feature's relation; vqa_yes_no: general questions"),
    ("intervention", "directional: the decoder direction is projected out of text tokens; mean_projection: its part becomes its mean; feature_subtraction: what the feature adds is taken where it fires; base_direction: the base dictionary's direction is projected out", "directional: the decoder direction is projected out of text tokens"),
    ("control_no", "0: the feature itself; 1 and up: its controls of the same layer", "0: the feature itself; 1 and up: its random controls of the same layer"),
)

BETWEEN, FINITE, COUNT = "{0} BETWEEN {1} AND {2}", "{0} > '-infinity' AND {0} < 'infinity'", "{0} >= 0"
SHARE, DELTA = BETWEEN.format("{0}", 0, 1), BETWEEN.format("{0}", -1, 1)
# name, type, condition, comment
EXTENT = (
    ("probability_low", sa.REAL, DELTA, "lower end of probability_delta's 95 % interval, bootstrap over images"),
    ("probability_high", sa.REAL, DELTA, "upper end of probability_delta's 95 % interval"),
    ("margin_low", sa.REAL, FINITE, "lower end of margin_delta's 95 % interval, bootstrap over images"),
    ("margin_high", sa.REAL, FINITE, "upper end of margin_delta's 95 % interval"),
    ("detectable_delta", sa.REAL, SHARE, "smallest loss of accuracy that exact McNemar at 0.05 finds with 80 % power, given n_samples and as many changed answers; NULL: not computed, or so few answers show none"),
)
NEW = {
    "ablation": (
        ("control_kind", sa.Text, "{0} IN ('matched', 'random', 'direction')", "matched: a feature that fires as often and projects as much; random: any feature of the layer, the paper's; direction: a random one, as much variance removed; NULL with a control_no above 0: matched"),
        ("control_p", sa.DOUBLE_PRECISION, SHARE, "share of the matched controls that hurt as much or more, the feature counted in; its smallest value is 1 over their number plus 1"),
        ("interaction", sa.REAL, BETWEEN.format("{0}", -2, 2), "delta_accuracy here less that on other relations; below 0: specific"),
        ("interaction_low", sa.REAL, BETWEEN.format("{0}", -2, 2), "lower end of its 95 % interval, bootstrap over images"),
        ("interaction_high", sa.REAL, BETWEEN.format("{0}", -2, 2), "upper end of its 95 % interval"),
        ("accuracy_mean_image", sa.REAL, SHARE, "share answered rightly, untouched, the mean image embedding instead of the image"),
        ("accuracy_no_image", sa.REAL, SHARE, "share answered rightly, untouched, without any image"),
        *EXTENT,
    ),
    "ablation_outcome": (
        ("margin_mean_image", sa.REAL, FINITE, "logit of yes over no, untouched, the mean image embedding instead of the image"),
        ("margin_no_image", sa.REAL, FINITE, "logit of yes over no, untouched, without any image"),
    ),
}
INTERVALS = (("margin_interval", "margin_low <= margin_high"), ("interaction_interval", "interaction_low <= interaction_high"))

EFFECT = (
    ("seed", sa.Integer, None, "random seed of controls and bootstrap"),
    ("n_samples", sa.BigInteger, COUNT, "questions answered, each before and after"),
    ("accuracy_before", sa.REAL, SHARE, "share answered rightly, untouched"),
    ("accuracy_after", sa.REAL, SHARE, "share answered rightly, removed"),
    ("delta_accuracy", sa.REAL, DELTA, "after minus before, as a fraction; below 0: the removal hurts"),
    ("delta_low", sa.REAL, DELTA, "lower end of its 95 % interval, bootstrap over images"),
    ("delta_high", sa.REAL, DELTA, "upper end of its 95 % interval, bootstrap over images"),
    ("right_to_wrong", sa.BigInteger, COUNT, "answers that the removal broke"),
    ("wrong_to_right", sa.BigInteger, COUNT, "answers that the removal mended"),
    ("mcnemar_p", sa.DOUBLE_PRECISION, SHARE, "exact McNemar p of no change"),
    ("probability_delta", sa.REAL, DELTA, "probability of the right answer, after minus before, mean"),
    ("margin_delta", sa.REAL, FINITE, "logit of the right answer over the wrong, after minus before, mean"),
    ("yes_rate_before", sa.REAL, SHARE, "share answered yes, untouched"),
    ("yes_rate_after", sa.REAL, SHARE, "share answered yes, removed"),
    ("balanced_accuracy_before", sa.REAL, SHARE, "mean of the recalls of yes and no, untouched"),
    ("balanced_accuracy_after", sa.REAL, SHARE, "mean of the recalls of yes and no, removed"),
    ("removed_norm", sa.REAL, "{0} >= 0 AND {0} < 'infinity'", "length of what was removed over length of the residual, mean over tokens"),
)
Q_VALUE = ("q_value", sa.DOUBLE_PRECISION, SHARE, "mcnemar_p after Benjamini-Hochberg over the run's ablated features")

RUN = ("run_id", sa.Integer, None, "the run this row belongs to")
MEASUREMENT = ("measurement_id", sa.Integer, None, "the execution that produced this row: its provenance")
LAYER = ("layer", sa.SmallInteger, COUNT, "decoder layer whose output the SAE reads, 0-based")
FEATURE = ("feature", sa.Integer, COUNT, "index in the base dictionary; adapted SAEs keep it")
EVALUATION = ("evaluation", sa.Text, EVALUATIONS, OF_EVALUATION)
KIND = ("kind", sa.Text, "{0} IN ('layer', 'relation')", "layer: all spatial survivors of a layer; relation: all whose top statements have it")
NAME = ("name", sa.Text, None, "the layer's number, or the relation")
CONTROL_NO = ("control_no", sa.SmallInteger, COUNT, "0: the group itself; 1 and up: sets of as many matched features of the same layers")
# table, its comment, key, other columns that are always there, columns that may be missing
TABLES = (
    (
        "ablation_group",
        "what the removal of several features together does to the answers (5.3)",
        (RUN, KIND, NAME, EVALUATION, ("n_features", sa.Integer, "{0} >= 1", "features removed together, the strongest on training statements first"), CONTROL_NO),
        (MEASUREMENT, *EFFECT),
        (Q_VALUE, *EXTENT),
    ),
    (
        "ablation_group_member",
        "the features of a group in the order of their removal (5.3)",
        (RUN, KIND, NAME, CONTROL_NO, ("place", sa.Integer, "{0} >= 1", "1: removed first, the strongest; a removal of n features takes places 1 to n")),
        (MEASUREMENT, LAYER, FEATURE),
        (),
    ),
    (
        "steering",
        "what adding a feature's direction does to the answers (5.3)",
        (RUN, LAYER, FEATURE, EVALUATION, ("alpha", sa.REAL, FINITE, "strength, in the feature's mean activation where it fires; 0: nothing is added")),
        (
            MEASUREMENT,
            ("length", sa.REAL, FINITE, "what was added at each text token, raw residual units"),
            ("yes_margin_delta", sa.REAL, FINITE, "logit of yes over no, after minus before, mean; above 0: towards yes"),
            ("yes_margin_delta_removed", sa.REAL, FINITE, "the same for the feature's directional removal on the same questions"),
            *EFFECT,
        ),
        (
            ("relation", sa.Text, None, "spatial relation of the statements"),
            ("mirror_correlation", sa.REAL, DELTA, "Pearson correlation over questions of the margin's change here and in the removal; below 0: adding undoes what removing does; NULL: one of them changes nothing"),
            Q_VALUE,
            *EXTENT,
        ),
    ),
)


def upgrade() -> None:
    op.add_column("ablation_outcome", sa.Column("intervention", sa.Text(), server_default="directional", nullable=False, comment="what was removed, as in ablation"), schema="atlas")
    _check("ablation_outcome", "intervention", INTERVENTIONS)
    for table, columns in NEW.items():
        for name, kind, condition, comment in columns:
            op.add_column(table, sa.Column(name, kind(), nullable=True, comment=comment), schema="atlas")
            _check(table, name, condition.format(name))
        _key(table, [*KEYS[table], "intervention"])
    for name, condition in INTERVALS:
        _check("ablation", name, condition)
    for table, name, condition, _ in CHECKS:
        _check(table, name, condition, replace=True)
    for column, comment, before in COMMENTS:
        op.alter_column("ablation", column, comment=comment, existing_comment=before, schema="atlas")
    for made in TABLES:
        _create(*made)


def downgrade() -> None:
    """What the older schema has no place for is deleted; a column's checks go with it."""
    for name, *_ in TABLES:
        op.drop_table(name, schema="atlas")
    for table in KEYS:
        op.execute(f"DELETE FROM atlas.{table} WHERE evaluation NOT IN ('vsr_relation', 'vqa_yes_no') OR intervention <> 'directional'")
    op.execute("DELETE FROM atlas.ablation WHERE control_kind <> 'matched'")
    for column, comment, before in COMMENTS:
        op.alter_column("ablation", column, comment=before, existing_comment=comment, schema="atlas")
    for table, name, _, before in CHECKS:
        _check(table, name, before, replace=True)
    for table, columns in NEW.items():
        _key(table, KEYS[table])
        for name, *_ in columns:
            op.drop_column(table, name, schema="atlas")
    op.drop_column("ablation_outcome", "intervention", schema="atlas")


def _check(table: str, name: str, condition: str, *, replace: bool = False) -> None:
    if replace:
        op.drop_constraint(op.f(f"ck__{table}__{name}"), table, schema="atlas")
    op.create_check_constraint(op.f(f"ck__{table}__{name}"), table, condition, schema="atlas")


def _key(table: str, columns: list[str]) -> None:
    op.drop_constraint(op.f(f"pk__{table}"), table, schema="atlas")
    op.create_primary_key(op.f(f"pk__{table}"), table, columns, schema="atlas")


def _create(table: str, comment: str, key: tuple, needed: tuple, optional: tuple) -> None:
    columns = [(*column, False) for column in (*key, *needed)] + [(*column, True) for column in optional]
    names = [name for name, *_ in key]
    op.create_table(
        table,
        *(sa.Column(name, kind(), autoincrement=False, nullable=nullable, comment=text) for name, kind, _, text, nullable in columns),
        *(sa.CheckConstraint(condition.format(name), name=op.f(f"ck__{table}__{name}")) for name, _, condition, *_ in columns if condition),
        *(sa.ForeignKeyConstraint([column], [f"atlas.{target}.id"], name=op.f(f"fk__{table}__{column}__{target}")) for column, target in (("run_id", "run"), ("measurement_id", "measurement"))),
        sa.PrimaryKeyConstraint(*names, name=op.f(f"pk__{table}")),
        schema="atlas",
        comment=comment,
    )
    if optional:  # it has an effect, with intervals
        _check(table, "interval", "delta_low <= delta_high")
        _check(table, "margin_interval", "margin_low <= margin_high")
    op.create_index(f"ix__{table}__measurement_id", table, ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute(f"CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.{table} FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")
