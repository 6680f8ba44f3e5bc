"""The cookbook on runs and descriptions: answers compared with pandas on the files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from cookbook import KEY, Runs, rows_of, same


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
