"""Kinds of question whose features are sought (4.3): spatial, location, ocr, your own."""

from typing import Any

from sqlalchemy import Identity, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base


class Skill(Base):
    """One kind of question, told from all questions by words or by question type."""

    __tablename__ = "skill"
    __table_args__ = (
        UniqueConstraint("name"),
        {"comment": "a kind of question that is compared with all questions (4.3)"},
    )

    id: Mapped[int] = mapped_column(
        SmallInteger, Identity(always=False), primary_key=True, comment="surrogate key"
    )
    name: Mapped[str] = mapped_column(comment="spatial, ocr, vsr, or your own")
    definition: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'"),
        comment="patterns, question types and neutral prompts, as the first run with it had them; "
        "what a run had is in the view skill_definition",
    )
