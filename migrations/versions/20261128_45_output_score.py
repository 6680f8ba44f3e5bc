"""Whether adding what a feature writes makes the model say it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261128_45_output_score"
down_revision = "20261128_44_output_centric"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "output_score",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("tokens_of", sa.Text(), nullable=False, comment="which tokens T. logits: those that its direction makes likeliest by itself (logit_effect); label: the words of its best description, as far as they are tokens"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False, comment="T as text"),
        sa.Column("alpha", sa.REAL(), nullable=False, comment="what was added at every text token, in the feature's mean activation where it fires"),
        sa.Column("length", sa.REAL(), nullable=False, comment="the same as a length of the residual"),
        sa.Column("n_prompts", sa.BigInteger(), nullable=False, comment="neutral prompts, each about one picture"),
        sa.Column("n_controls", sa.BigInteger(), nullable=False, comment="other features of the layer, matched in firing rate and projection, whose directions were added in the same length"),
        sa.Column("output_score", sa.REAL(), nullable=False, comment="(1 - r / |V|) p with the direction added, mean over prompts: p the largest probability of a token of T, r how many tokens are likelier, |V| the vocabulary; 1: T is said, whatever is asked"),
        sa.Column("output_score_before", sa.REAL(), nullable=False, comment="the same with nothing added"),
        sa.Column("output_score_control", sa.REAL(), nullable=True, comment="the same with the controls' directions added, mean over controls; none: no control"),
        sa.Column("output_score_gain_low", sa.REAL(), nullable=True, comment="lower end of the 95 % interval of output_score - output_score_control, over pictures"),
        sa.Column("output_score_gain_high", sa.REAL(), nullable=True, comment="upper end of the 95 % interval of output_score - output_score_control"),
        sa.Column("log_probability_before", sa.REAL(), nullable=False, comment="log of the probability of T together with nothing added, mean over prompts"),
        sa.Column("log_probability_delta", sa.REAL(), nullable=False, comment="the same with the direction added, less without; above 0: T is said more"),
        sa.Column("log_probability_control", sa.REAL(), nullable=True, comment="log_probability_delta of the controls' directions, mean over controls; none: no control"),
        sa.Column("log_probability_gain_low", sa.REAL(), nullable=True, comment="lower end of the 95 % interval of log_probability_delta - log_probability_control, over pictures"),
        sa.Column("log_probability_gain_high", sa.REAL(), nullable=True, comment="upper end of the 95 % interval of log_probability_delta - log_probability_control"),
        sa.CheckConstraint("alpha > '-infinity' AND alpha < 'infinity'", name=op.f("ck__output_score__alpha")),
        sa.CheckConstraint("length > '-infinity' AND length < 'infinity'", name=op.f("ck__output_score__length")),
        sa.CheckConstraint("log_probability_before > '-infinity' AND log_probability_before < 'infinity'", name=op.f("ck__output_score__log_probability_before")),
        sa.CheckConstraint("log_probability_control > '-infinity' AND log_probability_control < 'infinity'", name=op.f("ck__output_score__log_probability_control")),
        sa.CheckConstraint("log_probability_delta > '-infinity' AND log_probability_delta < 'infinity'", name=op.f("ck__output_score__log_probability_delta")),
        sa.CheckConstraint("log_probability_gain_high > '-infinity' AND log_probability_gain_high < 'infinity'", name=op.f("ck__output_score__log_probability_gain_high")),
        sa.CheckConstraint("log_probability_gain_low > '-infinity' AND log_probability_gain_low < 'infinity'", name=op.f("ck__output_score__log_probability_gain_low")),
        sa.CheckConstraint("tokens_of IN ('logits', 'label')", name=op.f("ck__output_score__tokens_of")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__output_score__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__output_score__layer")),
        sa.CheckConstraint("log_probability_gain_low <= log_probability_gain_high", name=op.f("ck__output_score__ratio_interval")),
        sa.CheckConstraint("n_controls >= 0", name=op.f("ck__output_score__n_controls")),
        sa.CheckConstraint("n_prompts >= 0", name=op.f("ck__output_score__n_prompts")),
        sa.CheckConstraint("output_score BETWEEN 0 AND 1", name=op.f("ck__output_score__output_score")),
        sa.CheckConstraint("output_score_before BETWEEN 0 AND 1", name=op.f("ck__output_score__output_score_before")),
        sa.CheckConstraint("output_score_control BETWEEN 0 AND 1", name=op.f("ck__output_score__output_score_control")),
        sa.CheckConstraint("output_score_gain_high BETWEEN -1 AND 1", name=op.f("ck__output_score__output_score_gain_high")),
        sa.CheckConstraint("output_score_gain_low <= output_score_gain_high", name=op.f("ck__output_score__interval")),
        sa.CheckConstraint("output_score_gain_low BETWEEN -1 AND 1", name=op.f("ck__output_score__output_score_gain_low")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__output_score__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__output_score__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "tokens_of", name=op.f("pk__output_score")),
        schema="atlas",
        comment="whether adding a feature's direction makes the model say it (5.1, 5.3)",
    )
    op.create_index(op.f("ix__output_score__measurement_id"), "output_score", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("output_score", schema="atlas")
