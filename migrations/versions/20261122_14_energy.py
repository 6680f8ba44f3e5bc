"""Energies by role and condition with intervals, tokens by role with sinks, spread examples."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_14_energy"
down_revision = "20261122_13_geometry"
branch_labels = None
depends_on = None

ENERGIES = {
    "energy_all_tokens": "mean squared activation on all tokens of questions with their image but the BOS: the paper's E_v over vision inputs (4.2), normalised units squared",
    "energy_question_control": "mean squared activation on text tokens of the control questions with their own image, normalised units squared",
    "energy_question_only": "mean squared activation on the question's own tokens, normalised units squared",
    "energy_suffix": "mean squared activation on the suffix (NULL: there is none), normalised units squared",
    "energy_header": "mean squared activation on the assistant header, normalised units squared",
    "energy_image_mean_image": "mean squared activation on image tokens, image replaced by the mean embedding, normalised units squared",
    "energy_question_only_mean_image": "mean squared activation on the question's own tokens, image replaced by the mean embedding, normalised units squared",
    "energy_suffix_mean_image": "mean squared activation on the suffix, image replaced by the mean embedding, normalised units squared",
    "energy_header_mean_image": "mean squared activation on the assistant header, image replaced by the mean embedding, normalised units squared",
    "energy_question_only_no_image": "mean squared activation on the question's own tokens, no image at all, normalised units squared",
    "energy_suffix_no_image": "mean squared activation on the suffix, no image at all, normalised units squared",
    "energy_header_no_image": "mean squared activation on the assistant header, no image at all, normalised units squared",
    "mean_activation": "mean activation on the text tokens after the image on which it fired, normalised units; NULL: on none",
    "max_activation": "largest activation on text tokens after the image, normalised units; 0: never fired",
}
COUNTS = {
    "fired_question_control": "text tokens of the control questions with their own image on which it fired",
    "fired_prefix": "tokens of the constant prefix on which it fired",
    "fired_question_only": "the question's own tokens on which it fired",
    "fired_suffix": "suffix tokens on which it fired",
    "fired_header": "header tokens on which it fired",
    "fired_image_mean_image": "image tokens, image replaced by the mean embedding, on which it fired",
    "fired_question_only_mean_image": "the question's own tokens, image replaced by the mean embedding, on which it fired",
    "fired_suffix_mean_image": "suffix tokens, image replaced by the mean embedding, on which it fired",
    "fired_header_mean_image": "header tokens, image replaced by the mean embedding, on which it fired",
    "fired_question_only_no_image": "the question's own tokens, no image at all, on which it fired",
    "fired_suffix_no_image": "suffix tokens, no image at all, on which it fired",
    "fired_header_no_image": "header tokens, no image at all, on which it fired",
}
LOG_RATIOS = {
    "modality_preference_low": "lower end of modality_preference's 95 % interval over images drawn anew; above 0: the image raises it beyond chance",
    "modality_preference_high": "upper end of that interval",
    "mean_image_preference": "log ratio of energy_question_control to energy_question_mean_image, 0.001 added to both; above 0: more with the right image than with none in particular",
    "mean_image_preference_low": "lower end of its 95 % interval over images drawn anew",
    "mean_image_preference_high": "upper end of that interval",
}
# table, column, comment before, comment now: what the numbers are of is said as it is
COMMENTS = (
    ("visual_energy", "energy_image", "mean squared activation on image tokens, normalised units squared; more: sees more", "mean squared activation on image tokens, normalised units squared; the SAE was adapted on text, so image tokens are outside of what it was trained on"),
    ("visual_energy", "energy_question", "mean squared activation on question tokens after the image, normalised units squared: the paper's E_v under its text mask (A.4)", "mean squared activation on text tokens after the image (question, suffix, header), normalised units squared: the paper's E_v under its text mask (A.4)"),
    ("visual_energy", "energy_question_mean_image", "the same with the image replaced by the mean embedding, normalised units squared", "the same on the control questions with the image replaced by the mean embedding, normalised units squared"),
    ("visual_energy", "energy_question_no_image", "the same with no image at all, normalised units squared", "the same on the control questions with no image at all, normalised units squared"),
    ("visual_energy", "energy_prefix", "mean squared activation on the constant prefix, normalised units squared", "mean squared activation on the constant prefix, normalised units squared; no image changes it, since it comes before"),
    ("visual_energy", "fired_question", "question tokens on which it fired", "text tokens after the image on which it fired"),
    ("visual_energy", "fired_question_mean_image", "question tokens on which it fired, image replaced by the mean embedding", "text tokens of the control questions, image replaced by the mean embedding, on which it fired"),
    ("visual_energy", "fired_question_no_image", "question tokens on which it fired, no image", "text tokens of the control questions, no image at all, on which it fired"),
    ("visual_energy", "modality_preference", "log ratio of energy_question to energy_question_no_image; above 0: more with an image", "log ratio of energy_question_control (before: of energy_question) to energy_question_no_image, 0.001 added to both; above 0: more with an image"),
    ("visual_energy", "firing_rate", "share of question tokens on which it fired", "share of text tokens after the image on which it fired"),
    ("example", "rank", "place among the feature's samples of this source; 0: strongest", "place among the feature's samples kept of this source; 0: strongest"),
    ("feature_record", "visual_energy", "E_v under the text mask: mean squared activation on question tokens, normalised units squared (4.2, A.4)", "E_v under the text mask: mean squared activation on text tokens after the image, normalised units squared (4.2, A.4)"),
    ("feature_record", "energy_question_no_image", "mean squared activation on question tokens without image, normalised units squared", "mean squared activation on text tokens of the control questions without image, normalised units squared"),
    ("feature_record", "modality_preference", "log ratio of visual_energy to energy_question_no_image; above 0: more with an image", "log ratio of the text energy of the control questions with their image to that without; above 0: more with an image"),
    ("feature_record", "firing_rate", "share of question tokens on which it fired", "share of text tokens after the image on which it fired"),
)
RULES = {
    "fired": "fired_question_only <= fired_question AND fired_header <= fired_question AND fired_question_control <= fired_question",
    "suffix": "fired_suffix <= fired_question",
    "interval": "modality_preference_low <= modality_preference_high",
    "mean_image_interval": "mean_image_preference_low <= mean_image_preference_high",
}


def upgrade() -> None:
    for names, kind, condition in (
        (ENERGIES, sa.REAL(), "{0} >= 0 AND {0} < 'infinity'"),
        (COUNTS, sa.BigInteger(), "{0} >= 0"),
        (LOG_RATIOS, sa.REAL(), "{0} > '-infinity' AND {0} < 'infinity'"),
    ):
        for name, comment in names.items():
            op.add_column("visual_energy", sa.Column(name, kind, nullable=True, comment=comment), schema="atlas")
            _check("visual_energy", name, condition.format(name))
    for name, condition in RULES.items():
        _check("visual_energy", name, condition)
    op.add_column("example", sa.Column("quantile", sa.SmallInteger(), nullable=True, comment="tenth of the feature's samples in order of activation that it stands for, 0 weakest to 9; NULL: it is one of the strongest. Ranks go on from those"), schema="atlas")
    _check("example", "quantile", "quantile BETWEEN 0 AND 9")
    _create_role_energy()
    for table, column, old, new in COMMENTS:
        op.alter_column(table, column, comment=new, existing_comment=old, schema="atlas")


def _check(table: str, name: str, condition: str) -> None:
    op.create_check_constraint(op.f(f"ck__{table}__{name}"), table, condition, schema="atlas")


def _create_role_energy() -> None:
    op.create_table(
        "role_energy",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("condition", sa.Text(), nullable=False, comment="the question's own image, the mean embedding in its place, or no image"),
        sa.Column("role", sa.Text(), nullable=False, comment="what the tokens are for"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False, comment="tokens of this role"),
        sa.Column("n_sinks", sa.BigInteger(), nullable=False, comment="of these, the ones whose residual is longer than sink_norm"),
        sa.Column("sink_norm", sa.REAL(), nullable=False, comment="raw norm above which a token is a sink: 10 times the layer's median with real images"),
        sa.Column("energy", sa.REAL(), nullable=False, comment="squared activations of a token summed over all features, mean over its tokens, normalised units squared"),
        sa.Column("energy_without_sinks", sa.REAL(), nullable=True, comment="the same over tokens that are no sinks; NULL: all are"),
        sa.Column("sink_share", sa.REAL(), nullable=False, comment="share of the role's energy that its sinks carry"),
        sa.CheckConstraint("condition IN ('real', 'mean', 'none')", name=op.f("ck__role_energy__condition")),
        sa.CheckConstraint("role IN ('bos', 'prefix', 'image', 'question', 'suffix', 'header')", name=op.f("ck__role_energy__role")),
        *(sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck__role_energy__{name}")) for name in ("layer", "n_tokens", "n_sinks")),
        *(sa.CheckConstraint(f"{name} >= 0 AND {name} < 'infinity'", name=op.f(f"ck__role_energy__{name}")) for name in ("sink_norm", "energy", "energy_without_sinks")),
        sa.CheckConstraint("sink_share BETWEEN 0 AND 1", name=op.f("ck__role_energy__sink_share")),
        sa.CheckConstraint("n_sinks <= n_tokens", name=op.f("ck__role_energy__sinks")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__role_energy__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__role_energy__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "condition", "role", name=op.f("pk__role_energy")),
        schema="atlas",
        comment="tokens of a role and their energy, with and without sinks (4.2)",
    )
    op.create_index("ix__role_energy__measurement_id", "role_energy", ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute("CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.role_energy FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    for table, column, old, new in COMMENTS:
        op.alter_column(table, column, comment=old, existing_comment=new, schema="atlas")
    op.drop_table("role_energy", schema="atlas")
    # an older atlas takes every row for one of the strongest
    op.execute("DELETE FROM atlas.example WHERE quantile IS NOT NULL")
    op.drop_column("example", "quantile", schema="atlas")
    for rule in RULES:
        op.drop_constraint(f"ck__visual_energy__{rule}", "visual_energy", schema="atlas")
    for name in (*LOG_RATIOS, *COUNTS, *ENERGIES):
        op.drop_column("visual_energy", name, schema="atlas")
