"""One pass over a few questions against every prompt run alone and kept whole, dense."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from stage_runs.some_layers import of_layers
from torch.utils._pytree import tree_leaves

from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.features import ExampleConfig
from feature_atlas.etl.inputs.samples import Sample, draw
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.dictionary import encoders
from feature_atlas.etl.stages.features import example, harvest, patch_activation, visual_energy
from feature_atlas.etl.stages.features import harvest_sums as gathered
from feature_atlas.etl.stages.features.shift_counts import ShiftCounts
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.statistics.bootstrap_weights import poisson_weights
from feature_atlas.toy.world import write_world
from feature_atlas.vlm.harvest import harvest as run_prompts
from feature_atlas.vlm.image_features import MeanImage, image_features
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

LAYERS, N_CONTROL, N_REPLICATES, N_TOP, N_SPREAD, N_RANDOM = (1, 4), 14, 30, 3, 4, 3


class Dense(NamedTuple):
    """Every token of some prompts in one layer."""

    activations: np.ndarray
    roles: np.ndarray
    rows: np.ndarray
    norms: np.ndarray

    def of(self, roles: Sequence[Role], rows: Sequence[int] | None = None) -> np.ndarray:
        """Activations of some roles, of some samples or of all."""
        keep = np.isin(self.roles, roles)
        return self.activations[keep if rows is None else keep & np.isin(self.rows, rows)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The shipped model and base dictionaries, a few questions, and what became of them."""
    world, home = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("home")
    write_world(world, seed=8, n_train_images=4, n_val_images=6, n_vsr_images=24, n_text_scenes=2)
    config = of_layers(demo_config(world), LAYERS)
    config = config.model_copy(
        update={
            "batch_size": 5,
            "harvest": config.harvest.model_copy(
                update={"n_control": N_CONTROL, "n_bootstrap": N_REPLICATES}
            ),
            "example": ExampleConfig(
                n_per_source=N_TOP, n_spread=N_SPREAD, n_random=N_RANDOM, n_reservoir=8
            ),
        }
    )
    study = open_study(open_run(config, home))
    study.mean_image = MeanImage((0.1 * torch.randn(16, study.base[1].w_enc.shape[0]),))
    with pytest.MonkeyPatch.context() as patch:
        patched(patch)
        for stage, write in (
            ("harvest", lambda output: harvest._gather_and_write(output, study)),
            ("visual_energy", lambda output: visual_energy._write(output, study)),
            ("example", lambda output: example._write(output, study)),
        ):
            (study.run / stage).mkdir()
            write(StageOutput(study.run / stage))
    yield study
    open_study.cache_clear()


def patched(patch: pytest.MonkeyPatch) -> None:
    """Base dictionaries in the place of adapted ones, no counts of skills, and small shards."""
    patch.setattr(encoders, "adapted_sae", lambda study, _, layer: study.base[layer])
    patch.setattr(gathered, "empty_counts", lambda *_: ShiftCounts({}, {}))
    patch.setattr(harvest, "add_counts", lambda *_: None)
    patch.setattr(harvest, "PROMPTS_PER_PART", 20)


def table(study: Study, name: str) -> pd.DataFrame:
    files = sorted(study.run.glob(f"*/{name}.*.parquet"))
    return pd.concat([pq.read_table(file).to_pandas() for file in files], ignore_index=True)


@torch.no_grad()
def dense(study: Study, samples: list[Sample], layer: int, condition: str = "real") -> Dense:
    """One prompt at a time through the model, then through SAELens' own dense encoder."""
    base = study.base[layer]
    theirs, parts = to_training_sae(base), []
    for row, sample in enumerate(samples):
        ((batch, _),) = study.prompts([sample], with_image=condition != "none")
        own = image_features(study.vlm.model, batch) if condition == "mean" else None
        mean = own and own.replaced(study.mean_image.levels)
        tokens = run_prompts(study.vlm.model, batch, [layer], image=mean)
        residual = tokens.residuals[layer]
        codes = theirs.encode(base.scale * residual).to_dense().double().numpy()
        norms = residual.double().norm(dim=1).numpy()
        parts.append((codes, tokens.roles.numpy(), np.full(len(norms), row), norms))
    return Dense(*map(np.concatenate, zip(*parts, strict=True)))


def control_rows(study: Study) -> list[int]:
    return draw(range(len(study.samples[harvest.BASE])), N_CONTROL, study.config.seed)


def nearly_all_equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """But for a tie at the k-th activation, which rounding may break otherwise."""
    return bool((found == expected).mean() > 0.995 and np.abs(found - expected).max() <= 2)


