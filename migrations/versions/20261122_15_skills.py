"""The rule by which a question asks for a skill; controls of the firing shift; a third picture."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_15_skills"
down_revision = "20261122_14_energy"
branch_labels = None
depends_on = None

SHUFFLED = "of them, how many on which it fired with the image replaced by another sample's"
# runs of before have none of these
COUNTS = {
    "role_fired_skill": "question tokens, as told from suffix and header, of the skill on which it fired",
    "role_tokens_skill": "question tokens of the skill's questions",
    "role_fired_base": "question tokens of the other questions on which it fired",
    "role_tokens_base": "question tokens of the other questions",
    "matched_questions": "questions of the skill that have a length-matched partner, and their partners; 0: none has one",
    "matched_fired_skill": "tokens of the paired questions on which it fired",
    "matched_tokens_skill": "tokens of the paired questions",
    "matched_fired_base": "tokens of the partners on which it fired",
    "matched_tokens_base": "tokens of the partners",
    "matched_questions_fired_skill": "paired questions on which it fired",
    "matched_questions_fired_base": "partners on which it fired",
}
SHIFTS = {
    "role_delta_p": "firing rate per question token, skill minus base",
    "matched_delta_p": "firing rate per token, paired questions minus partners",
}
RATIOS = {
    "odds_ratio_boot_low": "lower end of its 95 % interval with images resampled; never inside Woolf's",
    "odds_ratio_boot_high": "upper end of the same",
    "role_odds_ratio": "odds of firing per question token, skill over base, 1/2 added to every cell",
    "role_odds_ratio_low": "lower end of its 95 % interval (Woolf)",
    "role_odds_ratio_high": "upper end of its 95 % interval (Woolf)",
    "matched_odds_ratio": "odds of firing per token, paired questions over partners, 1/2 added to every cell",
    "matched_odds_ratio_low": "lower end of its 95 % interval (Woolf)",
    "matched_odds_ratio_high": "upper end of its 95 % interval (Woolf)",
}
RULES = {
    "boot_interval": "odds_ratio_boot_low <= odds_ratio AND odds_ratio <= odds_ratio_boot_high",
    "role_tokens": "role_fired_skill <= role_tokens_skill AND role_fired_base <= role_tokens_base",
    "role_interval": "role_odds_ratio_low <= role_odds_ratio AND role_odds_ratio <= role_odds_ratio_high",
    "matched_tokens": "matched_fired_skill <= matched_tokens_skill AND matched_fired_base <= matched_tokens_base",
    "matched_pairs": "matched_questions_fired_skill <= matched_questions AND matched_questions_fired_base <= matched_questions",
    "matched_interval": "matched_odds_ratio_low <= matched_odds_ratio AND matched_odds_ratio <= matched_odds_ratio_high",
}
NEW_WORDS = {
    ("firing_shift", "p_value"): ("two-sided p of no difference per token; tokens of a question are not independent", "two-sided p of no difference per question (Wald); tokens of one are not independent"),
    ("skill", "definition"): ("patterns, question types and neutral prompts", "patterns, question types and neutral prompts, as the first run with it had them; what a run had is in the view skill_definition"),
}


def upgrade() -> None:
    for name, comment in COUNTS.items():
        _add("firing_shift", name, sa.BigInteger(), comment, f"{name} >= 0")
    for name, comment in SHIFTS.items():
        _add("firing_shift", name, sa.REAL(), comment, f"{name} BETWEEN -1 AND 1")
    for name, comment in RATIOS.items():
        _add("firing_shift", name, sa.REAL(), comment, f"{name} >= 0 AND {name} < 'infinity'")
    for name, rule in RULES.items():
        op.create_check_constraint(op.f(f"ck__firing_shift__{name}"), "firing_shift", rule, schema="atlas")
    for table in ("candidate", "neutral_prompt"):
        _add(table, "n_fired_shuffled_image", sa.BigInteger(), SHUFFLED, "n_fired_shuffled_image >= 0")
        op.create_check_constraint(op.f(f"ck__{table}__shuffled"), table, "n_fired_shuffled_image <= n_samples", schema="atlas")
    op.add_column("neutral_prompt", sa.Column("has_skill_word", sa.Boolean(), nullable=True, comment="whether the prompt itself has a word of the skill, so that firing may be lexical"), schema="atlas")
    for (table, column), (before, after) in NEW_WORDS.items():
        op.alter_column(table, column, comment=after, existing_comment=before, schema="atlas")
    _create_sample_skill()


def _add(table: str, name: str, kind: sa.types.TypeEngine, comment: str, rule: str) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment), schema="atlas")
    op.create_check_constraint(op.f(f"ck__{table}__{name}"), table, rule, schema="atlas")


def _create_sample_skill() -> None:
    op.create_table(
        "sample_skill",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("skill_id", sa.SmallInteger(), nullable=False, comment="which kind of question was compared with all questions (4.3)"),
        sa.Column("sample_id", sa.BigInteger(), nullable=False, comment="the question and its image"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.Column("rule", sa.Text(), nullable=False, comment="the first of the skill's patterns that the question has; or question_type, relation or id with a colon and the value"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f("fk__sample_skill__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__sample_skill__run_id__run")),
        sa.ForeignKeyConstraint(["sample_id"], ["atlas.sample.id"], name=op.f("fk__sample_skill__sample_id__sample")),
        sa.ForeignKeyConstraint(["skill_id"], ["atlas.skill.id"], name=op.f("fk__sample_skill__skill_id__skill")),
        sa.PrimaryKeyConstraint("run_id", "skill_id", "sample_id", name=op.f("pk__sample_skill")),
        schema="atlas",
        comment="a question that asks for a skill, and by which rule (4.3)",
    )
    op.create_index(op.f("ix__sample_skill__sample_id"), "sample_skill", ["sample_id"], schema="atlas")
    op.create_index("ix__sample_skill__measurement_id", "sample_skill", ["measurement_id"], schema="atlas", postgresql_using="brin")
    op.execute("CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.sample_skill FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    """A column's checks go with it."""
    op.drop_table("sample_skill", schema="atlas")
    for (table, column), (before, after) in NEW_WORDS.items():
        op.alter_column(table, column, comment=before, existing_comment=after, schema="atlas")
    for name in (*COUNTS, *SHIFTS, *RATIOS):
        op.drop_column("firing_shift", name, schema="atlas")
    for table in ("candidate", "neutral_prompt"):
        op.drop_column(table, "n_fired_shuffled_image", schema="atlas")
    op.drop_column("neutral_prompt", "has_skill_word", schema="atlas")
