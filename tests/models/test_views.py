"""The views on a run whose numbers are known (tests/support/run_folder.py)."""

from collections.abc import Iterator

import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine


@pytest.fixture
def connection(loaded_engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone."""
    with loaded_engine.connect() as connection:
        yield connection
        connection.rollback()


def test_the_funnel_only_narrows(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.funnel ORDER BY skill, step_no", connection)

    assert rows.set_index(["skill", "step"]).n_features.to_dict() == {
        ("ocr", "all features"): 128,
        ("ocr", "adapted"): 32,
        ("ocr", "candidates"): 2,
        ("ocr", "survive neutral prompts"): 0,
        ("spatial", "all features"): 128,
        ("spatial", "adapted"): 32,
        ("spatial", "candidates"): 12,
        ("spatial", "survive neutral prompts"): 8,
    }


def test_layers_add_up_to_the_run(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.layer_summary", connection)

    assert rows.n_features.tolist() == [64, 64]
    assert rows.n_adapted.sum() == 32
    assert (rows.mean_cosine_adapted < rows.mean_cosine).all()


def test_the_label_is_the_best_description(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.feature WHERE feature < 6", connection)

    assert rows[rows.feature < 4].label.tolist() == ["asks for left of"] * 8
    assert rows[rows.feature < 4].f1.round(3).tolist() == [0.8] * 8
    assert rows[rows.feature >= 4].label.isna().all()


@pytest.mark.parametrize(
    ("verdict", "description", "label"),
    [
        ("accept", None, "asks for left of"),
        ("edit", "the word left", "the word left"),
        ("reject", None, None),
    ],
)
def test_the_newest_review_decides_the_label(
    verdict: str, description: str | None, label: str | None, connection: Connection
):
    review = text(
        "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer,"
        " created_at) SELECT id, 1, 2, :verdict, :description, 'Ada', now() + :age"
        " FROM atlas.current_run"
    )
    connection.execute(
        review, {"verdict": "edit", "description": "an older word", "age": pd.Timedelta(days=-1)}
    )
    connection.execute(
        review, {"verdict": verdict, "description": description, "age": pd.Timedelta(0)}
    )

    row = connection.execute(
        text("SELECT label, label_source FROM atlas.feature WHERE layer = 1 AND feature = 2")
    ).one()

    assert row == (label, "review")


def test_a_removal_stands_beside_its_controls_and_general_questions(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.ablation_summary ORDER BY delta_vsr", connection)

    assert len(rows) == 8
    assert rows.feature[:2].tolist() == [0, 0]
    assert rows.delta_vsr[:2].tolist() == [-0.25, -0.25]
    assert (rows.n_controls == 3).all()
    assert (rows.control_min <= rows.control_mean).all()
    assert (rows.control_mean <= rows.control_max).all()
    assert rows.delta_vqa.abs().max() <= 0.02
    assert (rows.relation[rows.feature == 1] == "right of").all()
    assert rows.odds_ratio.notna().all()


def test_the_head_that_helps_most_comes_first_by_either_method(connection: Connection):
    rows = pd.read_sql("SELECT * FROM atlas.head_ranking WHERE place = 1", connection)

    assert set(rows.method) == {"A", "B"}
    assert (rows["head"] == 0).all()
    assert (rows.mean_score == 4).all()


def test_a_published_run_that_was_superseded_stays_readable(fresh_url: str, run_folder, tmp_path):
    from run_folder import write_run_folder

    engine = make_engine(fresh_url)
    old = ingest(run_folder, engine).run_id
    new = ingest(write_run_folder(tmp_path, seed=1), engine).run_id
    rows = pd.read_sql("SELECT run_id, count(*) FROM atlas.feature_all_runs GROUP BY 1", engine)
    current = pd.read_sql("SELECT DISTINCT run_id FROM atlas.feature", engine)
    engine.dispose()

    assert dict(zip(rows.run_id, rows["count"], strict=True)) == {old: 128, new: 128}
    assert current.run_id.tolist() == [new]