@pytest.mark.parametrize("layer", LAYERS)
def test_energies_are_those_of_dense_codes(study: Study, layer: int) -> None:
    base = study.samples[harvest.BASE]
    controls = [base[row] for row in control_rows(study)]
    real = dense(study, base, layer)
    ends = {
        "": real,
        "_mean_image": dense(study, controls, layer, "mean"),
        "_no_image": dense(study, controls, layer, "none"),
    }
    everything = table(study, "visual_energy")
    rows = everything[everything.layer == layer]

    for end, tokens in ends.items():
        for name, roles in (
            ("question", TEXT_ROLES),
            ("question_only", [Role.QUESTION]),
            ("header", [Role.HEADER]),
            ("image", [Role.IMAGE]),
        ):
            expected = tokens.of(roles)
            if len(expected) == 0:
                assert (name, end) == ("image", "_no_image")
                assert "energy_image_no_image" not in rows
                continue
            energy = rows[f"energy_{name}{end}"]
            np.testing.assert_allclose(energy, (expected**2).mean(0), rtol=1e-3, atol=1e-3)
            assert nearly_all_equal(rows[f"fired_{name}{end}"].to_numpy(), (expected > 0).sum(0))
    text = real.of(TEXT_ROLES)
    np.testing.assert_allclose(rows.max_activation, text.max(0), rtol=1e-3, atol=1e-2)
    fires = (text > 0).sum(0) > 5
    mean = text.sum(0)[fires] / (text > 0).sum(0)[fires]
    np.testing.assert_allclose(rows.mean_activation[fires], mean, rtol=0.3)
    assert np.median(np.abs(rows.mean_activation[fires] / mean - 1)) < 1e-5
    assert rows.mean_activation[(text == 0).all(0)].isna().mean() > 0.99
    all_tokens = (real.of([role for role in Role if role > Role.BOS]) ** 2).mean(0)
    np.testing.assert_allclose(rows.energy_all_tokens, all_tokens, rtol=1e-3, atol=1e-3)
    assert "energy_suffix" not in rows  # this world's prompts have none


def test_the_preference_compares_the_same_questions(study: Study) -> None:
    base, layer = study.samples[harvest.BASE], LAYERS[1]
    chosen = control_rows(study)
    controls = [base[row] for row in chosen]
    rows = table(study, "visual_energy").query("layer == @layer")
    images = study.image_numbers[harvest.BASE].numpy()[chosen]
    numbers = np.unique(images)
    weights = poisson_weights(torch.from_numpy(numbers), N_REPLICATES, study.config.seed).numpy()
    of = {name: dense(study, controls, layer, name) for name in ("real", "mean", "none")}

    def energies(tokens: Dense) -> np.ndarray:
        """The energy itself, then that of each replicate."""
        squares = [tokens.of(TEXT_ROLES, np.flatnonzero(images == n)) ** 2 for n in numbers]
        sums, sizes = np.array([s.sum(0) for s in squares]), np.array([len(s) for s in squares])
        drawn = np.concatenate([np.ones((len(numbers), 1)), weights], 1).T
        return drawn @ sums / np.maximum(drawn @ sizes, 1)[:, None]

    energy = {name: energies(tokens) for name, tokens in of.items()}
    np.testing.assert_allclose(
        rows.energy_question_control, energy["real"][0], rtol=1e-3, atol=1e-3
    )
    for column, other in (("modality_preference", "none"), ("mean_image_preference", "mean")):
        ratio = np.log((energy["real"] + 1e-3) / (energy[other] + 1e-3))
        low, high = np.percentile(ratio[1:], (2.5, 97.5), axis=0)
        for found, expected in (("", ratio[0]), ("_low", low), ("_high", high)):
            off = np.abs(rows[column + found].to_numpy() - expected)
            assert np.mean(off > 1e-3) < 0.01  # a tie at the k-th activation


def test_tokens_are_counted_by_role_and_norm(study: Study) -> None:
    base, layer = study.samples[harvest.BASE], LAYERS[0]
    tokens = dense(study, base, layer)
    found = table(study, "role_energy")
    assert len(found) == len(LAYERS) * (5 + 5 + 4)  # no suffix; without image no image tokens
    found = found[(found.layer == layer) & (found.condition == "real")].set_index("role")

    median = np.median(tokens.norms[tokens.roles > Role.BOS])
    assert found.sink_norm.iloc[0] == pytest.approx(10 * median, rel=0.07)
    for name, row in found.iterrows():
        mine = tokens.roles == Role[str(name).upper()]
        energy = (tokens.activations[mine] ** 2).sum(1)
        is_sink = tokens.norms[mine] > 10 * median
        assert row.n_tokens == mine.sum()
        assert row.n_sinks == is_sink.sum()
        assert row.energy == pytest.approx(energy.mean(), rel=1e-3)
        assert row.sink_share == pytest.approx(energy[is_sink].sum() / energy.sum(), abs=1e-3)


