"""Where overlays lie on the picture and on what is asked; whether heads localise; custom prompts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_18_overlays"
down_revision = "20261122_17_heads"
branch_labels = None
depends_on = None

FINITE = "{name} > '-infinity' AND {name} < 'infinity'"
AT_LEAST_0 = "{name} >= 0 AND {name} < 'infinity'"
WHOLE = "{name} >= 0"
SHARE = "{name} BETWEEN 0 AND 1"
ROUNDED_SHARE = "{name} BETWEEN 0 AND 1.0001"
DIFFERENCE = "{name} BETWEEN -1 AND 1.0001"

SEEN = {
    "seen_left": ("left edge of the patch grid on the upright picture, pixels; below 0 where it was padded", FINITE),
    "seen_top": ("its upper edge", FINITE),
    "seen_right": ("its right edge; above the width where padded", FINITE),
    "seen_bottom": ("its lower edge; above the height where padded", FINITE),
}
OBJECTS = {
    "object_share": ("share of the head's attention to the image that is on patches of the objects that the question names; NULL: not known where they are, or not clear which", ROUNDED_SHARE),
    "object_area": ("share of the patches that are those objects'", SHARE),
    "lift": ("object_share / object_area; 1: as a head that looks anywhere alike", AT_LEAST_0),
}
SUMMARY = {
    "share": ("mean object_share (overlay), heads averaged first", DIFFERENCE),
    "share_low": ("lower end of its 95 % interval, bootstrap over images", DIFFERENCE),
    "share_high": ("upper end of its 95 % interval", DIFFERENCE),
    "lift": ("mean lift (overlay), heads averaged first; 1: no better than anywhere, of a difference 0", FINITE),
    "lift_low": ("lower end of its 95 % interval, bootstrap over images", FINITE),
    "lift_high": ("upper end of its 95 % interval", FINITE),
}
COUNTS = {
    "n_pairs": "pairs of feature and sample whose named objects are known",
    "n_features": "features among them",
    "n_images": "images among them: what the bootstrap draws",
}
BOX = "seen_left <= seen_right AND seen_top <= seen_bottom"
RULES = {
    "seen": BOX,
    "whole_box": "num_nulls(seen_left, seen_top, seen_right, seen_bottom) IN (0, 4)",
    "objects": "num_nulls(object_share, object_area, lift) IN (0, 3)",
}
KIND_BEFORE = "why the head was chosen: strongest, weakest, by lot"
KIND = "why the head was chosen: strongest, weakest, or near a top one in layer and image mass"
PROMPT = "sha256 over the picture's file and the question, hexadecimal"
TABLES = ("localisation", "custom_prompt", "custom_overlay")


def upgrade() -> None:
    for name, (comment, legal) in (SEEN | OBJECTS).items():
        comment += "; NULL: not told" if name == "seen_left" else ""
        op.add_column("overlay", sa.Column(name, sa.REAL(), nullable=True, comment=comment), schema="atlas")
        op.create_check_constraint(op.f(f"ck__overlay__{name}"), "overlay", legal.format(name=name), schema="atlas")
    for name, rule in RULES.items():
        op.create_check_constraint(op.f(f"ck__overlay__{name}"), "overlay", rule, schema="atlas")
    op.alter_column("overlay", "kind", comment=KIND, existing_comment=KIND_BEFORE, schema="atlas")
    _create_localisation()
    _create_custom_prompt()
    _create_custom_overlay()
    for table in TABLES:
        op.create_index(f"ix__{table}__measurement_id", table, ["measurement_id"], schema="atlas", postgresql_using="brin")
        op.execute(f"CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.{table} FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def _create_localisation() -> None:
    op.create_table(
        "localisation",
        sa.Column("comparison", sa.Text(), nullable=False, comment="kind of head as in overlay; or the difference, paired by feature and sample"),
        *(sa.Column(name, sa.BigInteger(), nullable=False, comment=comment) for name, comment in COUNTS.items()),
        *(sa.Column(name, sa.REAL(), nullable=False, comment=comment) for name, (comment, _) in SUMMARY.items()),
        *_of_a_measurement("localisation"),
        *_checks("localisation", {name: legal for name, (_, legal) in SUMMARY.items()} | dict.fromkeys(COUNTS, WHOLE)),
        _check("localisation", "comparison", "comparison IN ('top', 'bottom', 'random', 'top - bottom', 'top - random')"),
        _check("localisation", "interval", "share_low <= share_high AND lift_low <= lift_high"),
        sa.PrimaryKeyConstraint("run_id", "comparison", name=op.f("pk__localisation")),
        schema="atlas",
        comment="whether heads look at the objects that the question names (5.2, C)",
    )


def _create_custom_prompt() -> None:
    table = "custom_prompt"
    op.create_table(
        table,
        *_of_a_feature(),
        sa.Column("question", sa.Text(), nullable=False, comment="what was asked"),
        sa.Column("image_sha256", sa.Text(), nullable=False, comment="hash of the picture's file, hexadecimal"),
        sa.Column("image_uri", sa.Text(), nullable=False, comment="where the picture's file was"),
        sa.Column("width", sa.Integer(), nullable=False, comment="of the upright picture, pixels"),
        sa.Column("height", sa.Integer(), nullable=False, comment="of the upright picture, pixels"),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=False, comment="small PNG or JPEG, upright, for dashboards"),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False, comment="text tokens of the prompt, in order"),
        sa.Column("activations", postgresql.ARRAY(sa.REAL()), nullable=False, comment="the feature's activation on each token, normalised units; 0: silent"),
        sa.Column("max_activation", sa.REAL(), nullable=False, comment="the largest of them"),
        *_of_a_measurement(table),
        *_checks(table, {"layer": WHOLE, "feature": WHOLE, "width": "{name} >= 1", "height": "{name} >= 1", "max_activation": AT_LEAST_0}),
        _check(table, "activations", "0 <= ALL (activations) AND 'infinity' > ALL (activations)"),
        _check(table, "tokens", "cardinality(tokens) = cardinality(activations)"),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "prompt", name=op.f(f"pk__{table}")),
        schema="atlas",
        comment="a question of one's own about any picture (5.2, Fig. 16)",
    )


def _create_custom_overlay() -> None:
    table = "custom_overlay"
    op.create_table(
        table,
        *_of_a_feature(),
        sa.Column("head_layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer of the head, 0-based"),
        sa.Column("head", sa.SmallInteger(), autoincrement=False, nullable=False, comment="query head within that layer, 0-based"),
        sa.Column("kind", sa.Text(), nullable=False, comment="why the feature has the head in overlay"),
        sa.Column("method", sa.CHAR(length=1), nullable=False, comment="attribution method that ranked the head, A or B"),
        sa.Column("grid_rows", sa.SmallInteger(), nullable=False, comment="patches from top to bottom"),
        sa.Column("grid_columns", sa.SmallInteger(), nullable=False, comment="patches from left to right"),
        sa.Column("weights", postgresql.ARRAY(sa.REAL()), nullable=False, comment="attention per patch, row by row from the top left, mean over question tokens"),
        sa.Column("image_mass", sa.REAL(), nullable=False, comment="share of attention on the image: the sum of weights, up to rounding"),
        *(sa.Column(name, sa.REAL(), nullable=False, comment=comment) for name, (comment, _) in SEEN.items()),
        *_of_a_measurement(table),
        *_checks(table, dict.fromkeys(("layer", "feature", "head_layer", "head"), WHOLE) | {"image_mass": ROUNDED_SHARE} | dict.fromkeys(SEEN, FINITE)),
        _check(table, "kind", "kind IN ('top', 'bottom', 'random')"),
        _check(table, "method", "method IN ('A', 'B')"),
        _check(table, "weights", "0 <= ALL (weights) AND 'infinity' > ALL (weights)"),
        _check(table, "grid", "grid_rows > 0 AND grid_columns > 0"),
        _check(table, "patches", "cardinality(weights) = grid_rows * grid_columns"),
        _check(table, "seen", BOX),
        sa.PrimaryKeyConstraint("run_id", "layer", "feature", "prompt", "head_layer", "head", name=op.f(f"pk__{table}")),
        schema="atlas",
        comment="where a feature's heads look on a custom prompt (5.2, Fig. 16)",
    )


def _of_a_feature() -> tuple[sa.Column, ...]:
    return (
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("prompt", sa.Text(), nullable=False, comment=PROMPT),
    )


def _of_a_measurement(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("measurement_id", sa.Integer(), nullable=False, comment="the execution that produced this row: its provenance"),
        sa.ForeignKeyConstraint(["measurement_id"], ["atlas.measurement.id"], name=op.f(f"fk__{table}__measurement_id__measurement")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f(f"fk__{table}__run_id__run")),
    )


def _checks(table: str, legal: dict[str, str]) -> list[sa.CheckConstraint]:
    return [_check(table, name, rule.format(name=name)) for name, rule in legal.items()]


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck__{table}__{name}"))


def downgrade() -> None:
    """A column's checks go with it."""
    for table in TABLES:
        op.drop_table(table, schema="atlas")
    op.alter_column("overlay", "kind", comment=KIND_BEFORE, existing_comment=KIND, schema="atlas")
    for name in (*SEEN, *OBJECTS):
        op.drop_column("overlay", name, schema="atlas")
