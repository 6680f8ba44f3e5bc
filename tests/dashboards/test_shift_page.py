"""The page "Shift": one skill against pandas, a skill of one's own, what was not measured."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st
from databases import temporary_database
from run_folder import seal, write_run_folder

from feature_atlas.dashboards import queries
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

PAGE = "features/shift.py"
OWN = '<b>my</b> ![skill](https://elsewhere.example/x.png) `$1` & "co"'


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


@pytest.fixture
def shifts(full_atlas: str, written) -> pd.DataFrame:
    """Adapted features on spatial questions."""
    rows = written("firing_shift", skill="spatial")
    return rows[written("selection").is_adapted]


@pytest.fixture(scope="module")
def own_skill_url(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An atlas whose run measured a skill of one's own in the place of OCR."""
    folder = write_run_folder(tmp_path_factory.mktemp("own_skill"))
    _rename_ocr(folder / "firing_shift" / "firing_shift.0.parquet")
    seal(folder)
    with temporary_database(postgres_url, template_database) as url:
        engine = make_engine(url)
        ingest(folder, engine)
        engine.dispose()
        yield url


def _rename_ocr(path: Path) -> None:
    table = pq.read_table(path)
    names = [OWN if name == "ocr" else name for name in table["skill"].to_pylist()]
    place = table.schema.get_field_index("skill")
    pq.write_table(table.set_column(place, "skill", pa.array(names)), path)


def test_a_skills_funnel_is_that_of_the_overview(run_id) -> None:
    steps = queries.skill_funnel(run_id, "spatial")

    overview = queries.funnel(run_id)
    expected = overview[overview.skill == "spatial"].reset_index(drop=True)
    pd.testing.assert_frame_equal(steps, expected)
    assert queries.skill_funnel(run_id, "no'such").n_features.tolist() == [128, 0, 0, 0]


def test_levels_are_quartiles_of_the_candidates(run_id, shifts) -> None:
    levels = queries.shift_levels(run_id, "spatial").set_index("level")

    candidates = shifts[shifts.is_candidate]
    assert levels.index.tolist() == [
        "tokens", "images resampled", "questions", "question tokens", "equal length"
    ]  # fmt: skip
    for level, name in (("images resampled", "odds_ratio"), ("questions", "question_odds_ratio")):
        found = levels.loc[level, ["lower", "median", "upper"]].tolist()
        expected = candidates[name].astype(float).quantile([0.25, 0.5, 0.75])
        assert found == pytest.approx(expected.tolist(), rel=1e-5)
    assert levels.n_above["images resampled"] == (candidates.odds_ratio_boot_low > 1).sum()
    assert "equal length" not in set(queries.shift_levels(run_id, "vsr").level)  # no pairs


def test_candidates_come_with_the_interval_of_their_level(run_id, shifts, written) -> None:
    found = queries.shift_candidates(run_id, "spatial", "questions", 99)

    expected = shifts[shifts.is_candidate].set_index(["layer", "feature"])
    assert len(found) == len(expected) == 12
    assert found.survives.tolist() == [True] * 8 + [False] * 4
    first = expected.loc[(found.layer[0], found.feature[0])]
    assert first.question_odds_ratio_low == pytest.approx(found.low[0])
    assert first.question_delta_p == pytest.approx(found.delta_p[0])
    assert (found.n_samples[0], found.n_fired[0]) == (30, 20)
    assert len(queries.shift_candidates(run_id, "spatial", "tokens", 3)) == 3


@pytest.mark.parametrize("n_bins", [1, 50])
def test_the_cloud_is_the_adapted_that_are_no_candidates(run_id, shifts, n_bins) -> None:
    cloud = queries.shift_cloud(run_id, "spatial", "tokens", n_bins)

    others = shifts[~shifts.is_candidate]
    assert cloud.n_features.sum() == len(others) == 20
    assert cloud.delta_p.between(others.delta_p.min(), others.delta_p.max()).all()
    assert cloud.odds_ratio.between(others.odds_ratio.min(), others.odds_ratio.max()).all()


def test_neutral_prompts_are_averaged_over_candidates(run_id) -> None:
    prompts = queries.neutral_by_prompt(run_id, "spatial")

    assert prompts.prompt.tolist() == ["Describe the picture.", "What is shown?"]
    assert prompts.has_skill_word.tolist() == [False, True]
    assert prompts.n_survivors.tolist() == [8, 8]
    assert prompts.fired.tolist() == pytest.approx([10 / 15] * 2)
    assert prompts.fired_mean_image.tolist() == pytest.approx([1 / 15] * 2)


def test_the_first_skill_is_shown_whole(full_atlas, open_page) -> None:
    app = open_page(PAGE)

    assert not app.exception
    assert not app.info
    assert app.selectbox(key="skill").value == "spatial"
    assert len(app.get("plotly_chart")) == 2
    candidates = next(table.value for table in app.dataframe if "link" in table.value)
    assert candidates.link[0].startswith("feature?run=1&layer=")
    assert len(open_page(PAGE, shift_part="from all to a few").get("plotly_chart")) == 2
    assert "prompt" in open_page(PAGE, shift_part="on neutral prompts").dataframe[0].value


def test_what_was_not_measured_says_so(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, skill="vsr", level="equal length")

    assert not app.exception
    assert "Not measured in this run: questions of one length" in app.info[0].value
    app = open_page(PAGE, run=1, skill="vsr", shift_part="on neutral prompts")
    assert "`neutral_prompt`" in app.info[0].value


def test_a_skill_of_ones_own_is_a_name_like_any_other(
    own_skill_url, monkeypatch, open_page
) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", own_skill_url)
    st.cache_data.clear()

    app = open_page(PAGE, run=1, skill=OWN, level="questions")

    assert not app.exception
    assert app.selectbox(key="skill").value == OWN
    candidates = next(table.value for table in app.dataframe if "link" in table.value)
    assert candidates.feature.tolist() == [9, 9]
    assert all(OWN not in element.value for element in (*app.markdown, *app.caption))

    app = open_page("features/feature.py", run=1, layer=0, feature=9, changed="true")

    assert not app.exception
    assert all("elsewhere" not in element.value for element in (*app.markdown, *app.caption))
    st.cache_data.clear()
    st.cache_resource.clear()


def test_a_run_without_shifts_says_which_stage_leaves_them(
    full_atlas, open_page, monkeypatch
) -> None:
    none = queries.skills_of_run(1).iloc[:0]
    monkeypatch.setattr(queries, "skills_of_run", lambda run_id: none)

    assert "`firing_shift`" in open_page(PAGE).info[0].value