@pytest.mark.parametrize(("source", "split"), gathered.SOURCES.items())
def test_examples_are_the_strongest_and_others(study: Study, source: str, split: str) -> None:
    layer = LAYERS[1]
    samples = study.samples[split]
    tokens = dense(study, samples, layer)
    is_text = np.isin(tokens.roles, TEXT_ROLES)
    shown = table(study, "example")
    shown = shown[(shown.layer == layer) & (shown.source == source)]
    shown["row"] = shown["sample"] - study.first_number[split]
    shown["image"] = study.image_numbers[split].numpy()[shown.row]
    strongest = np.array(
        [tokens.activations[is_text & (tokens.rows == row)].max(0) for row in range(len(samples))]
    )
    images = study.image_numbers[split].numpy()

    for feature, rows in shown.groupby("feature"):
        rows = rows.sort_values("rank")
        assert rows["rank"].tolist() == list(range(len(rows)))
        assert rows["sample"].is_unique
        assert rows.image[rows["draw"].isna()].is_unique
        activation = strongest[:, int(feature)]
        by_image = pd.Series(activation).groupby(images).max()
        best = by_image[by_image > 0].nlargest(N_TOP).to_numpy()
        top = rows[rows["quantile"].isna()]
        if len(top) == len(best):
            np.testing.assert_allclose(top.max_activation, best, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(rows.max_activation, activation[rows.row], rtol=1e-3, atol=1e-2)
        others = rows[~rows["quantile"].isna()]
        assert len(others) <= N_SPREAD + N_RANDOM
        assert others["quantile"].is_monotonic_decreasing
        for kind in (top, others):
            assert kind.max_activation.is_monotonic_decreasing
        drawn = rows[rows["draw"].notna()]
        assert drawn.image.is_unique
        # every picture on which it fires could be drawn, whether it is among the strongest or not
        assert sorted(drawn["draw"]) == list(range(min(N_RANDOM, (by_image > 0).sum())))
    assert shown["quantile"].notna().sum() > 50
    for row in shown.sample(40, random_state=0).itertuples():
        mine = tokens.activations[is_text & (tokens.rows == row.row), row.feature]
        np.testing.assert_allclose(row.activations, mine, rtol=1e-3, atol=0.05)
        assert row.activations[row.max_token] == max(row.activations)


def test_patches_carry_the_activations_of_dense_codes_on_image_tokens(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(monkeypatch)
    few = {layer: list(range(0, 1024, 40)) for layer in LAYERS}
    monkeypatch.setattr(patch_activation, "adapted_features", lambda *_: few)
    (study.run / "patch_activation").mkdir()
    output = StageOutput(study.run / "patch_activation")
    patch_activation._write(output, study)
    rows = table(study, "patch_activation")
    shown = table(study, "example")
    of_few = shown[shown.feature.isin(few[1])]
    keys = ["layer", "feature", "sample"]
    assert sorted(rows[keys].values.tolist()) == sorted(of_few[keys].values.tolist())
    assert output.warnings == []

    assert rows.patches.notna().sum() > 30
    for row in rows.sample(60, random_state=1).itertuples():
        one = dense(study, [sample_of(study, row.sample)], row.layer)
        expected = one.of([Role.IMAGE])[:, row.feature]
        assert row.max_activation == pytest.approx(expected.max(), rel=1e-3, abs=1e-2)
        found = np.frombuffer(row.patches or bytes(len(expected)), np.uint8)
        np.testing.assert_allclose(found / 255 * row.max_activation, expected, atol=0.05)


def test_the_same_is_gathered_of_all_layers_together_and_of_one_after_another(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(monkeypatch)
    part = harvest.parts_of(study)[0]
    shown = example.Part("vqav2", list(range(8)))
    together = harvest.gather(study.run, part), example.show(study.run, shown)
    one = study.config.harvest.model_copy(update={"layers_at_once": 1})
    monkeypatch.setattr(study, "config", study.config.model_copy(update={"harvest": one}))

    apart = harvest.gather(study.run, part), example.show(study.run, shown)

    assert list(apart[0].layers) == list(apart[1].codes) == list(LAYERS)
    pairs = zip(tree_leaves(apart), tree_leaves(together), strict=True)
    assert all(torch.equal(torch.as_tensor(one), torch.as_tensor(two)) for one, two in pairs)


def test_sinks_that_carry_the_energy_are_reported(study: Study, tmp_path: Path) -> None:
    from feature_atlas.features.role_energy import NormSums, role_energy

    output, sums = StageOutput(tmp_path), NormSums.empty()
    for norm, energy, n in ((1.0, 1.0, 19), (40.0, 9.0, 1)):
        place = int(torch.tensor(norm).view(torch.int32)) >> 19
        sums.tokens[Role.IMAGE, place] += n
        sums.energy[Role.IMAGE, place] += n * energy

    visual_energy._warn_of_sinks(output, 7, "real", role_energy(sums, 10.0))

    # one of twenty image tokens carries 9 of 28
    assert output.warnings == [
        "layer 7, real image: 1 of 20 image tokens are sinks (residual above 10 medians) and carry "
        "32% of the energy: see role_energy for the energy without them."
    ]
