"""Facts about some features: examples, labels, heads, removals."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_03_sparse_facts"
down_revision = "20261122_02_dense_facts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_training_curve()
    _create_example()
    _create_candidate()
    _create_neutral_prompt()
    _create_auto_interp()
    _create_review()
    _create_head_attribution()
    _create_overlay()
    _create_ablation()
    _create_ablation_outcome()


def _create_training_curve() -> None:
    _create("training_curve", "reconstruction on held-out tokens during adaptation (A.2)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("regime_id", sa.SmallInteger(), nullable=False, comment="which tokens adapted the SAE (3.2)"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("tokens_seen", sa.BigInteger(), autoincrement=False, nullable=False, comment="training tokens so far; 0: the base SAE"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("fvu", sa.REAL(), nullable=False, comment="fraction of variance unexplained; 0: perfect, 1: no better than the mean"),
        sa.Column("l0", sa.REAL(), nullable=False, comment="features that fire on a token, mean"),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False, comment="held-out tokens evaluated"),
        sa.Column("learning_rate", sa.REAL(), nullable=False, comment="step size of the optimiser at that moment"),
        *_checks("training_curve", "{name} >= 0 AND {name} < 'infinity'", "fvu", "l0", "learning_rate"),
        *_checks("training_curve", "{name} >= 0", "layer", "n_tokens", "tokens_seen"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__training_curve__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["regime_id"], ["atlas.regime.id"], name=op.f("fk__training_curve__regime_id__regime")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__training_curve__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "regime_id", "layer", "tokens_seen", name=op.f("pk__training_curve")),
    )


def _create_example() -> None:
    _create("example", "the samples on which a feature fires most (5.1)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("source", sa.Text(), nullable=False, comment="kind of dataset the sample is from"),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False, comment="place among the feature's samples of this source; 0: strongest"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("sample_id", sa.BigInteger(), nullable=False, comment="the question and its image"),
        sa.Column("max_activation", sa.REAL(), nullable=False, comment="largest activation on the question's tokens, normalised units"),
        sa.Column("max_token", sa.SmallInteger(), nullable=False, comment="index into tokens of the largest"),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False, comment="the question's tokens as text"),
        sa.Column("activations", postgresql.ARRAY(sa.REAL()), nullable=False, comment="activation on each of tokens, normalised units; 0: silent"),
        sa.CheckConstraint("0 <= ALL (activations) AND 'infinity' > ALL (activations)", name=op.f("ck__example__activations")),
        sa.CheckConstraint("max_activation >= 0 AND max_activation < 'infinity'", name=op.f("ck__example__max_activation")),
        sa.CheckConstraint("source IN ('vqav2', 'vsr')", name=op.f("ck__example__source")),
        sa.CheckConstraint("cardinality(tokens) = cardinality(activations)", name=op.f("ck__example__tokens")),
        *_checks("example", "{name} >= 0", "feature", "layer"),
        sa.CheckConstraint("max_token < cardinality(tokens)", name=op.f("ck__example__max_token_in_tokens")),
        *_checks("example", "{name} >= 0", "max_token", "rank"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__example__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__example__run_id__run")),
        sa.ForeignKeyConstraint(["sample_id"], ["atlas.sample.id"], name=op.f("fk__example__sample_id__sample")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "source", "rank", name=op.f("pk__example")),
    )
    op.create_index(op.f("ix__example__sample_id"), "example", ["sample_id"], unique=False, schema="atlas")


def _create_candidate() -> None:
    _create("candidate", "which candidates are still active on neutral prompts (4.3, A.6)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("skill_id", sa.SmallInteger(), nullable=False, comment="which kind of question was compared with all questions (4.3)"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("survives", sa.Boolean(), nullable=False, comment="whether on one neutral prompt it fires because of the image, not of a word"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="runs: images tried, summed over the neutral prompts"),
        sa.Column("n_fired", sa.BigInteger(), nullable=False, comment="of them, how many on which it fired"),
        sa.Column("n_fired_mean_image", sa.BigInteger(), nullable=False, comment="of them, how many on which it fired with the image replaced by the mean embedding"),
        *_checks("candidate", "{name} >= 0", "feature", "layer"),
        sa.CheckConstraint("n_fired <= n_samples AND n_fired_mean_image <= n_samples", name=op.f("ck__candidate__samples")),
        *_checks("candidate", "{name} >= 0", "n_fired", "n_fired_mean_image", "n_samples"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__candidate__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__candidate__run_id__run")),
        sa.ForeignKeyConstraint(["skill_id"], ["atlas.skill.id"], name=op.f("fk__candidate__skill_id__skill")),
        sa.PrimaryKeyConstraint("run_id", "skill_id", "layer", "feature", name=op.f("pk__candidate")),
    )
    op.create_index(op.f("ix__candidate__run_id_layer_feature"), "candidate", ["run_id", "layer", "feature"], unique=False, schema="atlas")


def _create_neutral_prompt() -> None:
    _create("neutral_prompt", "a candidate on one prompt without a word of its skill (4.3, A.6)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("skill_id", sa.SmallInteger(), nullable=False, comment="which kind of question was compared with all questions (4.3)"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("prompt_no", sa.SmallInteger(), autoincrement=False, nullable=False, comment="number of the prompt in the skill's definition, from 0"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("prompt", sa.Text(), nullable=False, comment="the neutral prompt; the model's reply to it counts too"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="images tried with this prompt"),
        sa.Column("n_fired", sa.BigInteger(), nullable=False, comment="of them, how many on which it fired"),
        sa.Column("n_fired_mean_image", sa.BigInteger(), nullable=False, comment="of them, how many on which it fired with the image replaced by the mean embedding"),
        sa.Column("mean_activation", sa.REAL(), nullable=False, comment="largest activation per image, mean over images, normalised units"),
        sa.CheckConstraint("mean_activation >= 0 AND mean_activation < 'infinity'", name=op.f("ck__neutral_prompt__mean_activation")),
        *_checks("neutral_prompt", "{name} >= 0", "feature", "layer"),
        sa.CheckConstraint("n_fired <= n_samples AND n_fired_mean_image <= n_samples", name=op.f("ck__neutral_prompt__samples")),
        *_checks("neutral_prompt", "{name} >= 0", "n_fired", "n_fired_mean_image", "n_samples", "prompt_no"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__neutral_prompt__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__neutral_prompt__run_id__run")),
        sa.ForeignKeyConstraint(["skill_id"], ["atlas.skill.id"], name=op.f("fk__neutral_prompt__skill_id__skill")),
        sa.PrimaryKeyConstraint("run_id", "skill_id", "layer", "feature", "prompt_no", name=op.f("pk__neutral_prompt")),
    )
    op.create_index(op.f("ix__neutral_prompt__run_id_layer_feature"), "neutral_prompt", ["run_id", "layer", "feature"], unique=False, schema="atlas")


def _create_auto_interp() -> None:
    _create("auto_interp", "a description of a feature and its score on held-out samples (5.1, B)",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("variant", sa.Text(), nullable=False, comment="RAW: plain images; OVERLAY: with the heads' attention drawn on"),
        sa.Column("explainer", sa.Text(), nullable=False, comment="a language model's endpoint, or word statistics"),
        sa.Column("model", sa.Text(), nullable=False, comment="the explainer's model"),
        sa.Column("description", sa.Text(), nullable=False, comment="what the feature is said to mean"),
        sa.Column("n_positive", sa.BigInteger(), nullable=False, comment="held-out samples on which the feature fires"),
        sa.Column("n_negative", sa.BigInteger(), nullable=False, comment="held-out samples on which it does not"),
        sa.Column("true_positive", sa.BigInteger(), nullable=False, comment="firing samples that match the description"),
        sa.Column("false_positive", sa.BigInteger(), nullable=False, comment="silent samples that match the description"),
        sa.Column("false_negative", sa.BigInteger(), nullable=False, comment="firing samples that do not match"),
        sa.Column("true_negative", sa.BigInteger(), nullable=False, comment="silent samples that do not match"),
        sa.Column("f1", sa.REAL(), nullable=False, comment="harmonic mean of precision and recall; 1: perfect (B)"),
        sa.Column("balanced_accuracy", sa.REAL(), nullable=False, comment="mean of the two recalls; 0.5: chance"),
        sa.Column("mcc", sa.REAL(), nullable=False, comment="Matthews correlation; 0: chance, 1: perfect"),
        sa.Column("shuffled_f1", sa.REAL(), nullable=True, comment="F1 of another feature's description on these samples: the null"),
        sa.Column("prompt_hash", sa.Text(), nullable=False, comment="hash of the prompts sent"),
        sa.Column("raw_reply", sa.Text(), nullable=False, comment="the explainer's reply as it came"),
        sa.Column("tokens_used", sa.BigInteger(), nullable=False, comment="tokens billed, prompts and replies; 0 offline"),
        sa.Column("cost_usd", sa.REAL(), nullable=True, comment="what it cost, US dollars, if known"),
        sa.Column("n_failed", sa.BigInteger(), nullable=False, comment="held-out samples without a readable verdict"),
        sa.CheckConstraint("cost_usd >= 0 AND cost_usd < 'infinity'", name=op.f("ck__auto_interp__cost_usd")),
        sa.CheckConstraint("explainer IN ('openai', 'offline')", name=op.f("ck__auto_interp__explainer")),
        sa.CheckConstraint("variant IN ('RAW', 'OVERLAY')", name=op.f("ck__auto_interp__variant")),
        *_checks("auto_interp", "{name} BETWEEN 0 AND 1", "balanced_accuracy", "f1"),
        *_checks("auto_interp", "{name} >= 0", "false_negative", "false_positive", "feature", "layer"),
        sa.CheckConstraint("mcc BETWEEN -1 AND 1", name=op.f("ck__auto_interp__mcc")),
        *_checks("auto_interp", "{name} >= 0", "n_failed", "n_negative", "n_positive"),
        sa.CheckConstraint("shuffled_f1 BETWEEN 0 AND 1", name=op.f("ck__auto_interp__shuffled_f1")),
        *_checks("auto_interp", "{name} >= 0", "tokens_used", "true_negative", "true_positive"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__auto_interp__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__auto_interp__run_id__run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__auto_interp")),
        sa.UniqueConstraint("run_id", "layer", "feature", "variant", "explainer", "model", name=op.f("uq__auto_interp__run_id_layer_feature_variant_explainer_model")),
    )


def _create_review() -> None:
    _create("review", "a person's verdict on a feature's description; the newest counts",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("verdict", sa.Text(), nullable=False, comment="accept the best description, reject it, or edit it"),
        sa.Column("description", sa.Text(), nullable=True, comment="the reviewer's own description"),
        sa.Column("note", sa.Text(), nullable=True, comment="why"),
        sa.Column("reviewer", sa.Text(), nullable=False, comment="who"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("verdict IN ('accept', 'reject', 'edit')", name=op.f("ck__review__verdict")),
        *_checks("review", "{name} >= 0", "feature", "layer"),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__review__run_id__run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__review")),
    )
    op.create_index(op.f("ix__review__run_id_layer_feature"), "review", ["run_id", "layer", "feature"], unique=False, schema="atlas")


def _create_head_attribution() -> None:
    _create("head_attribution", "first-order effect of an attention head on a feature (5.2, C)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("method", sa.CHAR(length=1), nullable=False, comment="A: (corrupted - clean) x gradient of the clean run; B: (clean - corrupted) x gradient of the corrupted run; where all is linear A = -B (5.2)"),
        sa.Column("head_layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer of the head, 0-based"),
        sa.Column("head", sa.SmallInteger(), autoincrement=False, nullable=False, comment="query head within that layer, 0-based"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("score", sa.REAL(), nullable=False, comment="q + k, mean over samples, raw residual units; the head drives the feature where A is below 0 and B above 0 (5.2)"),
        sa.Column("q", sa.REAL(), nullable=False, comment="part through the queries, raw residual units"),
        sa.Column("k", sa.REAL(), nullable=False, comment="part through the keys, raw residual units"),
        sa.Column("v", sa.REAL(), nullable=False, comment="part through the values, raw residual units"),
        sa.Column("z", sa.REAL(), nullable=False, comment="effect through the head's output, raw residual units"),
        sa.Column("standard_error", sa.REAL(), nullable=False, comment="standard error of score over samples"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="samples averaged"),
        sa.CheckConstraint("k > '-infinity' AND k < 'infinity'", name=op.f("ck__head_attribution__k")),
        sa.CheckConstraint("method IN ('A', 'B')", name=op.f("ck__head_attribution__method")),
        *_checks("head_attribution", "{name} > '-infinity' AND {name} < 'infinity'", "q", "score"),
        sa.CheckConstraint("standard_error >= 0 AND standard_error < 'infinity'", name=op.f("ck__head_attribution__standard_error")),
        *_checks("head_attribution", "{name} > '-infinity' AND {name} < 'infinity'", "v", "z"),
        *_checks("head_attribution", "{name} >= 0", "feature", "head"),
        sa.CheckConstraint("head_layer <= layer", name=op.f("ck__head_attribution__head_below_feature")),
        *_checks("head_attribution", "{name} >= 0", "head_layer", "layer", "n_samples"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__head_attribution__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__head_attribution__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "method", "head_layer", "head", name=op.f("pk__head_attribution")),
    )


def _create_overlay() -> None:
    _create("overlay", "where a head looks on the image while its feature fires (5.2, C)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("sample_id", sa.BigInteger(), nullable=False, comment="the question and its image"),
        sa.Column("head_layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer of the head, 0-based"),
        sa.Column("head", sa.SmallInteger(), autoincrement=False, nullable=False, comment="query head within that layer, 0-based"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("kind", sa.Text(), nullable=False, comment="why the head was chosen: strongest, weakest, by lot"),
        sa.Column("method", sa.CHAR(length=1), nullable=False, comment="attribution method that ranked the head, A or B"),
        sa.Column("grid_rows", sa.SmallInteger(), nullable=False, comment="patches from top to bottom"),
        sa.Column("grid_columns", sa.SmallInteger(), nullable=False, comment="patches from left to right"),
        sa.Column("weights", postgresql.ARRAY(sa.REAL()), nullable=False, comment="attention per patch, row by row from the top left, mean over question tokens"),
        sa.Column("image_mass", sa.REAL(), nullable=False, comment="share of attention on the image: the sum of weights, up to rounding"),
        sa.CheckConstraint("0 <= ALL (weights) AND 'infinity' > ALL (weights)", name=op.f("ck__overlay__weights")),
        sa.CheckConstraint("kind IN ('top', 'bottom', 'random')", name=op.f("ck__overlay__kind")),
        sa.CheckConstraint("method IN ('A', 'B')", name=op.f("ck__overlay__method")),
        sa.CheckConstraint("cardinality(weights) = grid_rows * grid_columns", name=op.f("ck__overlay__patches")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__overlay__feature")),
        sa.CheckConstraint("grid_rows > 0 AND grid_columns > 0", name=op.f("ck__overlay__grid")),
        *_checks("overlay", "{name} >= 0", "head", "head_layer"),
        sa.CheckConstraint("image_mass BETWEEN 0 AND 1.0001", name=op.f("ck__overlay__image_mass")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__overlay__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__overlay__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__overlay__run_id__run")),
        sa.ForeignKeyConstraint(["sample_id"], ["atlas.sample.id"], name=op.f("fk__overlay__sample_id__sample")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "sample_id", "head_layer", "head", name=op.f("pk__overlay")),
    )


def _create_ablation() -> None:
    _create("ablation", "what a feature's removal does to the answers (5.3, D)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("evaluation", sa.Text(), nullable=False, comment="vsr_relation: statements of the feature's relation; vqa_yes_no: general questions"),
        sa.Column("control_no", sa.SmallInteger(), autoincrement=False, nullable=False, comment="0: the feature itself; 1 and up: its random controls of the same layer"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("relation", sa.Text(), nullable=True, comment="spatial relation of the statements"),
        sa.Column("intervention", sa.Text(), nullable=False, comment="directional: the decoder direction is projected out of text tokens"),
        sa.Column("control_feature", sa.Integer(), nullable=True, comment="the feature removed instead, for a control"),
        sa.Column("seed", sa.Integer(), nullable=False, comment="random seed of controls and bootstrap"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="questions answered, each before and after"),
        sa.Column("accuracy_before", sa.REAL(), nullable=False, comment="share answered rightly, untouched"),
        sa.Column("accuracy_after", sa.REAL(), nullable=False, comment="share answered rightly, removed"),
        sa.Column("delta_accuracy", sa.REAL(), nullable=False, comment="after minus before, as a fraction; below 0: the removal hurts"),
        sa.Column("delta_low", sa.REAL(), nullable=False, comment="lower end of its 95 % interval, bootstrap over images"),
        sa.Column("delta_high", sa.REAL(), nullable=False, comment="upper end of its 95 % interval, bootstrap over images"),
        sa.Column("right_to_wrong", sa.BigInteger(), nullable=False, comment="answers that the removal broke"),
        sa.Column("wrong_to_right", sa.BigInteger(), nullable=False, comment="answers that the removal mended"),
        sa.Column("mcnemar_p", sa.DOUBLE_PRECISION(), nullable=False, comment="exact McNemar p of no change"),
        sa.Column("q_value", sa.DOUBLE_PRECISION(), nullable=True, comment="mcnemar_p after Benjamini-Hochberg over the run's ablated features"),
        sa.Column("probability_delta", sa.REAL(), nullable=False, comment="probability of the right answer, after minus before, mean"),
        sa.Column("margin_delta", sa.REAL(), nullable=False, comment="logit of the right answer over the wrong, after minus before, mean"),
        sa.Column("yes_rate_before", sa.REAL(), nullable=False, comment="share answered yes, untouched"),
        sa.Column("yes_rate_after", sa.REAL(), nullable=False, comment="share answered yes, removed"),
        sa.Column("balanced_accuracy_before", sa.REAL(), nullable=False, comment="mean of the recalls of yes and no, untouched"),
        sa.Column("balanced_accuracy_after", sa.REAL(), nullable=False, comment="mean of the recalls of yes and no, removed"),
        sa.Column("removed_norm", sa.REAL(), nullable=False, comment="length of what was removed over length of the residual, mean over tokens"),
        sa.CheckConstraint("evaluation IN ('vsr_relation', 'vqa_yes_no')", name=op.f("ck__ablation__evaluation")),
        sa.CheckConstraint("intervention IN ('directional')", name=op.f("ck__ablation__intervention")),
        sa.CheckConstraint("margin_delta > '-infinity' AND margin_delta < 'infinity'", name=op.f("ck__ablation__margin_delta")),
        sa.CheckConstraint("removed_norm >= 0 AND removed_norm < 'infinity'", name=op.f("ck__ablation__removed_norm")),
        sa.CheckConstraint("(control_no = 0) = (control_feature IS NULL)", name=op.f("ck__ablation__control")),
        *_checks("ablation", "{name} BETWEEN 0 AND 1", "accuracy_after", "accuracy_before", "balanced_accuracy_after", "balanced_accuracy_before"),
        *_checks("ablation", "{name} >= 0", "control_feature", "control_no"),
        *_checks("ablation", "{name} BETWEEN -1 AND 1", "delta_accuracy", "delta_high"),
        sa.CheckConstraint("delta_low <= delta_high", name=op.f("ck__ablation__interval")),
        sa.CheckConstraint("delta_low BETWEEN -1 AND 1", name=op.f("ck__ablation__delta_low")),
        *_checks("ablation", "{name} >= 0", "feature", "layer"),
        sa.CheckConstraint("mcnemar_p BETWEEN 0 AND 1", name=op.f("ck__ablation__mcnemar_p")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__ablation__n_samples")),
        sa.CheckConstraint("probability_delta BETWEEN -1 AND 1", name=op.f("ck__ablation__probability_delta")),
        sa.CheckConstraint("q_value BETWEEN 0 AND 1", name=op.f("ck__ablation__q_value")),
        *_checks("ablation", "{name} >= 0", "right_to_wrong", "wrong_to_right"),
        *_checks("ablation", "{name} BETWEEN 0 AND 1", "yes_rate_after", "yes_rate_before"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__ablation__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__ablation__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "evaluation", "control_no", name=op.f("pk__ablation")),
    )


def _create_ablation_outcome() -> None:
    _create("ablation_outcome", "one answer before and after a feature's removal (5.3, D)",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("evaluation", sa.Text(), nullable=False, comment="which set of questions, as in ablation"),
        sa.Column("sample_id", sa.BigInteger(), nullable=False, comment="the question and its image"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("label", sa.Boolean(), nullable=False, comment="whether yes is right"),
        sa.Column("margin_before", sa.REAL(), nullable=False, comment="logit of yes over no, untouched; above 0: says yes"),
        sa.Column("margin_after", sa.REAL(), nullable=False, comment="logit of yes over no, removed; above 0: says yes"),
        sa.CheckConstraint("evaluation IN ('vsr_relation', 'vqa_yes_no')", name=op.f("ck__ablation_outcome__evaluation")),
        *_checks("ablation_outcome", "{name} > '-infinity' AND {name} < 'infinity'", "margin_after", "margin_before"),
        *_checks("ablation_outcome", "{name} >= 0", "feature", "layer"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__ablation_outcome__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__ablation_outcome__run_id__run")),
        sa.ForeignKeyConstraint(["sample_id"], ["atlas.sample.id"], name=op.f("fk__ablation_outcome__sample_id__sample")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "evaluation", "sample_id", name=op.f("pk__ablation_outcome")),
    )


def _create(table: str, comment: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(table, *parts, schema="atlas", comment=comment)


def _checks(table: str, rule: str, *names: str) -> list[sa.CheckConstraint]:
    """The same rule for several columns, a check each."""
    return [sa.CheckConstraint(rule.format(name=name), name=op.f(f"ck__{table}__{name}")) for name in names]


def downgrade() -> None:
    op.drop_table("ablation_outcome", schema="atlas")
    op.drop_table("ablation", schema="atlas")
    op.drop_table("overlay", schema="atlas")
    op.drop_table("head_attribution", schema="atlas")
    op.drop_table("review", schema="atlas")
    op.drop_table("auto_interp", schema="atlas")
    op.drop_table("neutral_prompt", schema="atlas")
    op.drop_table("candidate", schema="atlas")
    op.drop_table("example", schema="atlas")
    op.drop_table("training_curve", schema="atlas")
