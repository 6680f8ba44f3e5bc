"""Candidates on prompts without a word of their skill (4.3, A.6)."""

from sqlalchemy import CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    skill_key,
)
from feature_atlas.models.columns import Bounds, count, measured


class NeutralPrompt(Base):
    """One candidate of one skill on one neutral prompt."""

    __tablename__ = "neutral_prompt"
    __table_args__ = (
        CheckConstraint("n_fired <= n_samples AND n_fired_mean_image <= n_samples", name="samples"),
        CheckConstraint("n_fired_shuffled_image <= n_samples", name="shuffled"),
        Index(None, "run_id", "layer", "feature"),
        {"comment": "a candidate on one prompt without a word of its skill (4.3, A.6)"},
    )

    run_id: Mapped[run_key]
    skill_id: Mapped[skill_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    prompt_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="number of the prompt in the skill's definition, from 0",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    prompt: Mapped[str] = mapped_column(
        comment="the neutral prompt; the model's reply to it counts too"
    )
    has_skill_word: Mapped[bool | None] = mapped_column(
        comment="whether the prompt itself has a word of the skill, so that firing may be lexical"
    )
    n_samples: Mapped[int] = count(
        "images tried with this prompt: of its top samples, drawn, as many as the verdict needs"
    )
    n_fired: Mapped[int] = count("of them, how many on which it fired")
    n_fired_mean_image: Mapped[int] = count(
        "of them, how many on which it fired with the image replaced by the mean embedding"
    )
    n_fired_shuffled_image: Mapped[int | None] = count(
        "of them, how many on which it fired with the image replaced by another sample's"
    )
    mean_activation: Mapped[float] = measured(
        "largest activation per image, mean over images", low=0
    )
