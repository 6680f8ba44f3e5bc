"""The table is the one that diffing-toolkit computes from the two SAEs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_latent_df import export_latent_df, norm_difference, tag

TOOLKIT = [
    *("dec_base_norm", "dec_ft_norm", "dec_norm_diff"),
    *("enc_base_norm", "enc_ft_norm", "enc_norm_diff"),
    *("dec_cos_sim", "enc_cos_sim", "tag"),
]


@pytest.fixture(scope="module")
def tables(loaded_engine: Engine, run_folder: Path, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("diffing") / "out"
    done = export_latent_df(loaded_engine, run_folder.name, target)
    assert (done.n_files, done.n_features) == (2, 128)
    return done.folder


def test_the_toolkit_finds_its_columns(tables: Path):
    found = pd.read_csv(tables / "layer_1" / "latent_df.csv", index_col=0)  # as it reads them

    assert found.columns.tolist() == [*TOOLKIT, "freq", "max_act_validation"]
    assert found.index.tolist() == list(range(64))
    assert found[["enc_base_norm", "enc_ft_norm", "enc_norm_diff"]].isna().all(axis=None)


def test_norms_and_cosines_are_those_of_the_atlas(tables: Path, loaded_engine: Engine):
    found = pd.read_csv(tables / "layer_1" / "latent_df.csv", index_col=0)
    query = """
        SELECT turned.*, firing_rate FROM atlas.decoder_cosine AS turned
        JOIN atlas.regime ON regime.id = regime_id JOIN atlas.feature USING (run_id, layer, feature)
        WHERE regime.name = 'text' AND layer = 1 ORDER BY feature
    """
    expected = pd.read_sql(query, loaded_engine)

    for theirs, ours in {
        "dec_base_norm": "base_norm",
        "dec_ft_norm": "adapted_norm",
        "dec_cos_sim": "cosine",
        "enc_cos_sim": "encoder_cosine",
        "freq": "firing_rate",
    }.items():
        np.testing.assert_allclose(found[theirs], expected[ours], rtol=1e-6)


def test_norm_differences_and_tags_follow_the_toolkits_formula(tables: Path):
    found = pd.read_csv(tables / "layer_0" / "latent_df.csv", index_col=0)
    base, adapted = found["dec_base_norm"], found["dec_ft_norm"]
    difference = ((base - adapted) / np.maximum(base, adapted) + 1) / 2
    words = np.select(
        [difference < 0.1, difference > 0.9, (difference - 0.5).abs() < 0.1],
        ["ft_only", "base_only", "shared"],
        "other",
    )

    np.testing.assert_allclose(found["dec_norm_diff"], difference, rtol=1e-6)
    assert found["tag"].tolist() == words.tolist()
    assert {"shared", "other"} <= set(found["tag"])


@pytest.mark.parametrize(
    ("base", "adapted", "difference", "word"),
    [
        (0, 1, 0, "ft_only"),
        (1, 0, 1, "base_only"),
        (2, 2, 0.5, "shared"),
        (1, 2, 0.25, "other"),
        (0, 0, 0.5, "shared"),
    ],
)
def test_the_ends_and_the_middle(base: float, adapted: float, difference: float, word: str):
    assert norm_difference(base, adapted) == difference
    assert tag(difference) == word
