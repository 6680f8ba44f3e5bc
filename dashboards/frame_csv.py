"""A frame as a CSV file, by the one rule that the atlas writes CSV by."""

import io

import pandas as pd

from feature_atlas.models.notation.csv_text import write_csv


def frame_csv(frame: pd.DataFrame) -> bytes:
    """Without the index; what pandas calls missing is NULL."""
    stream = io.StringIO()
    values = frame.astype(object).where(frame.notna(), None)
    write_csv(stream, list(map(str, frame.columns)), values.itertuples(index=False, name=None))
    return stream.getvalue().encode()
