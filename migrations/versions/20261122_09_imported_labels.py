"""Labels that others wrote: explanations of the base dictionaries, and scored ones of Delphi."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_09_imported_labels"
down_revision = "20261122_08_additions"
branch_labels = None
depends_on = None

EXPLAINER = "a language model's endpoint, or word statistics"
IMPORTED = "a language model's endpoint, word statistics, or Delphi (imported)"
KEY = ["run_id", "layer", "feature", "variant", "explainer", "model"]
OLD_KEY = "uq__auto_interp__run_id_layer_feature_variant_explainer_model"


def upgrade() -> None:
    op.create_table(
        "base_label",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("sae_set_id", sa.Integer(), nullable=False, comment="the base SAEs that it describes"),
        sa.Column("layer", sa.SmallInteger(), nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("description", sa.Text(), nullable=False, comment="what the feature is said to mean"),
        sa.Column("model", sa.Text(), nullable=True, comment="the explainer's model, if it is known"),
        sa.Column("method", sa.Text(), nullable=True, comment="how it was explained, in the source's words, e.g. oai_token-act-pair"),
        sa.Column("source", sa.Text(), nullable=False, comment="where it was imported from"),
        sa.Column("external_id", sa.Text(), nullable=False, comment="the source's own id of the description"),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True, comment="when it was written, if known"),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when it was imported, or changed by an import"),
        sa.CheckConstraint("source IN ('neuronpedia')", name=op.f("ck__base_label__source")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__base_label__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__base_label__layer")),
        sa.ForeignKeyConstraint(["sae_set_id"], ["atlas.sae_set.id"], name=op.f("fk__base_label__sae_set_id__sae_set")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__base_label")),
        sa.UniqueConstraint("sae_set_id", "source", "external_id", name=op.f("uq__base_label__sae_set_id_source_external_id")),
        schema="atlas",
        comment="a description of a base feature that others wrote, imported",
    )
    op.create_index(op.f("ix__base_label__sae_set_id_layer_feature"), "base_label", ["sae_set_id", "layer", "feature"], unique=False, schema="atlas")

    op.add_column("auto_interp", sa.Column("scorer", sa.Text(), nullable=True, comment="how an imported description was scored, e.g. Delphi's detection; none: as in B"), schema="atlas")
    op.drop_constraint(OLD_KEY, "auto_interp", schema="atlas")
    op.create_unique_constraint("uq__auto_interp__description", "auto_interp", [*KEY, "scorer"], schema="atlas", postgresql_nulls_not_distinct=True)
    _allow("'openai', 'offline', 'delphi'", IMPORTED)


def downgrade() -> None:
    # an older atlas has no place for them; without their measurement they can be imported again
    op.execute("DELETE FROM atlas.auto_interp WHERE explainer = 'delphi'")
    op.execute("DELETE FROM atlas.measurement WHERE params ->> 'imported_from' = 'delphi'")
    _allow("'openai', 'offline'", EXPLAINER)
    op.drop_constraint("uq__auto_interp__description", "auto_interp", schema="atlas")
    op.create_unique_constraint(OLD_KEY, "auto_interp", KEY, schema="atlas")
    op.drop_column("auto_interp", "scorer", schema="atlas")
    op.drop_table("base_label", schema="atlas")


def _allow(words: str, comment: str) -> None:
    """Which explainers may describe."""
    op.drop_constraint(op.f("ck__auto_interp__explainer"), "auto_interp", schema="atlas")
    op.create_check_constraint(op.f("ck__auto_interp__explainer"), "auto_interp", f"explainer IN ({words})", schema="atlas")
    op.alter_column("auto_interp", "explainer", existing_type=sa.Text(), existing_nullable=False, comment=comment, schema="atlas")
