"""Whether there is a linear code of where named objects are (beside 5.3)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured


class SpatialCode(Base):
    """How well the place of a named object is read from its name's last token, in one layer."""

    __tablename__ = "spatial_code"
    __table_args__ = {
        "comment": "the linear code of where named objects are, by layer (beside 5.3)"
    }

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    measurement_id: Mapped[measurement_reference]
    n_objects_train: Mapped[int] = count(
        "objects of known place that training statements name: the code is made of them"
    )
    n_objects_held_out: Mapped[int] = count(
        "objects that test statements name: a readout is fitted on those in half of their "
        "pictures and judged on the others"
    )
    n_images_train: Mapped[int] = count("pictures of the training statements")
    r2_x: Mapped[float] = measured(
        "share of the variance of x (of the box's centre, over the picture's width) that a ridge "
        "regression on the residual foretells in other pictures; 1: exactly, below 0: worse than "
        "the mean"
    )
    r2_y: Mapped[float] = measured("the same of y, downwards")
    r2_x_erased: Mapped[float] = measured(
        "r2_x when the code's two directions, made of training statements, are projected out and "
        "the regression is fitted anew"
    )
    r2_y_erased: Mapped[float] = measured("r2_y likewise")
