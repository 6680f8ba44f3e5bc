"""The page "Heads": heads over the run and one of them, against the rows that were loaded."""

import pandas as pd
import pytest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.heads.run_charts import agreement_chart, by_corruption, recurrence_map

PAGE = "heads/heads.py"
HOSTILE = '<a href="https://elsewhere.example">left</a> of'


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


@pytest.fixture
def traced(full_atlas: str, written) -> pd.DataFrame:
    """head_attribution with `drive`, above 0 where the head drives the feature."""
    rows = written("head_attribution")
    return rows.assign(drive=rows.score.where(rows.method == "B", -rows.score))


def test_totals_are_over_the_traced_features(run_id, traced) -> None:
    totals = queries.head_totals(run_id, "mean").set_index(["method", "head_layer", "head"])

    expected = traced.groupby(["method", "head_layer", "head"])
    assert totals.n_features.to_dict() == expected.size().to_dict()
    assert totals.drive.to_dict() == pytest.approx(expected.drive.mean().to_dict())
    # every first head was swapped for real and is a cause, every second is none
    assert totals.loc["A", 0, 0][["n_patched", "n_causal"]].tolist() == [8, 8]
    assert totals.loc["B", 0, 1][["n_patched", "n_causal"]].tolist() == [8, 0]
    assert pd.isna(totals.exact_drive["A", 0, 2])


def test_further_rules_stand_beside_the_papers_methods(run_id, written) -> None:
    totals = queries.head_totals(run_id, "mean").set_index(["method", "head_layer", "head"])

    relp = written("head_estimate", rule="relp", method="A")
    expected = -relp.groupby(["head_layer", "head"]).qk.mean()
    assert totals.loc["A"].drive_relp.to_dict() == pytest.approx(expected.to_dict())
    of_one = queries.head_attributions(run_id, *relp[["layer", "feature"]].iloc[0], "mean")
    assert of_one.qk_relp.abs().tolist() == (of_one["head"] + 1).tolist()
    assert of_one.z_ig.tolist() == pytest.approx(of_one.score.tolist())


def test_estimates_come_with_their_place_their_cost_and_how_stable_they_are(run_id) -> None:
    agreement = queries.attribution_agreement(run_id)

    within = agreement[agreement.scope == "within_feature"].set_index("estimate")
    assert len(within) == 15
    first = within[within.place == 1]
    assert (first.spearman == within.spearman.max()).all()
    assert within.spearman_low.notna().all()
    assert agreement[agreement.scope == "all"].spearman_low.isna().all()
    assert within.stable_spearman[["A", "A_relp"]].tolist() == pytest.approx([0.9, 0.3])
    figure = agreement_chart(within.reset_index())
    assert figure.data[0].x[:5] == ("A", "B", "mean", "A<br>QK fix", "B<br>QK fix")
    assert figure.data[0].error_y.array is not None


def test_a_layers_curve_sums_its_heads(run_id, traced) -> None:
    curves = queries.head_curves(run_id, "mean").set_index(["method", "head_layer"])

    of_feature = traced.groupby(["method", "head_layer", "layer", "feature"]).drive.sum()
    expected = of_feature.groupby(["method", "head_layer"]).mean()
    assert curves.sum_drive.to_dict() == pytest.approx(expected.to_dict())


def test_heads_that_recur_come_by_group(run_id, written) -> None:
    recurring = queries.head_recurrence(run_id, "B", 3, "mean")

    assert len(recurring[["head_layer", "head"]].drop_duplicates()) == 3
    of_all = recurring[recurring.grouped_by == "all"]
    assert of_all.n_in_top_five.is_monotonic_decreasing
    assert (of_all.n_in_top_five <= of_all.n_features).all()
    relations = set(written("ablation", control_no=0, evaluation="vsr_relation").relation)
    assert set(recurring.name[recurring.grouped_by == "relation"]) <= relations


def test_a_heads_features_come_with_estimate_and_real_swap(run_id, traced) -> None:
    features = queries.features_of_head(run_id, 0, 0, "mean")

    expected = traced[(traced.head_layer == 0) & (traced["head"] == 0)]
    assert len(features) == len(expected)
    assert set(features.evidence) == {"causal"}
    assert (features.exact_low < features.exact_drive).all()
    assert features.mean_drive.is_monotonic_decreasing
    assert features.label.notna().all()


def test_a_heads_overlays_come_with_those_drawn_beside_it(run_id, written) -> None:
    maps = queries.head_overlays(run_id, 0, 0, 5)

    # a sample of each feature before the second of any
    assert maps[["layer", "feature"]].drop_duplicates().shape[0] == 5
    assert maps.groupby(["layer", "feature", "sample_id"]).kind.agg(set).eq({"top", "bottom"}).all()
    lifts = queries.head_lifts(run_id, 0, 0).set_index("who")
    own = written("overlay", head_layer=0, head=0).lift.dropna()
    assert lifts.index.tolist() == ["this head", "weakest heads"]
    assert (lifts.n_maps["this head"], lifts.lift["this head"]) == (len(own), own.mean())
    assert queries.head_overlays(run_id, 0, 3, 5).empty  # drawn, but as a weakest one


def test_knock_outs_come_with_their_controls(run_id) -> None:
    knocked = queries.knockouts_of_head(run_id, 0, 1, "mean")

    assert knocked.control_no.tolist() == [0, 1, 2] * 4  # two features, two parts
    own = knocked[knocked.control_no == 0]
    assert own.delta_accuracy.tolist() == pytest.approx([-0.25] * 4)
    assert own.projection_delta.tolist() == pytest.approx([-1.0] * 4)
    assert queries.knockouts_of_head(run_id, 0, 2, "mean").empty  # taken by controls alone


