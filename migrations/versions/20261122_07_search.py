"""Search in labels, questions and tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_07_search"
down_revision = "20261122_06_reingestion"
branch_labels = None
depends_on = None

INDEXES = {
    ("auto_interp", "description_words"): "to_tsvector('atlas.words'::regconfig, description)",
    ("sample", "question_words"): "to_tsvector('atlas.words'::regconfig, question)",
    ("example", "token_words"): "to_tsvector('atlas.words'::regconfig, tokens[max_token + 1])",
}
STRONGEST = {"example": "rank < 3"}  # weaker samples would make loading slower and say little more


def upgrade() -> None:
    # "above", "in" and "under" are stop words of the configuration english; here they are the subject
    op.execute("CREATE TEXT SEARCH DICTIONARY atlas.stem (TEMPLATE = snowball, LANGUAGE = english)")
    op.execute("COMMENT ON TEXT SEARCH DICTIONARY atlas.stem IS 'English word stems; no stop words'")
    op.execute("CREATE TEXT SEARCH CONFIGURATION atlas.words (COPY = pg_catalog.english)")
    op.execute("ALTER TEXT SEARCH CONFIGURATION atlas.words ALTER MAPPING REPLACE english_stem WITH atlas.stem")
    op.execute("COMMENT ON TEXT SEARCH CONFIGURATION atlas.words IS 'English word stems; keeps above, in, under, left of, ...'")
    for (table, name), expression in INDEXES.items():
        op.create_index(f"ix__{table}__{name}", table, [sa.text(expression)], schema="atlas", postgresql_using="gin", postgresql_where=STRONGEST.get(table))
    op.create_table(
        "label_embedding",
        sa.Column("model", sa.Text(), nullable=False, comment="embedding model, as its endpoint or folder is called"),
        sa.Column("revision", sa.Text(), nullable=False, comment="hash over a local model's files; empty for an endpoint, which tells none"),
        sa.Column("text_hash", sa.Text(), nullable=False, comment="sha256 of the description in UTF-8, hexadecimal"),
        sa.Column("description", sa.Text(), nullable=False, comment="the text that was embedded"),
        sa.Column("embedding", postgresql.ARRAY(sa.REAL()), nullable=False, comment="the vector; the smaller the angle, the nearer the meaning"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.CheckConstraint("'-infinity' < ALL (embedding) AND 'infinity' > ALL (embedding)", name=op.f("ck__label_embedding__embedding")),
        sa.CheckConstraint("cardinality(embedding) > 0", name=op.f("ck__label_embedding__n_dims")),
        sa.CheckConstraint("text_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck__label_embedding__text_hash")),
        sa.PrimaryKeyConstraint("model", "revision", "text_hash", name=op.f("pk__label_embedding")),
        schema="atlas",
        comment="a description as a vector, once per text and embedding model",
    )


def downgrade() -> None:
    op.drop_table("label_embedding", schema="atlas")
    for table, name in INDEXES:
        op.drop_index(f"ix__{table}__{name}", table, schema="atlas")
    op.execute("DROP TEXT SEARCH CONFIGURATION atlas.words")
    op.execute("DROP TEXT SEARCH DICTIONARY atlas.stem")
