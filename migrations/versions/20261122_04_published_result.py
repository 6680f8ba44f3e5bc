"""The paper's Tables 1 and 2, as printed."""

import sqlalchemy as sa
from alembic import op

# one column, one line
# fmt: off

revision = "20261122_04_published_result"
down_revision = "20261122_03_sparse_facts"
branch_labels = None
depends_on = None


# layer, feature, delta VSR, delta VQA, delta control (percentage points), relation, odds ratio
TABLE_1 = [
    (7, 15870, -15.54, -0.10, -0.88, "above", 4.32),
    (11, 27061, -12.77, -0.40, 0.00, "across from", 8.03),
    (9, 15404, -11.19, -0.80, 1.08, "below", 5.60),
    (14, 17873, -10.21, -0.30, -1.71, "at the right side of", 7.17),
    (12, 23874, -9.05, -0.40, -0.95, "left of", 9.10),
    (18, 29948, -7.98, -0.30, 0.00, "beside", 8.36),
]

# layer, feature, delta VSR (points), its probability, delta VQA, delta control (points),
# odds ratio, samples, relations
TABLE_2 = [
    (11, 27061, -13.30, -0.09, -0.40, 0.00, 8.03, 94, "across from"),
    (12, 23874, -10.24, -0.10, -0.40, -0.95, 9.10, 210, "left of"),
    (18, 29948, -7.98, -0.09, -0.30, 0.00, 8.36, 188, "beside"),
    (23, 4060, -5.85, -0.00, -0.70, -1.06, 7.47, 94, "at the back of"),
    (14, 17873, -10.00, -0.07, -0.30, -2.71, 7.17, 480, "at the right side of"),
    (9, 15404, -11.19, -0.07, -0.80, 1.08, 5.60, 277, "below"),
    (7, 6986, -10.87, -0.03, -0.50, 0.34, 4.74, 589, "under"),
    (7, 15870, -15.54, -0.09, -0.10, -0.88, 4.32, 341, "above"),
    (10, 5121, -7.92, -0.06, -0.10, 0.12, 4.22, 846, "above, on top of"),
    (11, 24089, -7.68, -0.05, -0.60, -0.12, 4.18, 846, "above, on top of"),
    (12, 13305, -6.38, -0.05, -0.70, 0.24, 4.17, 846, "above, on top of"),
]


def upgrade() -> None:
    table = op.create_table(
        "published_result",
        sa.Column("table_no", sa.SmallInteger(), autoincrement=False, nullable=False, comment="the paper's table, 1 or 2"),
        sa.Column("layer", sa.SmallInteger(), autoincrement=False, nullable=False, comment="decoder layer whose output the SAE reads, 0-based"),
        sa.Column("feature", sa.Integer(), autoincrement=False, nullable=False, comment="index in the base dictionary; adapted SAEs keep it"),
        sa.Column("delta_vsr", sa.DOUBLE_PRECISION(), nullable=False, comment="accuracy on VSR, after minus before, percentage points; below 0: the removal hurts"),
        sa.Column("delta_vsr_probability", sa.DOUBLE_PRECISION(), nullable=True, comment="probability of the right answer on VSR, after minus before, fraction (Table 2)"),
        sa.Column("delta_vqa", sa.DOUBLE_PRECISION(), nullable=False, comment="accuracy on VQA, after minus before, percentage points"),
        sa.Column("delta_control", sa.DOUBLE_PRECISION(), nullable=False, comment="accuracy on VSR, random features of the layer removed, percentage points"),
        sa.Column("vsr_odds_ratio", sa.DOUBLE_PRECISION(), nullable=False, comment="odds of firing, VSR over base; above 1: fires more"),
        sa.Column("n_samples", sa.BigInteger(), nullable=True, comment="VSR statements evaluated (Table 2)"),
        sa.Column("relations", sa.Text(), nullable=False, comment="spatial relations of the statements"),
        sa.CheckConstraint("delta_control > '-infinity' AND delta_control < 'infinity'", name=op.f("ck__published_result__delta_control")),
        sa.CheckConstraint("delta_vqa > '-infinity' AND delta_vqa < 'infinity'", name=op.f("ck__published_result__delta_vqa")),
        sa.CheckConstraint("delta_vsr > '-infinity' AND delta_vsr < 'infinity'", name=op.f("ck__published_result__delta_vsr")),
        sa.CheckConstraint("delta_vsr_probability > '-infinity' AND delta_vsr_probability < 'infinity'", name=op.f("ck__published_result__delta_vsr_probability")),
        sa.CheckConstraint("vsr_odds_ratio >= 0 AND vsr_odds_ratio < 'infinity'", name=op.f("ck__published_result__vsr_odds_ratio")),
        sa.CheckConstraint("feature >= 0", name=op.f("ck__published_result__feature")),
        sa.CheckConstraint("layer >= 0", name=op.f("ck__published_result__layer")),
        sa.CheckConstraint("n_samples >= 0", name=op.f("ck__published_result__n_samples")),
        sa.PrimaryKeyConstraint("table_no", "layer", "feature", name=op.f("pk__published_result")),
        schema="atlas",
        comment="the paper's Tables 1 (5.3) and 2 (D), as printed",
    )

    # Table 1 states some features otherwise than Table 2: both are kept as printed
    rows_1 = [(1, layer, feature, vsr, None, vqa, control, odds_ratio, None, relation) for layer, feature, vsr, vqa, control, relation, odds_ratio in TABLE_1]
    rows_2 = [(2, *row) for row in TABLE_2]
    columns = [column.name for column in table.columns]
    op.bulk_insert(table, [dict(zip(columns, row, strict=True)) for row in rows_1 + rows_2])


def downgrade() -> None:
    op.drop_table("published_result", schema="atlas")
