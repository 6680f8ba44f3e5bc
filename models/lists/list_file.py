"""Lists as CSV: what an import reads, by the rule of `models/notation/csv_text.py`.

`layer` and `feature` are needed; `note` and `dictionary` are taken where they are there, and other
columns are for people. So a file that a list was saved to comes back as the same list.
"""

from feature_atlas.models.lists.keeping import Entry
from feature_atlas.models.notation.csv_text import CsvFile


def entries_of(file: CsvFile, name: str) -> list[Entry]:
    """The features that a file names, each with the line that it stands in."""
    missing = [column for column in ("layer", "feature") if column not in file.names]
    if missing:
        raise ValueError(
            f"{name} has no column {', '.join(missing)}: expected layer and feature, and note and "
            "dictionary where you have them. Nothing was written."
        )
    return [_entry(row, f"{name}, line {line}") for line, row in file.rows]


def _entry(row: dict[str, str], source: str) -> Entry:
    try:
        layer, feature = int(row["layer"]), int(row["feature"])
    except ValueError:
        raise ValueError(
            f"{source}: layer {row['layer']!r} and feature {row['feature']!r}, expected whole "
            "numbers. Nothing was written."
        ) from None
    return Entry(layer, feature, row.get("note"), row.get("dictionary") or None, source)
