"""Facts about every feature, and the wide row of the read model; a partition per run."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_02_dense_facts"
down_revision = "20261122_01_registry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_decoder_cosine()
    _create_visual_energy()
    _create_firing_shift()
    _create_selection()
    _create_feature_record()

    # where a load keeps its tables until they are published; readers have no right to it
    op.execute("CREATE SCHEMA IF NOT EXISTS atlas_staging")


def _create_decoder_cosine() -> None:
    op.create_table(
        "decoder_cosine",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("regime_id", sa.SmallInteger(), nullable=False, comment="which tokens adapted the SAE (3.2)"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("cosine", sa.REAL(), nullable=False, comment="decoder direction after with before; 1: kept, 0: a new direction (4.2)"),
        sa.Column("encoder_cosine", sa.REAL(), nullable=False, comment="encoder direction after with before; 1: kept, 0: a new direction"),
        sa.Column("base_norm", sa.REAL(), nullable=False, comment="length of the decoder row before adaptation"),
        sa.Column("adapted_norm", sa.REAL(), nullable=False, comment="length of the decoder row after adaptation"),
        sa.Column("best_base_feature", sa.Integer(), nullable=False, comment="base feature of the same layer that the adapted direction is closest to"),
        sa.Column("best_base_cosine", sa.REAL(), nullable=False, comment="cosine with that base feature; far above cosine: the feature moved onto another"),
        sa.Column("n_firings", sa.BigInteger(), nullable=False, comment="tokens on which the feature fired, and so was updated, in training"),
        sa.CheckConstraint("adapted_norm >= 0 AND adapted_norm < 'infinity'", name=op.f("ck__decoder_cosine__adapted_norm")),
        sa.CheckConstraint("base_norm >= 0 AND base_norm < 'infinity'", name=op.f("ck__decoder_cosine__base_norm")),
        sa.CheckConstraint("best_base_cosine BETWEEN -1 AND 1", name=op.f("ck__decoder_cosine__best_base_cosine")),
        sa.CheckConstraint("best_base_feature >= 0", name=op.f("ck__decoder_cosine__best_base_feature")),
        sa.CheckConstraint("cosine BETWEEN -1 AND 1", name=op.f("ck__decoder_cosine__cosine")),
        sa.CheckConstraint("encoder_cosine BETWEEN -1 AND 1", name=op.f("ck__decoder_cosine__encoder_cosine")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__decoder_cosine__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__decoder_cosine__layer")),
        sa.CheckConstraint("n_firings >= 0", name=op.f("ck__decoder_cosine__n_firings")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__decoder_cosine__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["regime_id"], ["atlas.regime.id"], name=op.f("fk__decoder_cosine__regime_id__regime")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__decoder_cosine__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "regime_id", "layer", "feature", name=op.f("pk__decoder_cosine")),
        schema="atlas",
        comment="how far adaptation turned a feature, per regime (4.2, A.1, A.3)",
        postgresql_partition_by="LIST (run_id)",
    )


def _create_visual_energy() -> None:
    op.create_table(
        "visual_energy",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("energy_image", sa.REAL(), nullable=False, comment="mean squared activation on image tokens, normalised units squared; more: sees more"),
        sa.Column("energy_question", sa.REAL(), nullable=False, comment="mean squared activation on question tokens after the image, normalised units squared: the paper's E_v under its text mask (A.4)"),
        sa.Column("energy_question_mean_image", sa.REAL(), nullable=False, comment="the same with the image replaced by the mean embedding, normalised units squared"),
        sa.Column("energy_question_no_image", sa.REAL(), nullable=False, comment="the same with no image at all, normalised units squared"),
        sa.Column("energy_prefix", sa.REAL(), nullable=False, comment="mean squared activation on the constant prefix, normalised units squared"),
        sa.Column("fired_image", sa.BigInteger(), nullable=False, comment="image tokens on which it fired"),
        sa.Column("fired_question", sa.BigInteger(), nullable=False, comment="question tokens on which it fired"),
        sa.Column("fired_question_mean_image", sa.BigInteger(), nullable=False, comment="question tokens on which it fired, image replaced by the mean embedding"),
        sa.Column("fired_question_no_image", sa.BigInteger(), nullable=False, comment="question tokens on which it fired, no image"),
        sa.Column("modality_preference", sa.REAL(), nullable=False, comment="log ratio of energy_question to energy_question_no_image; above 0: more with an image"),
        sa.Column("firing_rate", sa.REAL(), nullable=False, comment="share of question tokens on which it fired"),
        sa.CheckConstraint("energy_image >= 0 AND energy_image < 'infinity'", name=op.f("ck__visual_energy__energy_image")),
        sa.CheckConstraint("energy_prefix >= 0 AND energy_prefix < 'infinity'", name=op.f("ck__visual_energy__energy_prefix")),
        sa.CheckConstraint("energy_question >= 0 AND energy_question < 'infinity'", name=op.f("ck__visual_energy__energy_question")),
        sa.CheckConstraint("energy_question_mean_image >= 0 AND energy_question_mean_image < 'infinity'", name=op.f("ck__visual_energy__energy_question_mean_image")),
        sa.CheckConstraint("energy_question_no_image >= 0 AND energy_question_no_image < 'infinity'", name=op.f("ck__visual_energy__energy_question_no_image")),
        sa.CheckConstraint("modality_preference > '-infinity' AND modality_preference < 'infinity'", name=op.f("ck__visual_energy__modality_preference")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__visual_energy__feature")),
        sa.CheckConstraint("fired_image >= 0", name=op.f("ck__visual_energy__fired_image")),
        sa.CheckConstraint("fired_question >= 0", name=op.f("ck__visual_energy__fired_question")),
        sa.CheckConstraint("fired_question_mean_image >= 0", name=op.f("ck__visual_energy__fired_question_mean_image")),
        sa.CheckConstraint("fired_question_no_image >= 0", name=op.f("ck__visual_energy__fired_question_no_image")),
        sa.CheckConstraint("firing_rate BETWEEN 0 AND 1", name=op.f("ck__visual_energy__firing_rate")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__visual_energy__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__visual_energy__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__visual_energy__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__visual_energy")),
        schema="atlas",
        comment="mean squared activation of a feature by kind of token (4.2, A.4)",
        postgresql_partition_by="LIST (run_id)",
    )


def _create_firing_shift() -> None:
    op.create_table(
        "firing_shift",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("skill_id", sa.SmallInteger(), nullable=False, comment="which kind of question was compared with all questions (4.3)"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("fired_skill", sa.BigInteger(), nullable=False, comment="tokens of the skill's questions on which it fired"),
        sa.Column("tokens_skill", sa.BigInteger(), nullable=False, comment="tokens of the skill's questions"),
        sa.Column("fired_base", sa.BigInteger(), nullable=False, comment="tokens of the other questions on which it fired"),
        sa.Column("tokens_base", sa.BigInteger(), nullable=False, comment="tokens of the other questions"),
        sa.Column("questions_fired_skill", sa.BigInteger(), nullable=False, comment="questions of the skill on which it fired"),
        sa.Column("questions_skill", sa.BigInteger(), nullable=False, comment="questions of the skill"),
        sa.Column("questions_fired_base", sa.BigInteger(), nullable=False, comment="other questions on which it fired"),
        sa.Column("questions_base", sa.BigInteger(), nullable=False, comment="other questions"),
        sa.Column("delta_p", sa.REAL(), nullable=False, comment="firing rate per token, skill minus base; above 0: fires more on the skill (4.3)"),
        sa.Column("odds_ratio", sa.REAL(), nullable=False, comment="odds of firing per token, skill over base, 1/2 added to every cell; above 1: more (4.3)"),
        sa.Column("odds_ratio_low", sa.REAL(), nullable=False, comment="lower end of its 95 % interval (Woolf)"),
        sa.Column("odds_ratio_high", sa.REAL(), nullable=False, comment="upper end of its 95 % interval (Woolf)"),
        sa.Column("p_value", sa.DOUBLE_PRECISION(), nullable=False, comment="two-sided p of no difference per token; tokens of a question are not independent"),
        sa.Column("q_value", sa.DOUBLE_PRECISION(), nullable=False, comment="p_value after Benjamini-Hochberg over all features of the run"),
        sa.Column("question_delta_p", sa.REAL(), nullable=False, comment="firing rate per question, skill minus base; above 0: fires more on the skill"),
        sa.Column("question_odds_ratio", sa.REAL(), nullable=False, comment="odds of firing per question, skill over base, 1/2 added to every cell"),
        sa.Column("question_odds_ratio_low", sa.REAL(), nullable=False, comment="lower end of its 95 % interval"),
        sa.Column("question_odds_ratio_high", sa.REAL(), nullable=False, comment="upper end of its 95 % interval"),
        sa.Column("has_zero_cell", sa.Boolean(), nullable=False, comment="whether a cell of the token table is 0, so the ratio rests on the added 1/2"),
        sa.Column("is_candidate", sa.Boolean(), nullable=False, comment="whether shift, odds ratio, count and q-value pass the run's thresholds (4.3)"),
        sa.CheckConstraint("odds_ratio >= 0 AND odds_ratio < 'infinity'", name=op.f("ck__firing_shift__odds_ratio")),
        sa.CheckConstraint("odds_ratio_high >= 0 AND odds_ratio_high < 'infinity'", name=op.f("ck__firing_shift__odds_ratio_high")),
        sa.CheckConstraint("odds_ratio_low >= 0 AND odds_ratio_low < 'infinity'", name=op.f("ck__firing_shift__odds_ratio_low")),
        sa.CheckConstraint("question_odds_ratio >= 0 AND question_odds_ratio < 'infinity'", name=op.f("ck__firing_shift__question_odds_ratio")),
        sa.CheckConstraint("question_odds_ratio_high >= 0 AND question_odds_ratio_high < 'infinity'", name=op.f("ck__firing_shift__question_odds_ratio_high")),
        sa.CheckConstraint("question_odds_ratio_low >= 0 AND question_odds_ratio_low < 'infinity'", name=op.f("ck__firing_shift__question_odds_ratio_low")),
        sa.CheckConstraint("delta_p BETWEEN -1 AND 1", name=op.f("ck__firing_shift__delta_p")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__firing_shift__feature")),
        sa.CheckConstraint("fired_base >= 0", name=op.f("ck__firing_shift__fired_base")),
        sa.CheckConstraint("fired_skill <= tokens_skill AND fired_base <= tokens_base", name=op.f("ck__firing_shift__tokens")),
        sa.CheckConstraint("fired_skill >= 0", name=op.f("ck__firing_shift__fired_skill")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__firing_shift__layer")),
        sa.CheckConstraint("odds_ratio_low <= odds_ratio AND odds_ratio <= odds_ratio_high", name=op.f("ck__firing_shift__interval")),
        sa.CheckConstraint("p_value BETWEEN 0 AND 1", name=op.f("ck__firing_shift__p_value")),
        sa.CheckConstraint("q_value BETWEEN 0 AND 1", name=op.f("ck__firing_shift__q_value")),
        sa.CheckConstraint("question_delta_p BETWEEN -1 AND 1", name=op.f("ck__firing_shift__question_delta_p")),
        sa.CheckConstraint("question_odds_ratio_low <= question_odds_ratio AND question_odds_ratio <= question_odds_ratio_high", name=op.f("ck__firing_shift__question_interval")),
        sa.CheckConstraint("questions_base >= 0", name=op.f("ck__firing_shift__questions_base")),
        sa.CheckConstraint("questions_fired_base >= 0", name=op.f("ck__firing_shift__questions_fired_base")),
        sa.CheckConstraint("questions_fired_skill <= questions_skill AND questions_fired_base <= questions_base", name=op.f("ck__firing_shift__questions")),
        sa.CheckConstraint("questions_fired_skill >= 0", name=op.f("ck__firing_shift__questions_fired_skill")),
        sa.CheckConstraint("questions_skill >= 0", name=op.f("ck__firing_shift__questions_skill")),
        sa.CheckConstraint("tokens_base >= 0", name=op.f("ck__firing_shift__tokens_base")),
        sa.CheckConstraint("tokens_skill >= 0", name=op.f("ck__firing_shift__tokens_skill")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__firing_shift__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__firing_shift__run_id__run")),
        sa.ForeignKeyConstraint(["skill_id"], ["atlas.skill.id"], name=op.f("fk__firing_shift__skill_id__skill")),
        sa.PrimaryKeyConstraint("run_id", "skill_id", "layer", "feature", name=op.f("pk__firing_shift")),
        schema="atlas",
        comment="how much more a feature fires on a skill's questions (4.3, A.5)",
        postgresql_partition_by="LIST (run_id)",
    )


def _create_selection() -> None:
    op.create_table(
        "selection",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("is_adapted", sa.Boolean(), nullable=False, comment="whether E_v is above epsilon and the cosine in the bottom quarter (4.2)"),
        sa.Column("cosine_rank", sa.REAL(), nullable=False, comment="share of all features of the run with a lower text cosine; 0: turned most"),
        sa.CheckConstraint("cosine_rank BETWEEN 0 AND 1", name=op.f("ck__selection__cosine_rank")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__selection__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__selection__layer")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__selection__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__selection__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__selection")),
        schema="atlas",
        comment="which features are adapted: visual energy above epsilon, cosine low (4.2)",
        postgresql_partition_by="LIST (run_id)",
    )


def _create_feature_record() -> None:
    op.create_table(
        "feature_record",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("cosine", sa.REAL(), nullable=False, comment="decoder cosine in the text regime; 1: kept, 0: a new direction (4.2)"),
        sa.Column("encoder_cosine", sa.REAL(), nullable=False, comment="encoder cosine in the text regime; 1: kept"),
        sa.Column("best_base_feature", sa.Integer(), nullable=False, comment="base feature that the text-adapted direction is closest to"),
        sa.Column("best_base_cosine", sa.REAL(), nullable=False, comment="cosine with that base feature"),
        sa.Column("n_firings", sa.BigInteger(), nullable=False, comment="tokens on which it fired in text training"),
        sa.Column("cosine_image", sa.REAL(), nullable=True, comment="decoder cosine in the image regime (A.1)"),
        sa.Column("cosine_full", sa.REAL(), nullable=True, comment="decoder cosine in the full-sequence regime (A.1)"),
        sa.Column("cosine_random", sa.REAL(), nullable=True, comment="decoder cosine in the random regime (A.1)"),
        sa.Column("visual_energy", sa.REAL(), nullable=False, comment="E_v under the text mask: mean squared activation on question tokens, normalised units squared (4.2, A.4)"),
        sa.Column("energy_image", sa.REAL(), nullable=False, comment="mean squared activation on image tokens, normalised units squared"),
        sa.Column("energy_question_no_image", sa.REAL(), nullable=False, comment="mean squared activation on question tokens without image, normalised units squared"),
        sa.Column("modality_preference", sa.REAL(), nullable=False, comment="log ratio of visual_energy to energy_question_no_image; above 0: more with an image"),
        sa.Column("firing_rate", sa.REAL(), nullable=False, comment="share of question tokens on which it fired"),
        sa.Column("is_adapted", sa.Boolean(), nullable=False, comment="whether it sees and turned: E_v above epsilon, cosine in the bottom quarter (4.2)"),
        sa.Column("spatial_delta_p", sa.REAL(), nullable=True, comment="firing rate per token, spatial minus other questions (4.3)"),
        sa.Column("spatial_odds_ratio", sa.REAL(), nullable=True, comment="odds of firing, spatial over other questions; above 1: fires more (4.3)"),
        sa.Column("spatial_odds_ratio_low", sa.REAL(), nullable=True, comment="lower end of its 95 % interval"),
        sa.Column("spatial_odds_ratio_high", sa.REAL(), nullable=True, comment="upper end of its 95 % interval"),
        sa.Column("spatial_q_value", sa.DOUBLE_PRECISION(), nullable=True, comment="p of no difference after Benjamini-Hochberg"),
        sa.Column("is_spatial_candidate", sa.Boolean(), nullable=False, comment="whether it is adapted and its shift on spatial questions passes (4.3)"),
        sa.Column("survives_spatial", sa.Boolean(), nullable=False, comment="whether a spatial candidate is still active on neutral prompts (A.6)"),
        sa.Column("ocr_delta_p", sa.REAL(), nullable=True, comment="firing rate per token, OCR minus other questions (A.5)"),
        sa.Column("ocr_odds_ratio", sa.REAL(), nullable=True, comment="odds of firing, OCR over other questions; above 1: fires more (A.5)"),
        sa.Column("ocr_odds_ratio_low", sa.REAL(), nullable=True, comment="lower end of its 95 % interval"),
        sa.Column("ocr_odds_ratio_high", sa.REAL(), nullable=True, comment="upper end of its 95 % interval"),
        sa.Column("ocr_q_value", sa.DOUBLE_PRECISION(), nullable=True, comment="p of no difference after Benjamini-Hochberg"),
        sa.Column("is_ocr_candidate", sa.Boolean(), nullable=False, comment="whether it is adapted and its shift on OCR questions passes (A.5)"),
        sa.Column("survives_ocr", sa.Boolean(), nullable=False, comment="whether an OCR candidate is still active on neutral prompts (A.6)"),
        sa.Column("vsr_odds_ratio", sa.REAL(), nullable=True, comment="odds of firing, VSR statements over VQA questions; the paper's VSR OR (5.3)"),
        *_checks("feature_record", "{name} >= 0 AND {name} < 'infinity'", "energy_image", "energy_question_no_image"),
        sa.CheckConstraint("modality_preference > '-infinity' AND modality_preference < 'infinity'", name=op.f("ck__feature_record__modality_preference")),
        *_checks("feature_record", "{name} >= 0 AND {name} < 'infinity'", "ocr_odds_ratio", "ocr_odds_ratio_high", "ocr_odds_ratio_low", "spatial_odds_ratio", "spatial_odds_ratio_high", "spatial_odds_ratio_low", "visual_energy", "vsr_odds_ratio"),
        sa.CheckConstraint("best_base_cosine BETWEEN -1 AND 1", name=op.f("ck__feature_record__best_base_cosine")),
        sa.CheckConstraint("best_base_feature >= 0", name=op.f("ck__feature_record__best_base_feature")),
        *_checks("feature_record", "{name} BETWEEN -1 AND 1", "cosine", "cosine_full", "cosine_image", "cosine_random", "encoder_cosine"),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__feature_record__feature")),
        sa.CheckConstraint("firing_rate BETWEEN 0 AND 1", name=op.f("ck__feature_record__firing_rate")),
        *_checks("feature_record", "{name} >= 0", "layer", "n_firings"),
        sa.CheckConstraint("ocr_delta_p BETWEEN -1 AND 1", name=op.f("ck__feature_record__ocr_delta_p")),
        sa.CheckConstraint("ocr_q_value BETWEEN 0 AND 1", name=op.f("ck__feature_record__ocr_q_value")),
        sa.CheckConstraint("spatial_delta_p BETWEEN -1 AND 1", name=op.f("ck__feature_record__spatial_delta_p")),
        sa.CheckConstraint("spatial_q_value BETWEEN 0 AND 1", name=op.f("ck__feature_record__spatial_q_value")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__feature_record__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", name=op.f("pk__feature_record")),
        schema="atlas",
        comment="everything measured of one feature in one row; built at publication",
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_index("ix__feature_record__adapted", "feature_record", ["layer", "feature"], unique=False, schema="atlas", postgresql_where="is_adapted")
    op.create_index(op.f("ix__feature_record__cosine"), "feature_record", ["cosine"], unique=False, schema="atlas")
    op.create_index(op.f("ix__feature_record__spatial_odds_ratio"), "feature_record", ["spatial_odds_ratio"], unique=False, schema="atlas")
    op.create_index(op.f("ix__feature_record__visual_energy"), "feature_record", ["visual_energy"], unique=False, schema="atlas")


def _checks(table: str, rule: str, *names: str) -> list[sa.CheckConstraint]:
    """The same rule for several columns, a check each."""
    return [sa.CheckConstraint(rule.format(name=name), name=op.f(f"ck__{table}__{name}")) for name in names]


def downgrade() -> None:
    op.execute("DROP SCHEMA IF EXISTS atlas_staging CASCADE")
    op.drop_table("feature_record", schema="atlas")
    op.drop_table("selection", schema="atlas")
    op.drop_table("firing_shift", schema="atlas")
    op.drop_table("visual_energy", schema="atlas")
    op.drop_table("decoder_cosine", schema="atlas")
