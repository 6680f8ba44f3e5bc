"""How much a feature sees: its energy by kind of token and condition (4.2, A.4)."""

from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, MappedColumn

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured

MEAN = ", image replaced by the mean embedding"
NONE = ", no image at all"


def _energy(tokens: str) -> MappedColumn[Any]:
    return measured(f"mean squared activation on {tokens}", low=0)


def _fired(tokens: str) -> MappedColumn[Any]:
    return count(f"{tokens} on which it fired")


class VisualEnergy(Base):
    """One feature of the text-adapted SAE on VQA: mean squared activation by role and condition.

    Text tokens are those that depend on the sample: question, suffix and header. The real image is
    that of all base questions; mean and no image are of the control questions. `role_energy` has
    the numbers of tokens.
    """

    __tablename__ = "visual_energy"
    __table_args__ = (
        CheckConstraint(
            "fired_question_only <= fired_question AND fired_header <= fired_question"
            " AND fired_question_control <= fired_question",
            name="fired",
        ),
        CheckConstraint("fired_suffix <= fired_question", name="suffix"),
        CheckConstraint("modality_preference_low <= modality_preference_high", name="interval"),
        CheckConstraint(
            "mean_image_preference_low <= mean_image_preference_high", name="mean_image_interval"
        ),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "mean squared activation of a feature by kind of token (4.2, A.4)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    energy_image: Mapped[float] = measured(
        "mean squared activation on image tokens; the SAE was adapted on "
        "text, so image tokens are outside of what it was trained on",
        low=0,
    )
    energy_question: Mapped[float] = measured(
        "mean squared activation on text tokens after the image (question, suffix, header): "
        "the paper's E_v under its text mask (A.4)",
        low=0,
    )
    energy_question_mean_image: Mapped[float] = measured(
        "the same on the control questions with the image replaced by the mean embedding",
        low=0,
    )
    energy_question_no_image: Mapped[float] = measured(
        "the same on the control questions with no image at all", low=0
    )
    energy_prefix: Mapped[float | None] = measured(
        "mean squared activation on the constant prefix; no image "
        "changes it, since it comes before",
        low=0,
    )
    fired_image: Mapped[int] = count("image tokens on which it fired")
    fired_question: Mapped[int] = count("text tokens after the image on which it fired")
    fired_question_mean_image: Mapped[int] = _fired(f"text tokens of the control questions{MEAN},")
    fired_question_no_image: Mapped[int] = _fired(f"text tokens of the control questions{NONE},")
    modality_preference: Mapped[float] = measured(
        "log ratio of energy_question_control (before: of energy_question) to "
        "energy_question_no_image, 0.001 added to both; above 0: more with an image"
    )
    firing_rate: Mapped[float] = measured(
        "share of text tokens after the image on which it fired", low=0, high=1
    )
    # later than the columns above: a run built before has none of these
    energy_all_tokens: Mapped[float | None] = _energy(
        "all tokens of questions with their image but the BOS: the paper's E_v over vision inputs "
        "(4.2)"
    )
    energy_question_control: Mapped[float | None] = _energy(
        "text tokens of the control questions with their own image"
    )
    fired_question_control: Mapped[int | None] = _fired(
        "text tokens of the control questions with their own image"
    )
    fired_prefix: Mapped[int | None] = _fired("tokens of the constant prefix")
    energy_question_only: Mapped[float | None] = _energy("the question's own tokens")
    energy_suffix: Mapped[float | None] = _energy("the suffix (NULL: there is none)")
    energy_header: Mapped[float | None] = _energy("the assistant header")
    fired_question_only: Mapped[int | None] = _fired("the question's own tokens")
    fired_suffix: Mapped[int | None] = _fired("suffix tokens")
    fired_header: Mapped[int | None] = _fired("header tokens")
    energy_image_mean_image: Mapped[float | None] = _energy(f"image tokens{MEAN}")
    energy_question_only_mean_image: Mapped[float | None] = _energy(
        f"the question's own tokens{MEAN}"
    )
    energy_suffix_mean_image: Mapped[float | None] = _energy(f"the suffix{MEAN}")
    energy_header_mean_image: Mapped[float | None] = _energy(f"the assistant header{MEAN}")
    fired_image_mean_image: Mapped[int | None] = _fired(f"image tokens{MEAN},")
    fired_question_only_mean_image: Mapped[int | None] = _fired(f"the question's own tokens{MEAN},")
    fired_suffix_mean_image: Mapped[int | None] = _fired(f"suffix tokens{MEAN},")
    fired_header_mean_image: Mapped[int | None] = _fired(f"header tokens{MEAN},")
    energy_question_only_no_image: Mapped[float | None] = _energy(
        f"the question's own tokens{NONE}"
    )
    energy_suffix_no_image: Mapped[float | None] = _energy(f"the suffix{NONE}")
    energy_header_no_image: Mapped[float | None] = _energy(f"the assistant header{NONE}")
    fired_question_only_no_image: Mapped[int | None] = _fired(f"the question's own tokens{NONE},")
    fired_suffix_no_image: Mapped[int | None] = _fired(f"suffix tokens{NONE},")
    fired_header_no_image: Mapped[int | None] = _fired(f"header tokens{NONE},")
    modality_preference_low: Mapped[float | None] = measured(
        "lower end of modality_preference's 95 % interval over images drawn anew; above 0: the "
        "image raises it beyond chance"
    )
    modality_preference_high: Mapped[float | None] = measured("upper end of that interval")
    mean_image_preference: Mapped[float | None] = measured(
        "log ratio of energy_question_control to energy_question_mean_image, 0.001 added to both; "
        "above 0: more with the right image than with none in particular"
    )
    mean_image_preference_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval over images drawn anew"
    )
    mean_image_preference_high: Mapped[float | None] = measured("upper end of that interval")
    mean_activation: Mapped[float | None] = measured(
        "mean activation on the text tokens after the image on which it fired; NULL: on none",
        low=0,
    )
    max_activation: Mapped[float | None] = measured(
        "largest activation on text tokens after the image; 0: never fired",
        low=0,
    )
