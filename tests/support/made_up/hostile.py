"""Words that would do harm if a page took them for HTML, Markdown, LaTeX or colours."""

from sqlalchemy import ARRAY, Column, Connection, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from feature_atlas.models import Base
from feature_atlas.models.base import SCHEMA
from feature_atlas.models.columns import bounds

ELSEWHERE = "elsewhere.example"
WORDS = (
    f' <script>window.hit = 1</script><img src="http://{ELSEWHERE}/a" onerror="window.hit = 2">'
    f'![b](http://{ELSEWHERE}/b) [c](http://{ELSEWHERE}/c) <a href="http://{ELSEWHERE}/d">d</a>'
    " **bold** $x^2$ :red[r] :material/home: `code` <b>b</b>"
)
KNOWN = {
    *("regime.name", "sae_set.gate", "measurement.stage", "run.config_hash", "run.checksum"),
    *("image.sha256", "custom_prompt.image_sha256"),
}
"""Words that the code itself looks for, and what are no words."""


def say_everywhere(connection: Connection) -> None:
    """Put the words behind every text of the database, whatever its column; as a superuser."""
    # published rows are guarded by triggers
    connection.execute(text("SET session_replication_role = replica"))
    for table in Base.metadata.tables.values():
        columns = [column for column in table.columns if _is_free(table, column)]
        if columns:
            changes = ", ".join(f"{column.name} = {_hostile(column)}" for column in columns)
            # the funnel is that of these two, which every run has
            spared = " WHERE name NOT IN ('spatial', 'ocr')" if table.name == "skill" else ""
            update = text(f"UPDATE {SCHEMA}.{table.name} SET {changes}{spared}")
            connection.execute(update, {"words": WORDS})
    connection.execute(text("SET session_replication_role = origin"))


def _is_free(table: Table, column: Column) -> bool:
    kind = column.type.item_type if isinstance(column.type, ARRAY) else column.type
    declared = bounds(column)
    return (
        isinstance(kind, (Text, JSONB))
        and not (declared and declared.values)
        and f"{table.name}.{column.name}" not in KNOWN
    )


def _hostile(column: Column) -> str:
    if isinstance(column.type, ARRAY):
        return f"ARRAY(SELECT one || :words FROM unnest({column.name}) AS part (one))"
    if isinstance(column.type, JSONB):
        return f"{column.name} || jsonb_build_object(cast(:words AS text), 1)"
    return f"{column.name} || :words"
