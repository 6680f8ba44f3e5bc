"""How much a feature sees: its energy by kind of token (4.2, A.4)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured


class VisualEnergy(Base):
    """One feature of the text-adapted SAE on VQA: mean squared activation by token role."""

    __tablename__ = "visual_energy"
    __table_args__ = {
        "postgresql_partition_by": "LIST (run_id)",
        "comment": "mean squared activation of a feature by kind of token (4.2, A.4)",
    }

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    energy_image: Mapped[float] = measured(
        "mean squared activation on image tokens, normalised units squared; more: sees more", low=0
    )
    energy_question: Mapped[float] = measured(
        "mean squared activation on question tokens after the image, normalised units squared: "
        "the paper's E_v under its text mask (A.4)",
        low=0,
    )
    energy_question_mean_image: Mapped[float] = measured(
        "the same with the image replaced by the mean embedding, normalised units squared", low=0
    )
    energy_question_no_image: Mapped[float] = measured(
        "the same with no image at all, normalised units squared", low=0
    )
    energy_prefix: Mapped[float] = measured(
        "mean squared activation on the constant prefix, normalised units squared", low=0
    )
    fired_image: Mapped[int] = count("image tokens on which it fired")
    fired_question: Mapped[int] = count("question tokens on which it fired")
    fired_question_mean_image: Mapped[int] = count(
        "question tokens on which it fired, image replaced by the mean embedding"
    )
    fired_question_no_image: Mapped[int] = count("question tokens on which it fired, no image")
    modality_preference: Mapped[float] = measured(
        "log ratio of energy_question to energy_question_no_image; above 0: more with an image"
    )
    firing_rate: Mapped[float] = measured(
        "share of question tokens on which it fired", low=0, high=1
    )
