"""Every query on a real Postgres, its numbers against those that were loaded."""

import pandas as pd
import pytest

from feature_atlas.dashboards import queries

LAYERS, D_SAE = 2, 64


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


def test_runs_name_the_models_and_the_dictionaries(full_atlas: str) -> None:
    runs = queries.runs()

    assert len(runs) == 1
    run = runs.iloc[0]
    assert (run.vlm, run.base_name, run.release) == ("tiny-llava", "tiny-llama", "tiny-scope")
    assert (run.n_layers, run.d_sae, run.k, run.layers) == (LAYERS, D_SAE, 8, [0, 1])
    assert run.config["name"] == "synthetic"


def test_an_empty_atlas_has_no_runs(empty_atlas: str) -> None:
    assert queries.runs().empty


def test_measurements_are_in_order_of_time(run_id: int) -> None:
    measurements = queries.measurements(run_id)

    assert measurements.stage[0] == "samples"
    assert measurements.stage.iloc[-1] == "supervised_steering"
    assert (measurements.seconds == 9).all()


def test_the_funnel_narrows_from_all_to_survivors(run_id: int) -> None:
    steps = queries.funnel(run_id)

    spatial = steps[steps.skill == "spatial"]
    assert spatial.step.tolist() == [
        "all features",
        "adapted",
        "candidates",
        "survive neutral prompts",
    ]
    assert spatial.n_features.tolist() == [128, 32, 12, 8]
    assert steps.skill.unique().tolist() == ["spatial", "ocr"]


def test_points_are_all_features(run_id: int, written) -> None:
    points = queries.feature_points(run_id)

    assert len(points) == LAYERS * D_SAE
    assert points.cosine.tolist() == pytest.approx(written("decoder_cosine", regime="text").cosine)
    assert points.visual_energy.tolist() == pytest.approx(written("visual_energy").energy_question)


@pytest.mark.parametrize("n_bins", [1, 7, 100])
def test_bins_count_every_feature_once_and_stay_in_range(run_id: int, n_bins: int) -> None:
    points, bins = queries.feature_points(run_id), queries.feature_bins(run_id, n_bins)

    assert bins.n_features.sum() == len(points)
    assert bins[bins.is_adapted].n_features.sum() == points.is_adapted.sum()
    assert bins[bins.visual_energy == 0].n_features.sum() == (points.visual_energy == 0).sum()
    assert bins.cosine.between(points.cosine.min(), points.cosine.max()).all()
    assert bins.visual_energy.max() <= points.visual_energy.max() * (1 + 1e-6)


def test_bins_of_one_feature_lie_within_half_a_step_of_it(run_id: int) -> None:
    points, bins = queries.feature_points(run_id), queries.feature_bins(run_id, 1000)

    step = (points.cosine.max() - points.cosine.min()) / 1000
    for cosine in points.cosine:
        assert (bins.cosine - cosine).abs().min() <= step / 2 + 1e-6


def test_marked_features_are_candidates_described_or_removed(run_id: int) -> None:
    marked = queries.marked_features(run_id)

    # features 0..5 of each layer are spatial candidates, 9 is one for OCR
    assert marked.feature[marked.layer == 0].tolist() == [0, 1, 2, 3, 4, 5, 9]
    assert marked.survives_spatial.sum() == 8
    first = marked.iloc[0]
    assert (first.label, first.ablation_delta) == ("asks for left of", pytest.approx(-0.25))
    assert marked[~marked.survives_spatial].label.isna().all()


def test_a_box_holds_exactly_its_features(run_id: int) -> None:
    points = queries.feature_points(run_id)

    found = queries.features_between(run_id, (0.0, 0.5), (1.0, 5.0))

    inside = points[points.cosine.between(0, 0.5) & points.visual_energy.between(1, 5)]
    assert set(zip(found.layer, found.feature, strict=True)) == set(
        zip(inside.layer, inside.feature, strict=True)
    )
    assert found.visual_energy.is_monotonic_decreasing


def test_a_feature_has_one_wide_row(run_id: int, written) -> None:
    record = queries.feature(run_id, 1, 2).iloc[0]

    cosine = written("decoder_cosine", regime="text", layer=1, feature=2).cosine[0]
    assert record.cosine == pytest.approx(cosine)
    assert record.cosine_rank == pytest.approx(0.1)
    assert record.survives_spatial
    assert queries.feature(run_id, 1, 64).empty


def test_cosines_come_per_regime(run_id: int, written) -> None:
    cosines = queries.decoder_cosines(run_id, 0, 3)

    assert cosines.regime.tolist() == ["text", "image", "full", "random", "refit", "language"]
    expected = written("decoder_cosine", layer=0, feature=3)
    assert cosines.cosine.tolist() == pytest.approx(expected.cosine)
    assert cosines.n_firings.tolist() == expected.n_firings.tolist()
    beside = ["null_cosine", "excess_rotation", "rotation_q_value"]
    pd.testing.assert_frame_equal(
        cosines[beside].astype(float), expected[beside].astype(float), check_exact=False
    )
    assert cosines.null_cosine.isna().tolist() == [False, False, False, True, True, False]


