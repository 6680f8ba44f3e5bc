"""The cookbook on features: answers compared with pandas on the files."""

from collections.abc import Callable

import numpy as np
import pytest
from cookbook import KEY, Runs, same
from sqlalchemy import Engine, text

from feature_atlas.features.selection import adapted_set, threshold_sweep
from feature_atlas.models.lists.keeping import Entry, add_entries
from feature_atlas.models.session import make_engine


def test_mid_layer_features_that_hear_above_and_survive(ask: Callable, runs: Runs):
    found = ask("Which mid-layer features turned most, fire on a word and survive neutral prompts?")

    shown = runs.table("example").merge(runs.table("sample"), on="sample")
    strongest = shown[shown["quantile"].isna()]
    above = strongest[strongest.question.str.contains(r"\babove\b")]
    counts = above.groupby(KEY).size().rename("n_samples_with_above").reset_index()
    survivors = runs.table("candidate", survives=True).merge(
        runs.table("decoder_cosine", regime="text"), on=KEY
    )
    expected = survivors.merge(counts, on=KEY).sort_values("cosine")
    expected["label"] = "asks for left of"
    expected.loc[(expected.layer == 0) & (expected.feature == 0), "label"] = (
        "points at what is above"
    )
    same(found, expected)


def test_adapted_features_that_see_beyond_chance(ask: Callable, runs: Runs):
    found = ask("Which adapted features see, beyond chance?")

    energies = runs.table("selection", is_adapted=True).merge(runs.table("visual_energy"), on=KEY)
    seeing = energies[energies.modality_preference_low > 0]
    expected = seeing.sort_values("modality_preference_low", ascending=False).head(20)
    assert found.modality_preference.tolist() == pytest.approx(
        expected.modality_preference.tolist()
    )
    assert list(found.feature) == list(expected.feature)


def test_readings_of_visual_energy(ask: Callable, runs: Runs):
    found = ask("Do the readings of the paper's E_v agree?")

    energies = runs.table("visual_energy")
    assert found.layer.tolist() == [0, 1]
    for name, column in (
        ("text_mask", "energy_question"),
        ("vision_inputs", "energy_all_tokens"),
        ("image_tokens", "energy_image"),
    ):
        above = (energies[column] > 1e-3).groupby(energies.layer).sum()
        assert found[f"n_{name}"].tolist() == above.tolist()


def test_samples_of_a_feature_from_weak_to_strong(ask: Callable, runs: Runs):
    found = ask("What does a feature fire on, from weak to strong?")

    rows = runs.table("example").query("layer == 1 and feature == 2")
    expected = rows.sort_values(["source", "rank"], ascending=[True, False])
    assert found.max_activation.tolist() == expected.max_activation.tolist()
    # the weakest kept stands for the middle, the others are the strongest
    assert found["quantile"].tolist() == ["5", "top", "top", "top"] * 2


def test_dead_features_by_layer(ask: Callable, runs: Runs):
    found = ask("Which features are dead, layer by layer?")

    energy = runs.table("visual_energy").merge(runs.table("decoder_cosine", regime="text"), on=KEY)
    dead = (energy[["fired_image", "fired_question", "n_firings"]] == 0).all(axis=1)
    assert found.n_dead.tolist() == dead.groupby(energy.layer).sum().tolist() == [1, 2]
    assert found.percent_dead.tolist() == [1.6, 3.1]


def test_the_sweep_of_the_thresholds(ask: Callable, runs: Runs):
    found = ask("How much does the adapted set depend on its thresholds?")

    cosine = runs.table("decoder_cosine", regime="text").cosine.to_numpy().reshape(2, 64)
    energy = runs.table("visual_energy").energy_question.to_numpy().reshape(2, 64)
    sweep = threshold_sweep(
        cosine, energy, sorted(set(found.epsilon)), sorted(set(found.cosine_quantile))
    )
    assert found.n_selected.tolist() == sweep.n_selected.ravel().tolist()
    np.testing.assert_allclose(found.jaccard, sweep.jaccard.ravel(), rtol=1e-6)
    np.testing.assert_allclose(found.layer_correlation, sweep.layer_correlation.ravel(), atol=1e-9)
    assert len(set(found.n_selected)) > 3


