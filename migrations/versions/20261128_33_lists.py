"""What readers keep of features, lists and comments, in a schema that no run touches.

Going back leaves it alone: it is people's work, and coming again finds it. `migrate` grants what
readers and writer may do in it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261128_33_lists"
down_revision = "20261128_32_stable"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if ask("SELECT to_regclass('lists.list')") is not None:
        return
    if ask("SELECT to_regnamespace('lists')") is None:
        if not ask("SELECT has_database_privilege(current_database(), 'CREATE')"):
            raise RuntimeError(f"may not make the schema lists: ask the administrator for CREATE SCHEMA lists AUTHORIZATION {ask('SELECT current_user')}, then run `feature-atlas migrate`.")
        op.execute("CREATE SCHEMA lists")
    op.execute("COMMENT ON SCHEMA lists IS 'What readers keep of features: lists and comments'")
    make_lists()
    make_entries()
    make_comments()


def make_lists() -> None:
    op.create_table(
        "list",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("slug", sa.Text(), nullable=False, comment="its name in addresses and SQL; never changes"),
        sa.Column("title", sa.Text(), nullable=False, comment="what it is called"),
        sa.Column("owner", sa.Text(), nullable=False, comment="who made it, as typed"),
        sa.Column("note", sa.Text(), nullable=True, comment="what it is for"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("length(note) <= 2000", name=op.f("ck__list__note")),
        sa.CheckConstraint("length(owner) BETWEEN 1 AND 100", name=op.f("ck__list__owner")),
        sa.CheckConstraint("length(slug) BETWEEN 1 AND 100", name=op.f("ck__list__slug")),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 200", name=op.f("ck__list__title")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__list")),
        sa.UniqueConstraint("slug", name=op.f("uq__list__slug")),
        schema="lists",
        comment="a list of features that a reader keeps",
    )
    op.create_index("uq__list__title", "list", [sa.literal_column("lower(title)")], unique=True, schema="lists")


def make_entries() -> None:
    op.create_table(
        "entry",
        sa.Column("list_id", sa.Integer(), nullable=False, comment="the list"),
        sa.Column("dictionary", sa.Text(), nullable=False, comment="fingerprint of the base SAEs (atlas.sae_set): with layer and feature, the feature"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("note", sa.Text(), nullable=True, comment="why it is in the list"),
        sa.Column("added_by", sa.Text(), nullable=False, comment="who put it there, as typed"),
        sa.Column("run", sa.Text(), nullable=True, comment="name of the run in which it was seen; the run may be gone"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__entry__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__entry__layer")),
        sa.CheckConstraint("length(added_by) BETWEEN 1 AND 100", name=op.f("ck__entry__added_by")),
        sa.CheckConstraint("length(note) <= 2000", name=op.f("ck__entry__note")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.list.id"], name=op.f("fk__entry__list_id__list"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("list_id", "dictionary", "layer", "feature", name=op.f("pk__entry")),
        schema="lists",
        comment="a feature in a list",
    )
    op.create_index(op.f("ix__entry__dictionary_layer_feature"), "entry", ["dictionary", "layer", "feature"], unique=False, schema="lists")


def make_comments() -> None:
    op.create_table(
        "comment",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("dictionary", sa.Text(), nullable=False, comment="fingerprint of the base SAEs (atlas.sae_set): with layer and feature, the feature"),
        sa.Column("layer", sa.SmallInteger(), nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("said", sa.Text(), nullable=False, comment="the remark"),
        sa.Column("author", sa.Text(), nullable=False, comment="who, as typed"),
        sa.Column("run", sa.Text(), nullable=True, comment="name of the run in which it was seen; the run may be gone"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__comment__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__comment__layer")),
        sa.CheckConstraint("length(author) BETWEEN 1 AND 100", name=op.f("ck__comment__author")),
        sa.CheckConstraint("length(said) BETWEEN 1 AND 2000", name=op.f("ck__comment__said")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__comment")),
        schema="lists",
        comment="a reader's remark on a feature",
    )
    op.create_index(op.f("ix__comment__dictionary_layer_feature"), "comment", ["dictionary", "layer", "feature"], unique=False, schema="lists")


def downgrade() -> None:
    """Nothing: it is people's work."""


def ask(query: str) -> Any:
    return op.get_bind().scalar(sa.text(query))
