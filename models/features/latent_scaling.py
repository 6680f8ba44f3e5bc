"""Whether a feature was turned, or is used less (beside 4.2)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured


class LatentScaling(Base):
    """How strongly the VLM writes one feature where the base model does, on the same tokens."""

    __tablename__ = "latent_scaling"
    __table_args__ = (
        CheckConstraint("num_nulls(base_beta_text, vlm_beta_text) IN (0, 2)", name="text"),
        CheckConstraint("num_nulls(base_beta_image, vlm_beta_image) IN (0, 2)", name="image"),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "whether a feature is used less than by the base model (beside 4.2)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    scale_text: Mapped[float | None] = measured(
        "vlm_beta_text over base_beta_text; 1: written as strongly, in whatever direction (cosine "
        "says which); 0.5: half as strongly; none: the base feature fires on no text token"
    )
    standard_error_text: Mapped[float | None] = measured(
        "of scale_text, tokens taken as independent; none: fewer than two tokens", low=0
    )
    base_beta_text: Mapped[float | None] = measured(
        "least squares factor of the base feature's activation in the base model's residual, text "
        "tokens; 1: the dictionary accounts for it"
    )
    vlm_beta_text: Mapped[float | None] = measured(
        "least squares factor of the same activations in the VLM's residual, along the adapted "
        "direction"
    )
    n_tokens_text: Mapped[int] = count("text tokens on which the base feature fires")
    scale_image: Mapped[float | None] = measured(
        "scale_text of image tokens, which the base model reads as the VLM's projector made them"
    )
    standard_error_image: Mapped[float | None] = measured("of scale_image, likewise", low=0)
    base_beta_image: Mapped[float | None] = measured("base_beta_text of image tokens")
    vlm_beta_image: Mapped[float | None] = measured("vlm_beta_text of image tokens")
    n_tokens_image: Mapped[int] = count("image tokens on which the base feature fires")
