"""What was studied, on what, in which run: the tables that others refer to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_01_registry"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_regime()
    _create_skill()
    _create_vlm()
    _create_sae_set()
    _create_dataset()
    _create_image()
    _create_sample()
    _create_run()
    _create_measurement()

    op.execute("INSERT INTO atlas.regime (id, name) VALUES (1, 'text'), (2, 'image'), (3, 'full'), (4, 'random')")
    op.execute("INSERT INTO atlas.skill (name) VALUES ('spatial'), ('ocr'), ('vsr')")


def _create_regime() -> None:
    op.create_table(
        "regime",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="1 text, 2 image, 3 full, 4 random"),
        sa.Column("name", sa.Text(), nullable=False, comment="text: text tokens only, as the paper chose; image; full; random: untrained control"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__regime")),
        sa.UniqueConstraint("name", name=op.f("uq__regime__name")),
        schema="atlas",
        comment="one way of choosing the tokens that adapt the SAE (3.2)",
    )


def _create_skill() -> None:
    op.create_table(
        "skill",
        sa.Column("id", sa.SmallInteger(), sa.Identity(always=False), nullable=False, comment="surrogate key"),
        sa.Column("name", sa.Text(), nullable=False, comment="spatial, ocr, vsr, or your own"),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment="patterns, question types and neutral prompts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__skill")),
        sa.UniqueConstraint("name", name=op.f("uq__skill__name")),
        schema="atlas",
        comment="a kind of question that is compared with all questions (4.3)",
    )


def _create_vlm() -> None:
    op.create_table(
        "vlm",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("name", sa.Text(), nullable=False, comment="repository or path it was loaded from"),
        sa.Column("revision", sa.Text(), nullable=True, comment="commit of the checkpoint in its repository; none for a local folder"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="hash over the weight files"),
        sa.Column("architecture", sa.Text(), nullable=False, comment="class in transformers"),
        sa.Column("n_layers", sa.SmallInteger(), nullable=False, comment="decoder layers"),
        sa.Column("d_model", sa.Integer(), nullable=False, comment="width of the residual stream"),
        sa.Column("n_heads", sa.SmallInteger(), nullable=False, comment="query heads per layer"),
        sa.Column("n_kv_heads", sa.SmallInteger(), nullable=False, comment="key and value heads per layer"),
        sa.Column("base_name", sa.Text(), nullable=False, comment="the language model before it saw images"),
        sa.Column("base_fingerprint", sa.Text(), nullable=True, comment="hash over the base model's weight files, if they were at hand"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__vlm")),
        sa.UniqueConstraint("name", "revision", "fingerprint", name=op.f("uq__vlm__name_revision_fingerprint"), postgresql_nulls_not_distinct=True),
        schema="atlas",
        comment="a checkpoint of a vision-language model and its base language model",
    )


def _create_sae_set() -> None:
    op.create_table(
        "sae_set",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("name", sa.Text(), nullable=False, comment="what the release is called here"),
        sa.Column("release", sa.Text(), nullable=False, comment="release or path the SAEs were loaded from"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="hash over the weight files"),
        sa.Column("gate", sa.Text(), nullable=False, comment="which pre-activations survive, e.g. topk"),
        sa.Column("k", sa.Integer(), nullable=False, comment="features that may fire on one token"),
        sa.Column("d_sae", sa.Integer(), nullable=False, comment="features per layer"),
        sa.Column("d_model", sa.Integer(), nullable=False, comment="width of the residual stream"),
        sa.Column("hook_site", sa.Text(), nullable=False, comment="where the SAE reads, e.g. resid_post"),
        sa.Column("layers", postgresql.ARRAY(sa.SmallInteger()), nullable=False, comment="decoder layers that have an SAE, 0-based"),
        sa.Column("activation_scale", postgresql.ARRAY(sa.REAL()), nullable=False, comment="factor from raw to normalised residual, one per layer of layers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__sae_set")),
        sa.UniqueConstraint("name", "release", "fingerprint", name=op.f("uq__sae_set__name_release_fingerprint")),
        schema="atlas",
        comment="a release of base SAEs, one per layer (3.1)",
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("name", sa.Text(), nullable=False, comment="what the dataset is called"),
        sa.Column("kind", sa.Text(), nullable=False, comment="file format it was read from"),
        sa.Column("split", sa.Text(), nullable=False, comment="train, validation, test, ..."),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="hash over the annotation files"),
        sa.Column("n_samples", sa.BigInteger(), nullable=False, comment="questions that were used"),
        sa.CheckConstraint("kind IN ('vqav2', 'vsr')", name=op.f("ck__dataset__kind")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__dataset__n_samples")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__dataset")),
        sa.UniqueConstraint("name", "split", "fingerprint", name=op.f("uq__dataset__name_split_fingerprint")),
        schema="atlas",
        comment="a split of a dataset of questions about images",
    )


def _create_image() -> None:
    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="hash of the image file, hexadecimal"),
        sa.Column("width", sa.Integer(), nullable=False, comment="pixels"),
        sa.Column("height", sa.Integer(), nullable=False, comment="pixels"),
        sa.Column("uri", sa.Text(), nullable=False, comment="where the image file is"),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=False, comment="small PNG or JPEG for dashboards"),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck__image__sha256")),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck__image__size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__image")),
        sa.UniqueConstraint("sha256", name=op.f("uq__image__sha256")),
        schema="atlas",
        comment="an image that questions are about",
    )


def _create_sample() -> None:
    op.create_table(
        "sample",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("dataset_id", sa.Integer(), nullable=False, comment="where the question comes from"),
        sa.Column("external_id", sa.Text(), nullable=False, comment="the dataset's own id of the question"),
        sa.Column("image_id", sa.BigInteger(), nullable=False, comment="the image it is about"),
        sa.Column("question", sa.Text(), nullable=False, comment="question, or statement to judge (VSR)"),
        sa.Column("answer", sa.Text(), nullable=False, comment="the most common human answer; yes or no for VSR"),
        sa.Column("question_type", sa.Text(), nullable=True, comment="first words, as VQAv2 groups them"),
        sa.Column("answer_type", sa.Text(), nullable=True, comment="yes/no, number or other (VQAv2)"),
        sa.Column("relation", sa.Text(), nullable=True, comment="spatial relation asked about, if known"),
        sa.Column("truth", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="what is known of the scene, for drawn images"),
        sa.ForeignKeyConstraint(["dataset_id"], ["atlas.dataset.id"], name=op.f("fk__sample__dataset_id__dataset")),
        sa.ForeignKeyConstraint(["image_id"], ["atlas.image.id"], name=op.f("fk__sample__image_id__image")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__sample")),
        sa.UniqueConstraint("dataset_id", "external_id", name=op.f("uq__sample__dataset_id_external_id")),
        schema="atlas",
        comment="a question about an image, with its answer",
    )
    op.create_index(op.f("ix__sample__image_id"), "sample", ["image_id"], unique=False, schema="atlas")


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("slug", sa.Text(), nullable=False, comment="name of the run folder"),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="every setting of the run"),
        sa.Column("config_hash", sa.Text(), nullable=False, comment="sha256 of the settings and inputs, hexadecimal"),
        sa.Column("parent_id", sa.Integer(), nullable=True, comment="the run that this one superseded"),
        sa.Column("vlm_id", sa.Integer(), nullable=False, comment="the model studied"),
        sa.Column("sae_set_id", sa.Integer(), nullable=False, comment="the base SAEs it starts from"),
        sa.Column("code_version", sa.Text(), nullable=False, comment="git commit, or version of the package"),
        sa.Column("dirty", sa.Boolean(), nullable=False, comment="whether the code had uncommitted changes"),
        sa.Column("state", sa.Text(), nullable=False, comment="building -> published -> superseded, or failed"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True, comment="when readers could first see it"),
        sa.Column("n_layers", sa.SmallInteger(), nullable=False, comment="layers that have an SAE"),
        sa.Column("d_sae", sa.Integer(), nullable=False, comment="features per layer"),
        sa.Column("checksum", sa.Text(), nullable=False, comment="sha256 over the hashes of all files of the run"),
        sa.CheckConstraint("(state IN ('published', 'superseded')) = (published_at IS NOT NULL)", name=op.f("ck__run__published_at")),
        sa.CheckConstraint("config_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck__run__config_hash")),
        sa.CheckConstraint("state IN ('building', 'published', 'superseded', 'failed')", name=op.f("ck__run__state")),
        sa.ForeignKeyConstraint(["parent_id"], ["atlas.run.id"], name=op.f("fk__run__parent_id__run")),
        sa.ForeignKeyConstraint(["sae_set_id"], ["atlas.sae_set.id"], name=op.f("fk__run__sae_set_id__sae_set")),
        sa.ForeignKeyConstraint(["vlm_id"], ["atlas.vlm.id"], name=op.f("fk__run__vlm_id__vlm")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__run")),
        sa.UniqueConstraint("config_hash", name=op.f("uq__run__config_hash")),
        schema="atlas",
        comment="a version of the atlas for one VLM and one set of SAEs",
    )
    op.create_index(op.f("ix__run__state_published_at"), "run", ["state", "published_at"], unique=False, schema="atlas")


def _create_measurement() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="surrogate key"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the run this row belongs to"),
        sa.Column("stage", sa.Text(), nullable=False, comment="name of the stage"),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the stage's settings"),
        sa.Column("params_hash", sa.Text(), nullable=False, comment="hash of the settings"),
        sa.Column("input_fingerprint", sa.Text(), nullable=False, comment="hash of everything the stage read"),
        sa.Column("seeds", postgresql.ARRAY(sa.Integer()), nullable=False, comment="random seeds used"),
        sa.Column("device", sa.Text(), nullable=False, comment="where it ran, e.g. cpu or cuda:0"),
        sa.Column("code_version", sa.Text(), nullable=False, comment="git commit, or version of the package"),
        sa.Column("libraries", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="versions of the libraries used"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="when it began"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False, comment="when it ended"),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="rows it produced, over all tables"),
        sa.Column("checksum", sa.Text(), nullable=False, comment="sha256 over the hashes of its files"),
        sa.CheckConstraint("rows >= 0", name=op.f("ck__measurement__rows")),
        sa.CheckConstraint("started_at <= finished_at", name=op.f("ck__measurement__duration")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__measurement__run_id__run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk__measurement")),
        sa.UniqueConstraint("run_id", "stage", "params_hash", name=op.f("uq__measurement__run_id_stage_params_hash")),
        schema="atlas",
        comment="an execution of one stage of a run: the provenance of its rows",
    )


def downgrade() -> None:
    op.drop_table("measurement", schema="atlas")
    op.drop_table("run", schema="atlas")
    op.drop_table("sample", schema="atlas")
    op.drop_table("image", schema="atlas")
    op.drop_table("dataset", schema="atlas")
    op.drop_table("sae_set", schema="atlas")
    op.drop_table("vlm", schema="atlas")
    op.drop_table("skill", schema="atlas")
    op.drop_table("regime", schema="atlas")
