"""Images that questions are about."""

from sqlalchemy import BigInteger, CheckConstraint, Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base


class Image(Base):
    """One image, told from others by the hash of its file."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("sha256"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        {"comment": "an image that questions are about"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="surrogate key"
    )
    sha256: Mapped[str] = mapped_column(comment="hash of the image file, hexadecimal")
    width: Mapped[int] = mapped_column(comment="pixels")
    height: Mapped[int] = mapped_column(comment="pixels")
    uri: Mapped[str] = mapped_column(comment="where the image file is")
    thumbnail: Mapped[bytes] = mapped_column(comment="small PNG or JPEG for dashboards")
