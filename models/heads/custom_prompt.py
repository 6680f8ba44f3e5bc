"""A question of one's own about any picture, put to one feature (5.2, Fig. 16)."""

from sqlalchemy import CheckConstraint, Integer, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, measured_list

PROMPT = "sha256 over the picture's file and the question, hexadecimal"


class CustomPrompt(Base):
    """What the feature does on one custom prompt; its heads are in `custom_overlay`."""

    __tablename__ = "custom_prompt"
    __table_args__ = (
        CheckConstraint("cardinality(tokens) = cardinality(activations)", name="tokens"),
        {"comment": "a question of one's own about any picture (5.2, Fig. 16)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    prompt: Mapped[str] = mapped_column(primary_key=True, comment=PROMPT)
    measurement_id: Mapped[measurement_reference]
    question: Mapped[str] = mapped_column(comment="what was asked")
    image_sha256: Mapped[str] = mapped_column(comment="hash of the picture's file, hexadecimal")
    image_uri: Mapped[str] = mapped_column(comment="where the picture's file was")
    width: Mapped[int] = mapped_column(
        Integer, comment="of the upright picture", info={"bounds": Bounds(1)}
    )
    height: Mapped[int] = mapped_column(
        Integer, comment="of the upright picture", info={"bounds": Bounds(1)}
    )
    thumbnail: Mapped[bytes] = mapped_column(comment="small PNG or JPEG, upright, for dashboards")
    tokens: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="text tokens of the prompt, in order"
    )
    activations: Mapped[list[float]] = measured_list(
        "the feature's activation on each token; 0: silent", low=0
    )
    max_activation: Mapped[float] = measured("the largest of them", low=0)
