"""What labels would have found instead of features, and whether these are only a code of places."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_42_supervised"
down_revision = "20261128_41_chance"
branch_labels = None
depends_on = None

# name, type, whether it may be missing, condition, comment
RUN = ("run_id", sa.Integer, False, None, "the run this row belongs to")
MEASUREMENT = ("measurement_id", sa.Integer, False, None, "the execution that produced this row: its provenance")
LAYER = ("layer", sa.SmallInteger, False, "layer >= 0", "decoder layer whose output the SAE reads, 0-based")
CONTRAST = ("contrast", sa.Text, False, "contrast IN ('relation', 'truth')", "which training statements were told apart; relation: those of the relation from those of others; truth: the relation's true ones from its false ones")
METHOD = ("method", sa.Text, False, "method IN ('diff_mean', 'probe')", "diff_mean: from the mean residual of the one kind to that of the other; probe: weights of a logistic regression on the residuals (L2, C = 1)")
EFFECT = (
    ("accuracy_after", sa.REAL, False, "accuracy_after BETWEEN 0 AND 1", "share answered rightly, removed"),
    ("delta_accuracy", sa.REAL, False, "delta_accuracy BETWEEN -1 AND 1", "after minus before; below 0: the removal hurts"),
    ("right_to_wrong", sa.BigInteger, False, "right_to_wrong >= 0", "answers that the removal broke"),
    ("wrong_to_right", sa.BigInteger, False, "wrong_to_right >= 0", "answers that the removal mended"),
    ("q_value", sa.DOUBLE_PRECISION, True, "q_value BETWEEN 0 AND 1", "mcnemar_p after Benjamini-Hochberg over the run's ablated features"),
    ("yes_rate_after", sa.REAL, False, "yes_rate_after BETWEEN 0 AND 1", "share answered yes, removed"),
    ("balanced_accuracy_after", sa.REAL, False, "balanced_accuracy_after BETWEEN 0 AND 1", "mean of the recalls of yes and no, removed"),
    ("removed_norm", sa.REAL, False, "removed_norm >= 0 AND removed_norm < 'infinity'", "length of what was removed over length of the residual, mean over tokens"),
    ("probability_low", sa.REAL, True, "probability_low BETWEEN -1 AND 1", "lower end of probability_delta's 95 % interval, bootstrap over images"),
    ("probability_high", sa.REAL, True, "probability_high BETWEEN -1 AND 1", "upper end of probability_delta's 95 % interval"),
    ("margin_low", sa.REAL, True, "margin_low > '-infinity' AND margin_low < 'infinity'", "lower end of margin_delta's 95 % interval, bootstrap over images"),
    ("margin_high", sa.REAL, True, "margin_high > '-infinity' AND margin_high < 'infinity'", "upper end of margin_delta's 95 % interval"),
    ("detectable_delta", sa.REAL, True, "detectable_delta BETWEEN 0 AND 1", "smallest loss of accuracy that exact McNemar at 0.05 finds with 80 % power, given n_samples and as many changed answers; NULL: not computed, or so few answers show none"),
    ("seed", sa.Integer, False, None, "random seed of controls and bootstrap"),
    ("n_samples", sa.BigInteger, False, "n_samples >= 0", "questions answered, each before and after"),
    ("accuracy_before", sa.REAL, False, "accuracy_before BETWEEN 0 AND 1", "share answered rightly, untouched"),
    ("delta_low", sa.REAL, False, "delta_low BETWEEN -1 AND 1", "lower end of its 95 % interval, bootstrap over images"),
    ("delta_high", sa.REAL, False, "delta_high BETWEEN -1 AND 1", "upper end of its 95 % interval, bootstrap over images"),
    ("mcnemar_p", sa.DOUBLE_PRECISION, False, "mcnemar_p BETWEEN 0 AND 1", "exact McNemar p of no change"),
    ("probability_delta", sa.REAL, False, "probability_delta BETWEEN -1 AND 1", "probability of the right answer, after minus before, mean"),
    ("margin_delta", sa.REAL, False, "margin_delta > '-infinity' AND margin_delta < 'infinity'", "logit of the right answer over the wrong, after minus before, mean"),
    ("yes_rate_before", sa.REAL, False, "yes_rate_before BETWEEN 0 AND 1", "share answered yes, untouched"),
    ("balanced_accuracy_before", sa.REAL, False, "balanced_accuracy_before BETWEEN 0 AND 1", "mean of the recalls of yes and no, untouched"),
)
INTERVALS = (("interval", "delta_low <= delta_high"), ("margin_interval", "margin_low <= margin_high"))

# table, its comment, its key, columns, rules between columns
TABLES = (
    (
        "supervised_direction",
        "directions found from labels, rivals of features (beside 5.3)",
        ("run_id", "relation", "contrast", "method"),
        (
            RUN,
            ("relation", sa.Text, False, None, "spatial relation of the statements"),
            CONTRAST,
            METHOD,
            MEASUREMENT,
            LAYER,
            ("n_positive", sa.BigInteger, False, "n_positive >= 0", "training statements of the relation, or true ones"),
            ("n_negative", sa.BigInteger, False, "n_negative >= 0", "training statements of other relations, or false ones"),
            ("accuracy_delta_train", sa.REAL, False, "accuracy_delta_train BETWEEN -1 AND 1", "accuracy on training statements of the relation, removed minus untouched: what chose the layer"),
            ("margin_delta_train", sa.REAL, False, "margin_delta_train > '-infinity' AND margin_delta_train < 'infinity'", "logit of the right answer over the wrong on these statements, likewise: settles ties"),
            ("auc_train", sa.REAL, True, "auc_train BETWEEN 0 AND 1", "chance that a training statement of the one kind lies further along the direction than one of the other, mean over its text tokens; 0.5: tells nothing"),
            ("auc_held_out", sa.REAL, True, "auc_held_out BETWEEN 0 AND 1", "the same of held-out statements; none: all are of one kind"),
            ("nearest_feature", sa.Integer, False, "nearest_feature >= 0", "feature of the layer, adapted on text, whose direction is nearest"),
            ("nearest_cosine", sa.REAL, False, "nearest_cosine BETWEEN -1 AND 1", "cosine with that feature's direction"),
        ),
        (),
    ),
    (
        "supervised_ablation",
        "what the removal of a direction found from labels does (beside 5.3)",
        ("run_id", "relation", "contrast", "method", "evaluation", "control_no"),
        (
            RUN,
            ("relation", sa.Text, False, None, "spatial relation of the statements"),
            CONTRAST,
            METHOD,
            ("evaluation", sa.Text, False, "evaluation IN ('vsr_relation', 'vsr_other', 'vsr_all', 'vqa_yes_no', 'vsr_paper', 'whatsup', 'gqa')", "vsr_relation: test statements of the relation; vsr_other: of other relations; vsr_all: of every relation; vqa_yes_no: general questions; vsr_paper: the paper's way, all statements of the relation, those that it was chosen on too; whatsup: pairs of opposite statements about What'sUp's pictures; gqa: GQA's spatial yes/no questions"),
            ("control_no", sa.SmallInteger, False, "control_no >= 0", "0: the direction itself; 1 and up: its controls of the same layer"),
            MEASUREMENT,
            LAYER,
            ("control_kind", sa.Text, True, "control_kind IN ('shuffled', 'direction')", "shuffled: found likewise after labels were shuffled; direction: a random one; of both as much variance is removed"),
            ("control_p", sa.DOUBLE_PRECISION, True, "control_p BETWEEN 0 AND 1", "share of the controls that hurt as much or more, the direction counted in; its smallest value is 1 over their number plus 1"),
            ("interaction", sa.REAL, True, "interaction BETWEEN -2 AND 2", "delta_accuracy here less that on other relations; below 0: specific"),
            ("interaction_low", sa.REAL, True, "interaction_low BETWEEN -2 AND 2", "lower end of its 95 % interval, bootstrap over images"),
            ("interaction_high", sa.REAL, True, "interaction_high BETWEEN -2 AND 2", "upper end of its 95 % interval"),
            ("compared_layer", sa.SmallInteger, True, "compared_layer >= 0", "layer of the relation's removed feature that costs most on training statements"),
            ("compared_feature", sa.Integer, True, "compared_feature >= 0", "that feature"),
            ("delta_less_feature", sa.REAL, True, "delta_less_feature BETWEEN -2 AND 2", "delta_accuracy less that of the feature's removal, on the same questions; below 0: this direction breaks more"),
            ("delta_less_feature_low", sa.REAL, True, "delta_less_feature_low BETWEEN -2 AND 2", "lower end of its 95 % interval, paired, bootstrap over images"),
            ("delta_less_feature_high", sa.REAL, True, "delta_less_feature_high BETWEEN -2 AND 2", "upper end of its 95 % interval"),
            *EFFECT,
        ),
        (*INTERVALS, ("compared", "delta_less_feature_low <= delta_less_feature_high"), ("control", "(control_no = 0) = (control_kind IS NULL)"), ("interaction_interval", "interaction_low <= interaction_high"),),
    ),
    (
        "supervised_steering",
        "what adding a direction found from labels does to the answers (beside 5.3)",
        ("run_id", "relation", "contrast", "method", "alpha"),
        (
            RUN,
            ("relation", sa.Text, False, None, "spatial relation of the statements"),
            CONTRAST,
            METHOD,
            ("alpha", sa.REAL, False, "alpha > '-infinity' AND alpha < 'infinity'", "strength, in standard deviations of the residual's part along the direction over text tokens; 0: nothing is added"),
            MEASUREMENT,
            LAYER,
            ("length", sa.REAL, False, "length > '-infinity' AND length < 'infinity'", "what was added at each text token"),
            ("yes_margin_delta", sa.REAL, False, "yes_margin_delta > '-infinity' AND yes_margin_delta < 'infinity'", "logit of yes over no, after minus before, mean; above 0: towards yes"),
            ("yes_margin_delta_removed", sa.REAL, False, "yes_margin_delta_removed > '-infinity' AND yes_margin_delta_removed < 'infinity'", "the same for the direction's removal on the same questions"),
            ("mirror_correlation", sa.REAL, True, "mirror_correlation BETWEEN -1 AND 1", "Pearson correlation over questions of the margin's change here and in the removal; below 0: adding undoes what removing does; NULL: one of them changes nothing"),
            *EFFECT,
        ),
        (*INTERVALS,),
    ),
    (
        "spatial_code",
        "the linear code of where named objects are, by layer (beside 5.3)",
        ("run_id", "layer"),
        (
            RUN,
            LAYER,
            MEASUREMENT,
            ("n_objects_train", sa.BigInteger, False, "n_objects_train >= 0", "objects of known place that training statements name: the code is made of them"),
            ("n_objects_held_out", sa.BigInteger, False, "n_objects_held_out >= 0", "objects that test statements name: a readout is fitted on those in half of their pictures and judged on the others"),
            ("n_images_train", sa.BigInteger, False, "n_images_train >= 0", "pictures of the training statements"),
            ("r2_x", sa.REAL, False, "r2_x > '-infinity' AND r2_x < 'infinity'", "share of the variance of x (of the box's centre, over the picture's width) that a ridge regression on the residual foretells in other pictures; 1: exactly, below 0: worse than the mean"),
            ("r2_y", sa.REAL, False, "r2_y > '-infinity' AND r2_y < 'infinity'", "the same of y, downwards"),
            ("r2_x_erased", sa.REAL, False, "r2_x_erased > '-infinity' AND r2_x_erased < 'infinity'", "r2_x when the code's two directions, made of training statements, are projected out and the regression is fitted anew"),
            ("r2_y_erased", sa.REAL, False, "r2_y_erased > '-infinity' AND r2_y_erased < 'infinity'", "r2_y likewise"),
        ),
        (),
    ),
    (
        "spatial_code_ablation",
        "what of a feature's effect is the linear code of places (beside 5.3)",
        ("run_id", "layer", "feature", "removed", "control_no"),
        (
            RUN,
            LAYER,
            ("feature", sa.Integer, False, "feature >= 0", "index in the base dictionary; adapted SAEs keep it"),
            ("removed", sa.Text, False, "removed IN ('feature', 'outside', 'code', 'both')", "feature: its direction v; outside: what of v is orthogonal to the code U of its layer; code: the two directions of U; both: U and v"),
            ("control_no", sa.SmallInteger, False, "control_no >= 0", "0: with the code; 1 and up: with one made of places that were dealt out anew"),
            MEASUREMENT,
            ("relation", sa.Text, False, None, "spatial relation of the statements"),
            ("code_share", sa.REAL, False, "code_share BETWEEN 0 AND 1", "of the squared length of the feature's direction, what lies in the code; by chance 2 over the model's width"),
            ("remaining_accuracy", sa.REAL, True, "remaining_accuracy > '-infinity' AND remaining_accuracy < 'infinity'", "outside: delta_accuracy over that of the feature; both: delta_accuracy less that of the code, over that of the feature; 1: the effect is not the code's, 0: it is; NULL: the feature's interval holds 0, or another removal"),
            ("remaining_accuracy_low", sa.REAL, True, "remaining_accuracy_low > '-infinity' AND remaining_accuracy_low < 'infinity'", "lower end of its 95 % interval, paired, bootstrap over images"),
            ("remaining_accuracy_high", sa.REAL, True, "remaining_accuracy_high > '-infinity' AND remaining_accuracy_high < 'infinity'", "upper end of its 95 % interval"),
            ("remaining_margin", sa.REAL, True, "remaining_margin > '-infinity' AND remaining_margin < 'infinity'", "the same of margin_delta"),
            ("remaining_margin_low", sa.REAL, True, "remaining_margin_low > '-infinity' AND remaining_margin_low < 'infinity'", "lower end of its 95 % interval, paired, bootstrap over images"),
            ("remaining_margin_high", sa.REAL, True, "remaining_margin_high > '-infinity' AND remaining_margin_high < 'infinity'", "upper end of its 95 % interval"),
            *EFFECT,
        ),
        (*INTERVALS, ("remaining_accuracy_interval", "remaining_accuracy_low <= remaining_accuracy_high"), ("remaining_margin_interval", "remaining_margin_low <= remaining_margin_high"),),
    ),
)


def upgrade() -> None:
    for table, comment, key, columns, rules in TABLES:
        checks = [(name, condition) for name, _, _, condition, _ in columns if condition]
        op.create_table(
            table,
            *(sa.Column(name, kind(), autoincrement=False, nullable=nullable, comment=text) for name, kind, nullable, _, text in columns),
            *(sa.CheckConstraint(condition, name=op.f(f"ck__{table}__{name}")) for name, condition in (*checks, *rules)),
            *(sa.ForeignKeyConstraint([column], [f"atlas.{target}.id"], name=op.f(f"fk__{table}__{column}__{target}")) for column, target in (("run_id", "run"), ("measurement_id", "measurement"))),
            sa.PrimaryKeyConstraint(*key, name=op.f(f"pk__{table}")),
            schema="atlas",
            comment=comment,
        )
        op.create_index(f"ix__{table}__measurement_id", table, ["measurement_id"], schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    for table, *_ in TABLES[::-1]:
        op.drop_table(table, schema="atlas")
