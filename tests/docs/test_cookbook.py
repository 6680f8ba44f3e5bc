"""Every question of the cookbook, asked as a reader; answers compared with pandas on the files.

The atlas holds two runs of the same name; the later has other descriptions, and dead features.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from databases import create_database, drop_database
from pandas.testing import assert_frame_equal
from run_folder import read_rows, replace_value, write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.features.selection import adapted_set, cosine_rank, threshold_sweep
from feature_atlas.models.session import make_engine, make_reader_engine
from feature_atlas.models.user_sql import run_user_sql

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook.md"
KEY = ["layer", "feature"]


class Recipe(NamedTuple):
    question: str
    sql: str
    may_be_empty: bool


def recipes() -> list[Recipe]:
    found = []
    for part in re.split(r"^### ", COOKBOOK.read_text(), flags=re.MULTILINE)[1:]:
        question, _, rest = part.partition("\n")
        (sql,) = re.findall(r"^```sql\n(.*?)^```", rest, re.DOTALL | re.MULTILINE)
        found.append(Recipe(question, sql, "may be empty" in rest.partition("```")[0].lower()))
    return found


RECIPES = {recipe.question: recipe for recipe in recipes()}


class Runs(NamedTuple):
    before: Path
    after: Path

    def table(self, name: str, **where: object) -> pd.DataFrame:
        """What the later run's folder holds."""
        return rows_of(self.after, name, **where)


