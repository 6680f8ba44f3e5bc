"""The page "Ablation": groups, steering and other ways to remove, against the rows loaded."""

import pytest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.interventions import way_chart
from feature_atlas.dashboards.ablation.single_removals import in_percentage_points

PAGE = "ablation/ablation.py"
HOSTILE = '<a href="https://elsewhere.example">left</a> ![of](https://elsewhere.example/x.png)'


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


def test_doses_come_beside_their_controls(run_id, written) -> None:
    doses = queries.dose_responses(run_id)

    assert doses.n_features.tolist() == [1, 2, 4] * 2
    assert doses.delta_accuracy.tolist() == pytest.approx([-0.1, -0.2, -0.4] * 2)
    assert doses.control_mean.tolist() == [0] * 6
    removals = queries.group_removals(run_id, "layer", "1")
    expected = written("ablation_group", name="1").sort_values(["control_no", "n_features"])
    assert removals.control_no.tolist() == [0, 0, 0, 1, 1, 1]
    assert removals.delta_high.tolist() == pytest.approx(expected.delta_high.tolist())
    assert queries.group_removals(run_id, "relation", HOSTILE).empty


def test_a_groups_features_are_in_the_order_of_their_removal(run_id) -> None:
    members = queries.group_members(run_id, "layer", "1")

    assert members.place.tolist() == [1, 2, 3, 4]
    assert members.feature.tolist() == [0, 1, 2, 3]  # not 30 and up: its matched set
    assert set(members.layer) == {1}


def test_steering_comes_by_strength(run_id, written) -> None:
    steered = queries.steerings(run_id, 1, 0)

    expected = written("steering", layer=1).sort_values("alpha")
    assert steered.alpha.tolist() == [-1, 1, 2]
    assert steered.yes_margin_delta.tolist() == pytest.approx(expected.yes_margin_delta.tolist())
    summaries = queries.steering_summaries(run_id)
    assert summaries.yes_margin_slope.tolist() == pytest.approx([0.5, 0.5])
    assert summaries.is_mirror.all()


def test_what_labels_find_stands_beside_the_features(run_id) -> None:
    report = queries.supervised_report(run_id)

    of_relation = report[report.relation == "right of"]
    assert of_relation.found_by.value_counts().to_dict() == {
        "feature": 2, "diff_mean": 2, "probe": 2
    }  # fmt: skip
    truth = of_relation[(of_relation.contrast == "truth") & (of_relation.found_by == "diff_mean")]
    row = truth.iloc[0]
    assert row[["delta_accuracy", "delta_other", "delta_vqa"]].tolist() == [-0.25, 0, 0]
    assert row[["control_mean", "control_min", "direction_control_mean"]].tolist() == [0, 0, 0]
    assert row.yes_margin_slope == pytest.approx(0.25)
    controls = queries.supervised_controls(run_id, "right of")
    assert controls.control_kind.tolist() == ["shuffled", "direction"] * 4
    added = queries.additions_for(run_id, "left of")
    assert added.found_by.value_counts().to_dict() == {"feature": 6, "diff_mean": 4, "probe": 4}


def test_a_features_effect_stands_beside_the_code_of_places(run_id) -> None:
    report = queries.spatial_code_report(run_id)

    assert report.feature.tolist() == [0, 0, 1, 1]
    first = report.iloc[0]
    deltas = first[[f"delta_{what}" for what in ("feature", "outside", "code", "both")]]
    assert deltas.tolist() == pytest.approx([-0.25, -0.2, -0.1, -0.3])
    assert first[["remaining_margin", "shuffled_margin"]].tolist() == pytest.approx([0.8, 0.8])
    assert report.remaining_accuracy.isna().tolist() == [False, False, True, True]
    assert queries.spatial_codes(run_id).layer.tolist() == [0, 1]