def test_adapted_features_beyond_their_controls(ask: Callable, runs: Runs):
    found = ask("How many adapted features turn further than their controls explain?")

    chosen = runs.table("selection", is_adapted=True)
    expected = chosen.assign(n_adapted=1).groupby("layer")[
        ["n_adapted", "is_beyond_null", "is_beyond_language", "is_turned_by_vision"]
    ].sum()  # fmt: skip
    assert found.drop(columns="layer").to_numpy().tolist() == expected.to_numpy().tolist()
    assert found.n_turned_by_vision.tolist() == [12, 12]


def test_features_that_vision_turned_furthest(ask: Callable, runs: Runs):
    found = ask("Which features did vision turn furthest?")

    cosines = runs.table("decoder_cosine").pivot_table(index=KEY, columns="regime", values="cosine")
    by_vision = runs.table("selection", is_turned_by_vision=True).set_index(KEY).index
    ours = found.set_index(KEY)
    assert len(ours) == 20
    assert ours.index.isin(by_vision).all()
    for name, regime in (
        ("cosine", "text"), ("cosine_refit", "refit"), ("cosine_language", "language")
    ):  # fmt: skip
        np.testing.assert_allclose(ours[name], cosines.loc[ours.index, regime], rtol=1e-6)


def test_layers_at_other_thresholds(ask: Callable, runs: Runs):
    found = ask("Which layers would other thresholds find?")

    cosine = runs.table("decoder_cosine", regime="text").cosine.to_numpy().reshape(2, 64)
    energy = runs.table("visual_energy").energy_question.to_numpy().reshape(2, 64)
    expected = adapted_set(cosine, energy, epsilon=0.5, cosine_quantile=0.2).sum(1)
    assert found.n_features.tolist() == expected[expected > 0].tolist()


def test_regimes_that_turn_the_same_features(ask: Callable, runs: Runs):
    found = ask("Do text and image tokens turn the same features?")

    cosines = runs.table("decoder_cosine").pivot_table(index=KEY, columns="regime", values="cosine")
    for name, regime in (("image", "image"), ("full", "full"), ("random", "random")):
        expected = [part.text.corr(part[regime]) for _, part in cosines.groupby("layer")]
        np.testing.assert_allclose(found[f"text_with_{name}"], expected, atol=1e-5)


def test_how_well_the_saes_reconstruct(ask: Callable, runs: Runs):
    found = ask("Do the adapted SAEs still reconstruct?")

    curves = runs.table("training_curve", role="all").sort_values("tokens_seen")
    curves = curves.groupby(["regime", "layer"])
    expected = curves.agg(
        fvu_before=("fvu", "first"), fvu_after=("fvu", "last"), tokens_seen=("tokens_seen", "max")
    )
    same(found, expected.reset_index())


def test_features_of_a_list(reader: Engine, ask: Callable):
    owner = make_engine(reader.url.render_as_string(hide_password=False))
    with owner.begin() as connection:
        run_id = connection.scalar(text("SELECT id FROM atlas.current_run"))
        add_entries(connection, run_id, "Left of", [Entry(1, 2, "why"), Entry(0, 1)], "Ada")
    owner.dispose()

    found = ask("What do the features of a list have in common?")

    assert found[["layer", "feature"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert found.note.fillna("").tolist() == ["", "why"]
    left = ask("Which spatial features are in nobody's list yet?")
    assert len(left) == 8 - 2
    assert (1, 2) not in set(zip(left.layer, left.feature, strict=True))


def test_features_near_another(ask: Callable, runs: Runs):
    found = ask("Which features write nearly the same direction as this one?")

    rows = runs.table("nearest_feature", layer=1).set_index("feature")
    near = dict(zip(rows.features[2], rows.cosines[2], strict=True))
    for other, features in rows.features.items():
        if 2 in features.tolist():
            cosine = rows.cosines[other][features.tolist().index(2)]
            near[other] = max(near.get(other, -1), cosine)
    expected = sorted((-cosine, f) for f, cosine in near.items() if cosine >= 0.1)[:20]
    assert found.feature.tolist() == [feature for _, feature in expected]
    np.testing.assert_allclose(found.cosine, [-cosine for cosine, _ in expected], atol=1e-6)