def rows_of(folder: Path, name: str, **where: object) -> pd.DataFrame:
    rows = read_rows(folder, name).to_pandas()
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows.reset_index(drop=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("cookbook")
    before, after = (write_run_folder(folder, seed=seed, name="cookbook") for seed in (0, 1))
    replace_value(after, "auto_interp", "description", 0, "points at what is above")
    for row in (63, 126, 127):  # feature 63 of layer 0, features 62 and 63 of layer 1
        replace_value(after, "decoder_cosine", "n_firings", row, 0)
        for column in ("energy_image", "firing_rate", "fired_image", "fired_question"):
            replace_value(after, "visual_energy", column, row, 0)
        for part in ("only", "control"):
            replace_value(after, "visual_energy", f"fired_question_{part}", row, 0)
        replace_value(after, "visual_energy", "fired_header", row, 0)
    text = rows_of(after, "decoder_cosine", regime="text").cosine.to_numpy()
    for row, rank in enumerate(cosine_rank(text.reshape(2, 64)).ravel()):
        replace_value(after, "selection", "cosine_rank", row, rank)
    return Runs(before, after)


@pytest.fixture(scope="module")
def reader(postgres_url: str, template_database: str, runs: Runs) -> Iterator[Engine]:
    """A reader of an atlas with both runs."""
    url = create_database(postgres_url, "cookbook", template_database)
    owner = make_engine(url)
    ingest(runs.before, owner)
    ingest(runs.after, owner)
    owner.dispose()
    reader = make_reader_engine(url)
    yield reader
    reader.dispose()
    drop_database(postgres_url, "cookbook")


@pytest.fixture(scope="module")
def ask(reader: Engine) -> Callable[[str], pd.DataFrame]:
    """The answer to a question of the cookbook."""

    def ask(question: str) -> pd.DataFrame:
        answer = run_user_sql(reader, RECIPES[question].sql, max_rows=1000)
        return pd.DataFrame.from_records(answer.rows, columns=answer.names, coerce_float=True)

    return ask


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal in values and order, whatever the types of the numbers."""
    assert len(expected) > 0
    expected = expected[found.columns.tolist()].reset_index(drop=True)
    assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_every_question_has_an_answer(recipe: Recipe, reader: Engine):
    answer = run_user_sql(reader, recipe.sql, max_rows=1000)

    assert answer.names
    assert answer.rows or recipe.may_be_empty


def test_there_are_questions_enough_and_most_cannot_be_empty():
    assert len(RECIPES) == len(recipes()) > 30
    assert sum(not recipe.may_be_empty for recipe in RECIPES.values()) > 25


def test_they_are_asked_as_the_reader(reader: Engine):
    answer = run_user_sql(reader, "SELECT current_user, session_user", max_rows=1)

    assert answer.rows == [("atlas_reader", "atlas_reader")]


def test_mid_layer_features_that_hear_above_and_survive(ask: Callable, runs: Runs):
    found = ask(
        'Which mid-layer features turned most, fire on "above" and survive neutral prompts?'
    )

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


def test_heads_shared_by_more_than_five_spatial_features(ask: Callable, runs: Runs):
    found = ask("Which heads are shared by more than five spatial features?")

    heads = runs.table("head_attribution", method="B")
    place = heads.groupby(KEY).score.rank(method="min", ascending=False)
    shared = heads[(place <= 5) & (heads.score > 0)].groupby(["head_layer", "head"]).score
    expected = shared.agg(n_spatial_features="size", mean_drive="mean").reset_index()
    expected = expected[expected.n_spatial_features > 5].sort_values(
        ["n_spatial_features", "mean_drive"], ascending=False
    )
    same(found, expected)


def test_labels_that_changed_between_the_runs(ask: Callable, runs: Runs):
    found = ask("Which features changed their label between two runs?")

    def labelled(folder: Path) -> pd.DataFrame:
        best = rows_of(folder, "auto_interp").sort_values("f1", ascending=False, kind="stable")
        best = best.drop_duplicates(KEY).rename(columns={"description": "label"})
        return best.merge(rows_of(folder, "decoder_cosine", regime="text"), on=KEY)[
            [*KEY, "label", "cosine"]
        ]

    both = labelled(runs.before).merge(labelled(runs.after), on=KEY, suffixes=("_before", "_after"))
    same(found, both[both.label_before != both.label_after].sort_values(KEY))


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


def test_table_1_of_the_paper_beside_the_same_features(ask: Callable):
    found = ask("What does the paper's Table 1 say beside this run, for the same features?")

    assert found.paper_delta_vsr.tolist() == [-15.54, -12.77, -11.19, -10.21, -9.05, -7.98]
    assert found.paper_relations[0] == "above"
    assert found.our_delta_vsr.isna().all()  # none of them was removed in this little run


def test_table_1_of_the_paper_place_by_place(ask: Callable, runs: Runs):
    found = ask("What does the paper's Table 1 say beside this run, place by place?")

    removed = runs.table(
        "ablation", evaluation="vsr_relation", intervention="directional", control_no=0
    )
    ours = removed.sort_values(["delta_accuracy", *KEY]).head(6)
    assert found.paper_relation[0] == "above"
    assert found[KEY].to_numpy().tolist() == ours[KEY].to_numpy().tolist()
    np.testing.assert_allclose(found.our_delta_vsr, 100 * ours.delta_accuracy, rtol=1e-6)


def test_regimes_that_turn_the_same_features(ask: Callable, runs: Runs):
    found = ask("Do text and image tokens turn the same features?")

    cosines = runs.table("decoder_cosine").pivot_table(index=KEY, columns="regime", values="cosine")
    for name, regime in (("image", "image"), ("full", "full"), ("random", "random")):
        expected = [part.text.corr(part[regime]) for _, part in cosines.groupby("layer")]
        np.testing.assert_allclose(found[f"text_with_{name}"], expected, atol=1e-5)


def test_statements_that_a_removal_broke(ask: Callable, runs: Runs):
    found = ask("Which statements did a removal break?")

    answers = runs.table("ablation_outcome", layer=0, evaluation="vsr_relation")
    broken = answers[
        ((answers.margin_before > 0) == answers.label)
        & ((answers.margin_after > 0) != answers.label)
    ]
    lost = broken.margin_before - broken.margin_after
    broken = broken.assign(lost=lost).sort_values(["feature", "lost"], ascending=[True, False])
    expected = broken.merge(runs.table("sample"), on="sample").merge(
        runs.table("image"), on="image"
    )
    expected = expected.sort_values(["feature", "lost"], ascending=[True, False])
    assert found.question.tolist() == expected.question.tolist()
    assert found.image_uri.tolist() == expected.uri.tolist()
    assert (found.right_answer == found.answer_before).all()
    assert (found.right_answer != found.answer_after).all()


def test_methods_that_name_the_same_heads(ask: Callable, runs: Runs):
    found = ask("Do methods A and B name the same heads?")

    heads = runs.table("head_attribution")
    heads["drive"] = heads.score.where(heads.method == "B", -heads.score)
    groups = heads.groupby([*KEY, "method"])
    heads["is_first"] = groups.drive.rank(method="min", ascending=False) <= 5
    both = heads[heads.method == "A"].merge(
        heads[heads.method == "B"], on=[*KEY, "head_layer", "head"]
    )
    shared = (both.is_first_x & both.is_first_y).groupby([both.layer, both.feature]).sum()
    assert found.set_index(KEY).n_shared.sort_index().tolist() == shared.tolist()


def test_how_well_the_saes_reconstruct(ask: Callable, runs: Runs):
    found = ask("Do the adapted SAEs still reconstruct?")

    curves = runs.table("training_curve", role="all").sort_values("tokens_seen")
    curves = curves.groupby(["regime", "layer"])
    expected = curves.agg(
        fvu_before=("fvu", "first"), fvu_after=("fvu", "last"), tokens_seen=("tokens_seen", "max")
    )
    same(found, expected.reset_index())


def test_features_on_their_way_in_and_out(ask: Callable, runs: Runs):
    found = ask("How many features became adapted, and how many no longer are?")

    both = rows_of(runs.before, "selection").merge(runs.table("selection"), on=KEY)
    stay = (both.is_adapted_x & both.is_adapted_y).groupby(both.layer).sum()
    assert found.n_adapted_in_both.tolist() == stay.tolist() == [16, 16]
    assert found.n_newly_adapted.sum() == found.n_no_longer_adapted.sum() == 0


def test_where_the_numbers_of_a_feature_come_from(ask: Callable):
    found = ask("Where does a number come from?")

    assert found.stage.tolist() == ["decoder_cosine"]
    assert found.seeds.tolist() == [[1]]  # the later run's


def test_descriptions_beyond_chance(ask: Callable, runs: Runs):
    found = ask("Which descriptions predict firing, beyond chance?")

    expected = runs.table("auto_interp")
    expected["gain"] = expected.f1 - expected.shuffled_f1
    expected = expected.sort_values(["gain", *KEY], ascending=[False, True, True])
    same(found, expected.head(20))
