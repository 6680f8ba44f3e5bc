"""Which questions ask for a skill (4.3), so that the filter can be checked by eye."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, measurement_reference, run_key, sample_key, skill_key


class SampleSkill(Base):
    """One question that asks for one skill, and the rule that says so."""

    __tablename__ = "sample_skill"
    __table_args__ = (
        Index(None, "sample_id"),
        {"comment": "a question that asks for a skill, and by which rule (4.3)"},
    )

    run_id: Mapped[run_key]
    skill_id: Mapped[skill_key]
    sample_id: Mapped[sample_key]
    measurement_id: Mapped[measurement_reference]
    rule: Mapped[str] = mapped_column(
        comment="the first of the skill's patterns that the question has; or question_type, "
        "relation or id with a colon and the value"
    )
