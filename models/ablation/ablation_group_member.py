"""Which features a group's removal takes, in which order (5.3)."""

from sqlalchemy import Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.ablation_group import KINDS, OF_CONTROL, OF_KIND, OF_NAME
from feature_atlas.models.base import (
    Base,
    feature_number,
    layer_number,
    measurement_reference,
    run_key,
)
from feature_atlas.models.columns import Bounds, one_of


class AblationGroupMember(Base):
    """One feature of a group or of one of its matched sets."""

    __tablename__ = "ablation_group_member"
    __table_args__ = {"comment": "the features of a group in the order of their removal (5.3)"}

    run_id: Mapped[run_key]
    kind: Mapped[str] = one_of(*KINDS, comment=OF_KIND, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True, comment=OF_NAME)
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment=OF_CONTROL,
        info={"bounds": Bounds(0)},
    )
    place: Mapped[int] = mapped_column(
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="1: removed first, the strongest; a removal of n features takes places 1 to n",
        info={"bounds": Bounds(1)},
    )
    measurement_id: Mapped[measurement_reference]
    layer: Mapped[layer_number]
    feature: Mapped[feature_number]