def test_other_ways_stand_beside_the_papers(run_id, written) -> None:
    ways = queries.other_interventions(run_id)

    assert (
        ways.groupby(["layer", "feature"]).intervention.agg(set).tolist()
        == [{"directional", "feature_subtraction"}] * 8
    )
    assert set(ways.evaluation) == {"vsr_relation"}  # the only one with a second way
    paper = ways[(ways.intervention == "directional") & (ways.feature == 1)].iloc[0]
    controls = written(
        "ablation", layer=0, feature=1, evaluation="vsr_relation", intervention="directional"
    )
    matched = controls[(controls.control_no > 0) & (controls.control_no < 4)].delta_accuracy
    assert paper.control_min == pytest.approx(matched.min())


@pytest.mark.parametrize(
    ("address", "heading", "n_charts"),
    [
        ({"removal": "several together", "group": "layer 1"}, "Dose response", 1),
        ({"removal": "added instead", "steered": "L1 F0"}, "As its direction is added", 1),
        ({"removal": "other ways to remove"}, "Effects by the way of removal", 1),
        (
            {"removal": "found from labels", "about": "left of"},
            "Removed on the same held-out statements",
            2,
        ),
        ({"removal": "code of places"}, "How well an object's place is read from its name", 2),
        ({"removal": "<b>no such</b>"}, "Effects with their intervals", 2),
    ],
)
def test_the_address_says_what_was_done(full_atlas, open_page, address, heading, n_charts) -> None:
    app = open_page(PAGE, run=1, **address)

    assert not app.exception
    assert not app.info
    assert app.subheader[0].value == heading
    assert len(app.get("plotly_chart")) == n_charts
    for name in ("group", "steered", "about"):
        if name in address:
            assert app.selectbox(key=name).value == address[name]
    if "about" in address:
        return
    tables = [table.value for table in app.dataframe if "link" in table.value]
    assert tables[0].link.iloc[0].startswith("feature?run=1&layer=")


@pytest.mark.parametrize(
    ("what", "query", "stage"),
    [
        ("one removed", "ablation_summaries", "`ablation`"),
        ("several together", "dose_responses", "`group_ablation`"),
        ("added instead", "steering_summaries", "`steering`"),
        ("other ways to remove", "other_interventions", "`ablation.interventions`"),
        ("found from labels", "supervised_report", "`supervised.max_relations`"),
        ("code of places", "spatial_codes", "`spatial_code.max_features`"),
    ],
)
def test_what_was_not_done_says_which_stage_does_it(
    full_atlas, open_page, monkeypatch, what, query, stage
) -> None:
    none = getattr(queries, query)(1).iloc[:0]
    monkeypatch.setattr(queries, query, lambda run_id: none)

    app = open_page(PAGE, run=1, removal=what)

    assert not app.exception
    assert stage in app.info[0].value


def test_relations_are_words_in_charts_and_tables(full_atlas, open_page, monkeypatch) -> None:
    ways, summaries = queries.other_interventions(1), queries.ablation_summaries(1)

    chart = way_chart(ways.assign(relation=HOSTILE))
    named = in_percentage_points(summaries.assign(relation=HOSTILE)).name

    assert all("<a" not in label for label in chart.layout.yaxis.ticktext)
    assert named.str.contains("&lt;a href=").all()

    doses = queries.dose_responses(1).assign(kind="relation", name=HOSTILE)
    monkeypatch.setattr(queries, "dose_responses", lambda run_id: doses)
    rows = queries.group_removals(1, "layer", "1")
    monkeypatch.setattr(queries, "group_removals", lambda run_id, kind, name: rows)
    app = open_page(PAGE, run=1, removal="several together")
    assert not app.exception
    assert app.selectbox(key="group").value == f"relation {HOSTILE}"
    assert all("elsewhere" not in said.value for said in (*app.markdown, *app.caption))


def test_a_single_removal_has_its_three_kinds_of_control(run_id) -> None:
    points = in_percentage_points(queries.ablation_summaries(run_id))

    assert points.specific.tolist() == pytest.approx([-20] * 8)
    assert points.interval_specific[0] == "[-30.00, +5.00]"
    assert points[["random_mean", "direction_mean"]].notna().all().all()
