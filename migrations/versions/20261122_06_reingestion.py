"""What scheduled re-ingestion leaves: the ledger of SAE runs, and the drift of each new run."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_06_reingestion"
down_revision = "20261122_05_reader"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_sae_source()
    _create_drift_report()
    _create_drift()


def _create_sae_source() -> None:
    op.create_table(
        "sae_source",
        sa.Column("uri", sa.Text(), nullable=False, comment="the folder: an absolute path, or a URL without credentials"),
        sa.Column("kind", sa.Text(), nullable=False, comment="a finished run folder, or SAEs by layer in either layout"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="sha256 over the contents of its files, and over the settings it is built with"),
        sa.Column("state", sa.Text(), nullable=False, comment="seen: tried again next time; broken: left alone until its content changes"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it is broken, or what it waits for"),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when this place was first seen"),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when it was last there"),
        sa.Column("run_id", sa.Integer(), nullable=True, comment="the run it became; none of a published one: that run was dropped"),
        sa.CheckConstraint("kind IN ('run_folder', 'sae_lens_folder', 'llama_scope_folder')", name=op.f("ck__sae_source__kind")),
        sa.CheckConstraint("state IN ('seen', 'building', 'published', 'broken')", name=op.f("ck__sae_source__state")),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__sae_source__run_id__run"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk__sae_source")),
        schema="atlas",
        comment="the ledger of re-ingestion: what lies where, and its state",
    )


def _create_drift_report() -> None:
    op.create_table(
        "drift_report",
        sa.Column("run_id", sa.Integer(), nullable=False, comment="the later run"),
        sa.Column("against_run_id", sa.Integer(), nullable=False, comment="the run it was compared with"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="when written"),
        sa.Column("cosine_threshold", sa.DOUBLE_PRECISION(), nullable=False, comment="decoder cosines further apart than this count as changed: no interval is known"),
        sa.Column("energy_factor", sa.DOUBLE_PRECISION(), nullable=False, comment="visual energies whose ratio is above this count as changed: no interval is known"),
        sa.Column("energy_floor", sa.DOUBLE_PRECISION(), nullable=False, comment="added to both energies before the ratio, normalised units squared"),
        sa.Column("n_features", sa.BigInteger(), nullable=False, comment="features that both runs have"),
        sa.Column("n_changed", sa.BigInteger(), nullable=False, comment="of them, those that changed in any way"),
        sa.CheckConstraint("cosine_threshold BETWEEN 0 AND 2", name=op.f("ck__drift_report__cosine_threshold")),
        sa.CheckConstraint("energy_factor >= 1 AND energy_factor < 'infinity'", name=op.f("ck__drift_report__energy_factor")),
        sa.CheckConstraint("energy_floor >= 0 AND energy_floor < 'infinity'", name=op.f("ck__drift_report__energy_floor")),
        sa.CheckConstraint("n_changed >= 0", name=op.f("ck__drift_report__n_changed")),
        sa.CheckConstraint("n_features >= 0", name=op.f("ck__drift_report__n_features")),
        sa.CheckConstraint("run_id <> against_run_id", name=op.f("ck__drift_report__two_runs")),
        sa.ForeignKeyConstraint(["against_run_id"], ["atlas.run.id"], name=op.f("fk__drift_report__against_run_id__run"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["atlas.run.id"], name=op.f("fk__drift_report__run_id__run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "against_run_id", name=op.f("pk__drift_report")),
        schema="atlas",
        comment="a run compared with the run before it; its features are in drift",
    )


def _create_drift() -> None:
    op.create_table(
        "drift",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False, comment="the later run"),
        sa.Column("against_run_id", sa.Integer(), autoincrement=False, nullable=False, comment="the run it was compared with"),
        sa.Column("kind", sa.Text(), nullable=False, comment="what changed: beyond a threshold (cosine, visual_energy), beyond both 95 % intervals (odds ratios, ablation), another label, or a set entered or left"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("value_before", sa.REAL(), nullable=True, comment="the measure in the run before"),
        sa.Column("value_after", sa.REAL(), nullable=True, comment="the measure in the later run"),
        sa.Column("change", sa.REAL(), nullable=True, comment="after minus before (cosine, ablation), or log of after over before (energy, odds ratios)"),
        sa.Column("label_before", sa.Text(), nullable=True, comment="the description in the run before, of a changed label"),
        sa.Column("label_after", sa.Text(), nullable=True, comment="the description in the later run, of a changed label"),
        sa.CheckConstraint("change > '-infinity' AND change < 'infinity'", name=op.f("ck__drift__change")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__drift__feature")),
        sa.CheckConstraint("kind IN ('cosine', 'visual_energy', 'spatial_odds_ratio', 'ocr_odds_ratio', 'ablation', 'label', 'newly_adapted', 'no_longer_adapted', 'newly_spatial', 'no_longer_spatial', 'newly_ocr', 'no_longer_ocr')", name=op.f("ck__drift__kind")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__drift__layer")),
        sa.CheckConstraint("value_after > '-infinity' AND value_after < 'infinity'", name=op.f("ck__drift__value_after")),
        sa.CheckConstraint("value_before > '-infinity' AND value_before < 'infinity'", name=op.f("ck__drift__value_before")),
        sa.ForeignKeyConstraint(["run_id", "against_run_id"], ["atlas.drift_report.run_id", "atlas.drift_report.against_run_id"], name=op.f("fk__drift__run_id_against_run_id__drift_report"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "against_run_id", "kind", "layer", "feature", name=op.f("pk__drift")),
        schema="atlas",
        comment="a feature that changed between two runs, one row per kind of change",
    )


def downgrade() -> None:
    op.drop_table("drift", schema="atlas")
    op.drop_table("drift_report", schema="atlas")
    op.drop_table("sae_source", schema="atlas")
