"""The declarative base: schema, constraint names, and the columns that many tables share."""

from datetime import datetime
from typing import Annotated, Any, cast

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from feature_atlas.models.columns import Bounds, bounds, bounds_check
from feature_atlas.models.units import with_unit

SCHEMA = "atlas"

# double underscores keep table and column apart: ck__decoder_cosine__best_base_cosine
NAMES = {
    "ix": "ix__%(table_name)s__%(column_0_N_name)s",
    "uq": "uq__%(table_name)s__%(column_0_N_name)s",
    "ck": "ck__%(table_name)s__%(constraint_name)s",
    "fk": "fk__%(table_name)s__%(column_0_N_name)s__%(referred_table_name)s",
    "pk": "pk__%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table of the atlas. Bounds become CHECKs here, and provenance gets its index."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMES)
    type_annotation_map = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__abstract__" in cls.__dict__:
            return
        table = cast(Table, cls.__table__)
        for column in list(table.columns):
            column.comment = _with_unit(table, column)
            check = bounds_check(column)
            if check is not None:
                table.append_constraint(check)
        if "measurement_id" in table.columns:
            # tiny, and spares reading every row when a measurement is removed
            Index(None, table.columns["measurement_id"], postgresql_using="brin")


def _with_unit(table: Table, column: Column[Any]) -> str | None:
    """The comment of a column, with its unit and range where it is a number."""
    item = column.type.item_type if isinstance(column.type, ARRAY) else column.type
    # a key of another table has no type before that is known; all of them are numbers
    is_number = isinstance(item, Integer | Float | Numeric) or bool(column.foreign_keys)
    if column.comment is None or not is_number:
        return column.comment
    low, high, _ = bounds(column) or Bounds()
    return with_unit(column.comment, table.name, column.name, low, high)


def fact_tables() -> list[Table]:
    """Tables whose rows belong to a measurement; those that others refer to come first."""
    return [table for table in Base.metadata.sorted_tables if "measurement_id" in table.columns]


identity = Annotated[
    int, mapped_column(Integer, Identity(always=True), primary_key=True, comment="surrogate key")
]

run_key = Annotated[
    int,
    mapped_column(
        Integer, ForeignKey("atlas.run.id"), primary_key=True, comment="the run this row belongs to"
    ),
]

run_reference = Annotated[
    int,
    mapped_column(Integer, ForeignKey("atlas.run.id"), comment="the run this row belongs to"),
]

measurement_reference = Annotated[
    int,
    mapped_column(
        Integer,
        ForeignKey("atlas.measurement.id"),
        comment="the execution that produced this row: its provenance",
    ),
]

_LAYER = "decoder layer whose output the SAE reads, 0-based"
_FEATURE = "index in the base dictionary; adapted SAEs keep it"

layer_key = Annotated[
    int,
    mapped_column(
        SmallInteger,
        primary_key=True,
        comment=_LAYER,
        autoincrement=False,
        info={"bounds": Bounds(0)},
    ),
]

layer_number = Annotated[
    int, mapped_column(SmallInteger, comment=_LAYER, info={"bounds": Bounds(0)})
]

feature_key = Annotated[
    int,
    mapped_column(
        Integer, primary_key=True, comment=_FEATURE, autoincrement=False, info={"bounds": Bounds(0)}
    ),
]

feature_number = Annotated[
    int, mapped_column(Integer, comment=_FEATURE, info={"bounds": Bounds(0)})
]

head_layer_key = Annotated[
    int,
    mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="decoder layer of the head, 0-based",
        info={"bounds": Bounds(0)},
    ),
]

head_key = Annotated[
    int,
    mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="query head within that layer, 0-based",
        info={"bounds": Bounds(0)},
    ),
]

regime_key = Annotated[
    int,
    mapped_column(
        SmallInteger,
        ForeignKey("atlas.regime.id"),
        primary_key=True,
        comment="which tokens adapted the SAE (3.2)",
    ),
]

skill_key = Annotated[
    int,
    mapped_column(
        SmallInteger,
        ForeignKey("atlas.skill.id"),
        primary_key=True,
        comment="which kind of question was compared with all questions (4.3)",
    ),
]

sample_key = Annotated[
    int,
    mapped_column(
        BigInteger,
        ForeignKey("atlas.sample.id"),
        primary_key=True,
        comment="the question and its image",
    ),
]

sample_reference = Annotated[
    int,
    mapped_column(BigInteger, ForeignKey("atlas.sample.id"), comment="the question and its image"),
]

created_at = Annotated[
    datetime,
    mapped_column(DateTime(timezone=True), server_default=func.now(), comment="when written"),
]
