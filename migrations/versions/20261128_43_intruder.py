"""Whether the samples of a feature belong together."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_43_intruder"
down_revision = "20261128_42_supervised"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intruder",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("judge", sa.Text(), nullable=False, comment="who looks: equal words, an embedding model, or a language model's endpoint"),
        sa.Column("model", sa.Text(), nullable=False, comment="the judge's model"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("n_trials", sa.BigInteger(), nullable=False, comment="times five samples were shown, one of them an intruder"),
        sa.Column("n_right", sa.BigInteger(), nullable=False, comment="times the intruder was found"),
        sa.Column("n_failed", sa.BigInteger(), nullable=False, comment="times no answer could be read; they count as wrong"),
        sa.Column("accuracy", sa.REAL(), nullable=False, comment="n_right / n_trials; 0.2: chance"),
        sa.Column("accuracy_low", sa.REAL(), nullable=False, comment="lower end of its 95 % interval (Wilson), of other trials with these samples"),
        sa.Column("accuracy_high", sa.REAL(), nullable=False, comment="upper end of its 95 % interval"),
        sa.Column("chance_p", sa.DOUBLE_PRECISION(), nullable=False, comment="P of as many found by pointing at random: binomial, one-sided"),
        sa.Column("tokens_used", sa.BigInteger(), nullable=False, comment="tokens billed, prompts and replies; 0 without an endpoint"),
        sa.Column("cost_usd", sa.REAL(), nullable=True, comment="what it cost, if known"),
        sa.CheckConstraint("accuracy BETWEEN 0 AND 1", name=op.f("ck__intruder__accuracy")),
        sa.CheckConstraint("accuracy_high BETWEEN 0 AND 1", name=op.f("ck__intruder__accuracy_high")),
        sa.CheckConstraint("accuracy_low <= accuracy_high", name=op.f("ck__intruder__interval")),
        sa.CheckConstraint("accuracy_low BETWEEN 0 AND 1", name=op.f("ck__intruder__accuracy_low")),
        sa.CheckConstraint("chance_p BETWEEN 0 AND 1", name=op.f("ck__intruder__chance_p")),
        sa.CheckConstraint("cost_usd >= 0 AND cost_usd < 'infinity'", name=op.f("ck__intruder__cost_usd")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__intruder__feature")),
        sa.CheckConstraint("judge IN ('words', 'embedding', 'openai')", name=op.f("ck__intruder__judge")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__intruder__layer")),
        sa.CheckConstraint("n_failed >= 0", name=op.f("ck__intruder__n_failed")),
        sa.CheckConstraint("n_right <= n_trials AND n_failed <= n_trials", name=op.f("ck__intruder__trials")),
        sa.CheckConstraint("n_right >= 0", name=op.f("ck__intruder__n_right")),
        sa.CheckConstraint("n_trials >= 0", name=op.f("ck__intruder__n_trials")),
        sa.CheckConstraint("tokens_used >= 0", name=op.f("ck__intruder__tokens_used")),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__intruder__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__intruder__run_id__run")),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "judge", "model", name=op.f("pk__intruder")),
        schema="atlas",
        comment="whether a feature's samples belong together: intruder detection (5.1)",
    )
    op.create_index(op.f("ix__intruder__measurement_id"), "intruder", ["measurement_id"], unique=False, schema="atlas", postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("intruder", schema="atlas")
