"""What takes the picture's place in a corrupt run: a part of the key of every table about heads."""

from typing import Annotated

from sqlalchemy import Text
from sqlalchemy.orm import mapped_column

from feature_atlas.models.columns import Bounds

CORRUPTIONS = ("mean", "global_mean", "resample", "opposite")

corruption_key = Annotated[
    str,
    mapped_column(
        Text,
        primary_key=True,
        server_default="mean",
        comment="what took the picture's place: mean, the mean image embedding of each patch; "
        "global_mean, that of all patches; resample, any other sample's picture; opposite, a "
        "picture of which the answer is another: samples in which that raises the feature count "
        "with the other sign",
        info={"bounds": Bounds(values=CORRUPTIONS)},
    ),
]