def test_energies_come_per_condition(run_id: int, written) -> None:
    energies = queries.visual_energies(run_id, 0, 3).set_index("condition")

    expected = written("visual_energy", layer=0, feature=3).iloc[0]
    question = energies.loc["text, with its image"]
    assert question.energy == pytest.approx(expected.energy_question)
    assert question.n_fired == expected.fired_question
    assert energies.energy["text, no image"] == pytest.approx(expected.energy_question / 4)
    assert pd.isna(energies.n_fired["constant prefix"])


def test_preferences_come_with_their_interval(run_id: int, written) -> None:
    preferences = queries.modality_preferences(run_id, 0, 3)

    expected = written("visual_energy", layer=0, feature=3).modality_preference[0]
    assert preferences.against.tolist() == ["no image"]  # the other was not measured
    found = preferences[["preference", "low", "high"]].iloc[0].tolist()
    assert found == pytest.approx([expected, expected - 1, expected + 1])


def test_shifts_come_per_skill(run_id: int, written) -> None:
    shifts = queries.firing_shifts(run_id, 0, 3).set_index("skill")

    expected = written("firing_shift", layer=0, feature=3).set_index("skill")
    assert set(shifts.index) == {"spatial", "ocr", "vsr"}
    for column in ("odds_ratio", "odds_ratio_low", "question_odds_ratio_high", "q_value"):
        assert shifts.loc["vsr", column] == pytest.approx(expected.loc["vsr", column])


def test_neutral_prompts_tell_real_from_mean_image(run_id: int) -> None:
    prompts = queries.neutral_prompts(run_id, 0, 0)

    assert prompts.prompt.tolist() == ["Describe the picture.", "What is shown?"]
    assert prompts.n_fired.tolist() == [10, 10]
    assert prompts.n_fired_mean_image.tolist() == [1, 1]
    assert prompts.survives.all()
    assert not queries.neutral_prompts(run_id, 0, 5).survives.any()
    assert queries.neutral_prompts(run_id, 0, 6).empty


def test_descriptions_come_best_first(run_id: int) -> None:
    found = queries.descriptions(run_id, 0, 0)

    assert found.f1.tolist() == pytest.approx([0.8, 0.6])
    assert found.variant.tolist() == ["RAW", "OVERLAY"]
    assert found.shuffled_f1.tolist() == pytest.approx([0.4, 0.4])
    assert queries.reviews(run_id, 0, 0).empty


def test_overlays_come_with_their_grid_and_score(run_id: int) -> None:
    maps = queries.overlays(run_id, 0, 0)

    assert len(maps) == 3 * 2  # samples, heads
    assert set(maps.kind) == {"top", "bottom"}
    assert all(len(weights) == 16 for weights in maps.weights)
    assert maps.groupby("head").score.first().tolist() == [4, 1]
    assert maps[["seen_left", "seen_top", "seen_right", "seen_bottom"]].drop_duplicates().to_numpy(
    ).tolist() == [[0, 0, 48, 48]]  # fmt: skip
    assert maps.groupby("question").lift.first().isna().sum() == 1  # of the statement
    assert maps.lift.dropna().eq(4).all()
    assert set(maps.width) == {48}


def test_custom_prompts_come_with_their_heads(run_id: int) -> None:
    found = queries.custom_prompts(run_id, 1, 0)

    assert found.kind.tolist() == ["top", "random", "bottom"]
    assert set(found.question) == {"Is the blue thing left of the red one?"}
    assert list(found.activations[0]) == [0, 0.25, 1.5]
    assert (found.width[0], found.height[0], found.seen_left[0], found.seen_right[0]) == (
        60, 48, 6, 54
    )  # fmt: skip
    assert queries.custom_prompts(run_id, 1, 1).empty


def test_localisation_has_the_kinds_first(run_id: int) -> None:
    found = queries.localisation(run_id)

    assert found.comparison.tolist() == [
        "top", "bottom", "random", "top - bottom", "top - random"
    ]  # fmt: skip
    assert (found.lift_low < found.lift).all()


def test_removals_come_with_their_controls(run_id: int) -> None:
    removals = queries.ablations(run_id, 0, 0)

    assert removals.evaluation.tolist() == ["vsr_relation"] * 4 + ["vqa_yes_no"] * 4
    assert removals.control_no.tolist() == [0, 1, 2, 3] * 2
    assert removals.delta_accuracy[0] == pytest.approx(-0.25)
    assert len(queries.control_effects(run_id)) == 8 * 2 * 3


def test_summaries_begin_with_the_worst_harm(run_id: int) -> None:
    summaries = queries.ablation_summaries(run_id)

    assert len(summaries) == 8
    assert summaries.feature[:2].tolist() == [0, 0]
    assert summaries.delta_vsr[:2].tolist() == pytest.approx([-0.25, -0.25])
    assert summaries.delta_vsr.is_monotonic_increasing


def test_the_papers_tables_are_kept_as_printed(full_atlas: str) -> None:
    published = queries.published_results()

    assert published.groupby("table_no").size().tolist() == [6, 11]
    worst = published[published.table_no == 1].iloc[0]
    assert (worst.layer, worst.feature, worst.delta_vsr) == (7, 15870, -15.54)


def test_another_run_has_none_of_these_rows(run_id: int) -> None:
    assert queries.feature_points(run_id + 1).empty
    assert queries.feature_bins(run_id + 1, 10).empty
    assert queries.examples(run_id + 1, 0, 0, "strongest", None, 6).empty
