"""Whether heads look at what the question asks about (5.2, C)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of


class Localisation(Base):
    """One kind of head, or top heads minus another kind, over all overlays with known objects."""

    __tablename__ = "localisation"
    __table_args__ = (
        CheckConstraint("share_low <= share_high AND lift_low <= lift_high", name="interval"),
        {"comment": "whether heads look at the objects that the question names (5.2, C)"},
    )

    run_id: Mapped[run_key]
    comparison: Mapped[str] = one_of(
        "top",
        "bottom",
        "random",
        "top - bottom",
        "top - random",
        comment="kind of head as in overlay; or the difference, paired by feature and sample",
        primary_key=True,
    )
    measurement_id: Mapped[measurement_reference]
    n_pairs: Mapped[int] = count("pairs of feature and sample whose named objects are known")
    n_features: Mapped[int] = count("features among them")
    n_images: Mapped[int] = count("images among them: what the bootstrap draws")
    share: Mapped[float] = measured(
        "mean object_share (overlay), heads averaged first", low=-1, high=1.0001
    )
    share_low: Mapped[float] = measured(
        "lower end of its 95 % interval, bootstrap over images", low=-1, high=1.0001
    )
    share_high: Mapped[float] = measured("upper end of its 95 % interval", low=-1, high=1.0001)
    lift: Mapped[float] = measured(
        "mean lift (overlay), heads averaged first; 1: no better than anywhere, of a difference 0"
    )
    lift_low: Mapped[float] = measured("lower end of its 95 % interval, bootstrap over images")
    lift_high: Mapped[float] = measured("upper end of its 95 % interval")
