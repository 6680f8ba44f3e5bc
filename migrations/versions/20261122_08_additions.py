"""When a measurement joined its run, and what it read; a published run cannot be changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# one column, one line
# fmt: off

revision = "20261122_08_additions"
down_revision = "20261122_07_search"
branch_labels = None
depends_on = None

# of a run; the wide row is a copy of some of them, and a review is no fact
DENSE = ("decoder_cosine", "visual_energy", "firing_shift", "selection")
SPARSE = (
    "training_curve",
    "example",
    "candidate",
    "neutral_prompt",
    "auto_interp",
    "head_attribution",
    "overlay",
    "ablation",
    "ablation_outcome",
)


def upgrade() -> None:
    op.alter_column("run", "published_at", comment="when readers saw it as the published run: at first, or when it was promoted again", existing_comment="when readers could first see it", schema="atlas")
    op.alter_column("run", "state", comment="building -> published <-> superseded, or failed -> building", existing_comment="building -> published -> superseded, or failed", schema="atlas")
    op.add_column("measurement", sa.Column("inputs", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False, comment="fingerprints of what it read, by name: the model, the SAEs, each dataset, the stages before it"), schema="atlas")
    op.add_column("measurement", sa.Column("dirty", sa.Boolean(), nullable=True, comment="whether the code had uncommitted changes"), schema="atlas")
    op.add_column("measurement", sa.Column("added_at", sa.DateTime(timezone=True), nullable=True, comment="when it joined a run that was already published; NULL: part of the first publication"), schema="atlas")
    op.execute("""
        UPDATE atlas.measurement SET dirty = run.dirty,
            inputs = jsonb_build_object('vlm', vlm.fingerprint, 'sae_set', sae_set.fingerprint)
        FROM atlas.run JOIN atlas.vlm ON vlm.id = run.vlm_id
        JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = measurement.run_id
    """)
    op.alter_column("measurement", "dirty", nullable=False, schema="atlas")
    # without it, removing one measurement reads every row of every run
    for table in (*DENSE, *SPARSE):
        op.create_index(f"ix__{table}__measurement_id", table, ["measurement_id"], schema="atlas", postgresql_using="brin")
    _guard_runs()
    _mark_additions()
    _guard_facts()


def _guard_runs() -> None:
    op.execute("""
        CREATE FUNCTION atlas.guard_run() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            may_change text[] := '{state, published_at, parent_id}';
            grandparent integer := (SELECT parent_id FROM atlas.run WHERE id = OLD.parent_id);
        BEGIN
            IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
                ('building', 'published'), ('building', 'failed'), ('failed', 'building'),
                ('published', 'superseded'), ('superseded', 'published')
            ) THEN
                RAISE EXCEPTION 'run %: % cannot become %', OLD.slug, OLD.state, NEW.state
                    USING ERRCODE = 'check_violation';
            END IF;
            IF OLD.state NOT IN ('published', 'superseded') THEN
                RETURN NEW;
            END IF;
            IF to_jsonb(NEW) - may_change <> to_jsonb(OLD) - may_change
                OR (NEW.published_at <> OLD.published_at AND NEW.state = OLD.state)
                OR (NEW.parent_id IS DISTINCT FROM OLD.parent_id
                    AND NEW.parent_id IS DISTINCT FROM grandparent)
            THEN
                RAISE EXCEPTION 'run % is %: it never changes', OLD.slug, OLD.state
                    USING ERRCODE = 'check_violation',
                    HINT = 'add a measurement to it, or load another run';
            END IF;
            RETURN NEW;
        END
        $$
    """)
    op.execute("COMMENT ON FUNCTION atlas.guard_run() IS 'keeps a run to its states, and a published run as it is'")
    op.execute("CREATE TRIGGER guard_run BEFORE UPDATE ON atlas.run FOR EACH ROW EXECUTE FUNCTION atlas.guard_run()")


def _mark_additions() -> None:
    op.execute("""
        CREATE FUNCTION atlas.mark_addition() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.added_at := (
                SELECT clock_timestamp() FROM atlas.run
                WHERE id = NEW.run_id AND state IN ('published', 'superseded')
            );
            RETURN NEW;
        END
        $$
    """)
    op.execute("COMMENT ON FUNCTION atlas.mark_addition() IS 'a measurement that joins a published run says so'")
    op.execute("CREATE TRIGGER mark_addition BEFORE INSERT ON atlas.measurement FOR EACH ROW EXECUTE FUNCTION atlas.mark_addition()")


def _guard_facts() -> None:
    op.execute("""
        CREATE FUNCTION atlas.guard_fact() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% holds what was measured: it never changes', TG_TABLE_NAME
                USING ERRCODE = 'check_violation',
                HINT = 'add a measurement to the run, or load another run';
        END
        $$
    """)
    op.execute("COMMENT ON FUNCTION atlas.guard_fact() IS 'refuses to change what was measured'")
    for table in ("measurement", *DENSE, "feature_record", *SPARSE):
        op.execute(f"CREATE TRIGGER guard_fact BEFORE UPDATE ON atlas.{table} FOR EACH ROW EXECUTE FUNCTION atlas.guard_fact()")


def downgrade() -> None:
    for table in ("measurement", *DENSE, "feature_record", *SPARSE):
        op.execute(f"DROP TRIGGER guard_fact ON atlas.{table}")
    op.execute("DROP TRIGGER mark_addition ON atlas.measurement")
    op.execute("DROP TRIGGER guard_run ON atlas.run")
    for function in ("guard_fact", "mark_addition", "guard_run"):
        op.execute(f"DROP FUNCTION atlas.{function}()")
    for table in (*DENSE, *SPARSE):
        op.drop_index(f"ix__{table}__measurement_id", table, schema="atlas")
    for column in ("added_at", "dirty", "inputs"):
        op.drop_column("measurement", column, schema="atlas")
    op.alter_column("run", "state", comment="building -> published -> superseded, or failed", schema="atlas")
    op.alter_column("run", "published_at", comment="when readers could first see it", schema="atlas")
