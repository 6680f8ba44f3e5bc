"""The wide row: everything measured of one feature, built when the run is published."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, run_key
from feature_atlas.models.columns import Bounds, count, measured, precise

METRICS = (
    *("cosine", "encoder_cosine", "best_base_cosine", "n_firings"),
    *("cosine_image", "cosine_full", "cosine_random", "cosine_refit", "cosine_language"),
    *("excess_rotation", "rotation_q_value", "cosine_sd", "scale_text", "scale_image"),
    *("visual_energy", "energy_image", "energy_question_no_image"),
    *("modality_preference", "firing_rate"),
    *("spatial_delta_p", "spatial_odds_ratio", "spatial_q_value"),
    *("ocr_delta_p", "ocr_odds_ratio", "ocr_q_value", "vsr_odds_ratio"),
)
"""What features are sorted and filtered by: each has an index, so a page of any costs no scan."""


class FeatureRecord(Base):
    """One feature of one run. A copy of the narrow tables for fast filters: change those."""

    __tablename__ = "feature_record"
    __table_args__ = (
        *(Index(None, metric) for metric in METRICS),
        Index("ix__feature_record__adapted", "layer", "feature", postgresql_where="is_adapted"),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "everything measured of one feature in one row; built at publication",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    cosine: Mapped[float] = measured(
        "decoder cosine in the text regime; 1: kept, 0: a new direction (4.2)", low=-1, high=1
    )
    encoder_cosine: Mapped[float] = measured(
        "encoder cosine in the text regime; 1: kept", low=-1, high=1
    )
    best_base_feature: Mapped[int] = mapped_column(
        comment="base feature that the text-adapted direction is closest to",
        info={"bounds": Bounds(0)},
    )
    best_base_cosine: Mapped[float] = measured("cosine with that base feature", low=-1, high=1)
    n_firings: Mapped[int] = count("tokens on which it fired in text training")
    cosine_image: Mapped[float | None] = measured(
        "decoder cosine in the image regime (A.1)", low=-1, high=1
    )
    cosine_full: Mapped[float | None] = measured(
        "decoder cosine in the full-sequence regime (A.1)", low=-1, high=1
    )
    cosine_random: Mapped[float | None] = measured(
        "decoder cosine in the random regime (A.1)", low=-1, high=1
    )
    cosine_refit: Mapped[float | None] = measured(
        "decoder cosine in the refit regime: turned by training alone", low=-1, high=1
    )
    cosine_language: Mapped[float | None] = measured(
        "decoder cosine in the language regime: questions without image", low=-1, high=1
    )
    excess_rotation: Mapped[float | None] = measured(
        "median cosine of refit features that fired as often, less cosine; above 0: turned further "
        "than refitting alone; none: no refit regime",
        low=-2,
        high=2,
    )
    rotation_q_value: Mapped[float | None] = precise(
        "p of no turn beyond the refit null after Benjamini-Hochberg", low=0, high=1
    )
    cosine_sd: Mapped[float | None] = measured(
        "how far the order of the data alone moves its cosine: standard deviation over seeds; "
        "none: one seed (seed_stability)",
        low=0,
        high=2,
    )
    n_seeds_adapted: Mapped[int | None] = count(
        "seeds in which it is adapted; none: one seed (seed_stability)"
    )
    n_seeds_turned_by_vision: Mapped[int | None] = count(
        "seeds in which it is turned by vision; none: one seed, or no controls (seed_stability)"
    )
    scale_text: Mapped[float | None] = measured(
        "how strongly the VLM writes it where the base model does, text tokens; 1: as strongly, "
        "0.5: half; low with cosine near 1: shrunk, near 1 with a low cosine: turned; none: not "
        "measured (latent_scaling)"
    )
    scale_image: Mapped[float | None] = measured("scale_text of image tokens")
    visual_energy: Mapped[float] = measured(
        "E_v under the text mask: mean squared activation on text tokens after the image "
        "(4.2, A.4)",
        low=0,
    )
    energy_image: Mapped[float] = measured("mean squared activation on image tokens", low=0)
    energy_question_no_image: Mapped[float] = measured(
        "mean squared activation on text tokens of the control questions without image",
        low=0,
    )
    modality_preference: Mapped[float] = measured(
        "log ratio of the text energy of the control questions with their image to that without; "
        "above 0: more with an image"
    )
    firing_rate: Mapped[float] = measured(
        "share of text tokens after the image on which it fired", low=0, high=1
    )
    is_adapted: Mapped[bool] = mapped_column(
        comment="whether it sees and turned: E_v above epsilon, cosine in the bottom quarter (4.2)"
    )
    is_turned_by_vision: Mapped[bool | None] = mapped_column(
        comment="whether it is adapted and turned beyond the refit null and the language control; "
        "none: no such controls"
    )
    spatial_delta_p: Mapped[float | None] = measured(
        "firing rate per token, spatial minus other questions (4.3)", low=-1, high=1
    )
    spatial_odds_ratio: Mapped[float | None] = measured(
        "odds of firing, spatial over other questions; above 1: fires more (4.3)", low=0
    )
    spatial_odds_ratio_low: Mapped[float | None] = measured("lower end of its 95 % interval", low=0)
    spatial_odds_ratio_high: Mapped[float | None] = measured(
        "upper end of its 95 % interval", low=0
    )
    spatial_q_value: Mapped[float | None] = precise(
        "p of no difference after Benjamini-Hochberg", low=0, high=1
    )
    is_spatial_candidate: Mapped[bool] = mapped_column(
        comment="whether it is adapted and its shift on spatial questions passes (4.3)"
    )
    survives_spatial: Mapped[bool] = mapped_column(
        comment="whether a spatial candidate is still active on neutral prompts (A.6)"
    )
    ocr_delta_p: Mapped[float | None] = measured(
        "firing rate per token, OCR minus other questions (A.5)", low=-1, high=1
    )
    ocr_odds_ratio: Mapped[float | None] = measured(
        "odds of firing, OCR over other questions; above 1: fires more (A.5)", low=0
    )
    ocr_odds_ratio_low: Mapped[float | None] = measured("lower end of its 95 % interval", low=0)
    ocr_odds_ratio_high: Mapped[float | None] = measured("upper end of its 95 % interval", low=0)
    ocr_q_value: Mapped[float | None] = precise(
        "p of no difference after Benjamini-Hochberg", low=0, high=1
    )
    is_ocr_candidate: Mapped[bool] = mapped_column(
        comment="whether it is adapted and its shift on OCR questions passes (A.5)"
    )
    survives_ocr: Mapped[bool] = mapped_column(
        comment="whether an OCR candidate is still active on neutral prompts (A.6)"
    )
    vsr_odds_ratio: Mapped[float | None] = measured(
        "odds of firing, VSR statements over VQA questions; the paper's VSR OR (5.3)", low=0
    )