def test_the_run_is_shown_and_its_map_is_chosen_in_the_address(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, map="causal")

    assert not app.exception
    assert app.title[0].value == "Heads"
    assert len(app.get("plotly_chart")) == 2
    assert app.segmented_control(key="map").value == "causal"
    first = app.dataframe[0].value  # every first head was a cause of all 8 features
    assert first.loc[0, ["link", "name", "A", "B"]].tolist() == [
        "heads?run=1&head_layer=0&head=0", "L0H0", 8, 8
    ]  # fmt: skip

    app = open_page(PAGE, run=1, heads_part="heads that recur", method="A")

    assert len(app.get("plotly_chart")) == 1
    recurring = next(table.value for table in app.dataframe if "link" in table.value)
    assert recurring.link[0] == "heads?run=1&head_layer=0&head=0"

    app = open_page(
        PAGE, run=1, heads_part="estimate and real swap", over="within layers", swapped="qk"
    )

    assert len(app.get("plotly_chart")) == 1
    assert app.segmented_control(key="over").value == "within layers"


def test_what_the_picture_gave_way_to_is_chosen_where_there_is_a_choice(
    full_atlas, open_page, monkeypatch
) -> None:
    assert queries.corruptions(1).values.tolist() == [["mean", 8]]
    assert "gives way" not in str([box.label for box in open_page(PAGE, run=1).selectbox])
    lacking = open_page(PAGE, run=1, corruption="opposite")
    assert "corruption `opposite`, under which this run traced no head" in lacking.error[0].value
    totals, asked = queries.head_totals(1, "mean"), []
    both = pd.DataFrame({"corruption": ["mean", "opposite"], "n_features": [8, 5]})
    monkeypatch.setattr(queries, "corruptions", lambda _run: both)
    monkeypatch.setattr(queries, "head_totals", lambda *of: (asked.append(of), totals)[1])

    app = open_page(PAGE, run=1, corruption="opposite")

    assert not app.exception
    assert app.selectbox(key="corruption_choice").value == "opposite"
    assert set(asked) == {(1, "opposite")}


def test_a_head_has_its_page(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, head_layer=0, head=0)

    assert not app.exception
    assert app.title[0].value == "Head L0H0"
    assert [heading.value for heading in app.subheader] == [
        "Features that it drives", "Where it looks", "What breaks without it"
    ]  # fmt: skip
    assert not app.info
    driven = app.dataframe[0].value
    assert driven.link[0].startswith("feature?run=1&layer=")

    app.selectbox(key="head").set_value("3").run()

    assert app.title[0].value == "Head L0H3"
    said = " ".join(info.value for info in app.info)
    assert "`overlay`" in said
    assert "`head_knockout`" in said


def test_estimates_are_ranked_of_each_feature_with_their_intervals(run_id, open_page) -> None:
    rows = queries.feature_agreement(run_id, "mean", "qk")

    assert rows.groupby(["layer", "feature"]).estimate.agg(list).map(len).tolist() == [2, 2]
    assert rows.estimate[1:].tolist() == ["B", "B", "B_fix"]  # the first's B has no correlation
    assert rows.estimate[0] == "B_fix"
    assert (rows.spearman_low < rows.spearman_high).all()
    assert queries.feature_agreement(run_id, "opposite", "qk").empty
    app = open_page(PAGE, heads_part="estimate and real swap")
    assert not app.exception
    [best] = [f.value for f in app.dataframe if "link" in f.value and "spearman" in f.value]
    assert best.estimate.tolist() == ["B_fix", "B"]


@pytest.mark.parametrize("address", [{"head_layer": "9", "head": "0"}, {"head": "<b>"}])
def test_a_head_that_is_none_falls_back_on_all(full_atlas, open_page, address) -> None:
    app = open_page(PAGE, run=1, **address)

    assert not app.exception
    assert app.title[0].value == "Heads"


def test_a_run_without_traces_or_swaps_says_which_stage_leaves_them(
    full_atlas, open_page, monkeypatch
) -> None:
    agreement, totals = queries.attribution_agreement(1), queries.head_totals(1, "mean")
    monkeypatch.setattr(queries, "attribution_agreement", lambda _run: agreement.iloc[:0])
    unpatched = totals.assign(exact_drive=None)
    monkeypatch.setattr(queries, "head_totals", lambda *_of: unpatched)

    for address in ({"map": "exact patch"}, {"heads_part": "estimate and real swap"}):
        app = open_page(PAGE, **address)

        assert not app.exception
        assert "`exact_patch`" in app.info[0].value

    monkeypatch.setattr(queries, "head_totals", lambda *_of: totals.iloc[:0])
    assert "`head_attribution`" in open_page(PAGE).info[0].value


def test_estimates_stand_beside_one_another_under_each_corruption() -> None:
    keys = [("B", "mean"), ("A", "mean"), ("B", "opposite")]
    rows = pd.DataFrame(
        [(e, c, i / 4, i / 8) for i, (e, c) in enumerate(keys)],
        columns=["estimate", "corruption", "spearman", "top_overlap"],
    )

    found = by_corruption(rows)

    assert found.estimate.tolist() == ["B", "A"]
    assert found["rank correlation, mean"].tolist() == [0, 0.25]
    assert found["top ten shared, opposite"].iloc[0] == 0.25
    assert pd.isna(found["rank correlation, opposite"].iloc[1])


def test_relations_are_words_in_a_chart_not_links() -> None:
    row = {"head_layer": 0, "head": 1, "n_features": 4, "n_in_top_five": 2, "share": 0.5}
    names = [{"grouped_by": "all", "name": "all"}, {"grouped_by": "relation", "name": HOSTILE}]

    figure = recurrence_map(pd.DataFrame([row | name for name in names]))

    assert figure.data[0].x[1].startswith("&lt;a href=")
