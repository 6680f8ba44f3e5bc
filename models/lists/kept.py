"""The base of tables that readers fill: a schema of their own, beside the atlas.

Nothing in it refers to a table of the atlas, so that dropping runs, loading them again and going
back to an older schema leave it alone. A feature is named by the fingerprint of the base
dictionaries, layer and index: adapted dictionaries keep the index, so that is the same feature in
every run that starts from them, whatever its model.
"""

from typing import Annotated

from sqlalchemy import MetaData
from sqlalchemy.orm import mapped_column

from feature_atlas.models.base import NAMES, Base

LISTS = "lists"
"""The schema."""

_DICTIONARY = "fingerprint of the base SAEs (atlas.sae_set): with layer and feature, the feature"
_RUN = "name of the run in which it was seen; the run may be gone"

dictionary_key = Annotated[str, mapped_column(primary_key=True, comment=_DICTIONARY)]
dictionary = Annotated[str, mapped_column(comment=_DICTIONARY)]
run_name = Annotated[str | None, mapped_column(comment=_RUN)]


class Kept(Base):
    """Every table of what readers keep."""

    __abstract__ = True
    metadata = MetaData(schema=LISTS, naming_convention=NAMES)
