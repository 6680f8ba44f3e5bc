"""Neutral prompts by shards and looks, against every prompt run alone from its first token."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from stage_runs.some_layers import of_layers
from torch import Tensor

from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.features import HarvestConfig, NeutralConfig
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.features import neutral_evidence as evidence
from feature_atlas.etl.stages.features import neutral_prompt as stage
from feature_atlas.etl.stages.features import neutral_runs, neutral_shard
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import BASE, skills_of
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.features.neutral_prompt import shuffled_samples, survives
from feature_atlas.statistics.counter_hash import counter_hash
from feature_atlas.toy.world import write_world
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.image_features import image_features, mean_image
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

LAYERS, N_PICTURES, N_REPLY, N_FEATURES = (1, 4), 8, 6, 24
SHARES = {"min_share": 0.5, "max_mean_share": 0.5}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The shipped model on a few pictures."""
    world, home = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("home")
    write_world(world, seed=3, n_train_images=4, n_val_images=N_PICTURES, n_vsr_images=24,
                n_text_scenes=2)  # fmt: skip
    config = of_layers(demo_config(world), LAYERS)
    config = config.model_copy(
        update={
            "batch_size": 5,
            "harvest": HarvestConfig(skills=("spatial", "colour")),
            "neutral": NeutralConfig(n_samples=N_PICTURES, n_reply_tokens=N_REPLY),
        }
    )
    study = open_study(open_run(config, home))
    shown = (batch for batch, _ in study.prompts(study.samples[BASE]))
    study.mean_image = mean_image(study.vlm.model, shown)
    yield study
    open_study.cache_clear()


@pytest.fixture(scope="module")
def prompts(study: Study) -> list[str]:
    skills = skills_of(study).values()
    return list(dict.fromkeys(prompt for skill in skills for prompt in skill.neutral_prompts))


@pytest.fixture(scope="module")
def alone(study: Study, prompts: list[str]) -> dict[int, Tensor]:
    """By layer, [prompt, picture, image, feature]: each prompt run by itself from its first token,
    and encoded by SAELens."""
    base, images, model = study.samples[BASE], study.image_numbers[BASE], study.vlm.model
    others = shuffled_samples(images, study.config.seed)
    encoders = {layer: to_training_sae(study.base[layer]) for layer in LAYERS}
    roles, found = torch.tensor([*TEXT_ROLES, Role.ANSWER]), {layer: [] for layer in LAYERS}
    for prompt in prompts:
        for picture in images.unique():
            row = int((images == picture).nonzero()[0])
            ((batch, _),) = study.prompts([base[row]], questions=[prompt])
            ((other, _),) = study.prompts([base[int(others[row])]], questions=[prompt])
            said = with_reply(model, batch, N_REPLY)
            own = image_features(model, batch)
            mean = own.replaced(study.mean_image.levels)
            for image in (own, mean, image_features(model, other)):
                tokens = harvest(model, said, LAYERS, image=image)
                is_read = torch.isin(tokens.roles, roles)
                for layer, encoder in encoders.items():
                    residual = tokens.residuals[layer][is_read]
                    codes = encoder.encode(study.base[layer].scale * residual).to_dense()
                    found[layer].append(codes.detach().amax(0))
    return {
        layer: torch.stack(of_layer).unflatten(0, (len(prompts), -1, 3))
        for layer, of_layer in found.items()
    }


@pytest.fixture(scope="module")
def chosen(alone: dict[int, Tensor]) -> dict[str, list[Feature]]:
    """Features of two skills, some of both, that fire neither always nor never."""
    found = {}
    for skill, first in (("spatial", 0), ("colour", 8)):
        found[skill] = []
        for layer in LAYERS:
            share = (alone[layer][:, :, 0] > 0).float().mean((0, 1))
            varied = (share - 0.5).abs().argsort()[first : first + N_FEATURES].sort().values
            found[skill] += [Feature(layer, int(f)) for f in varied]
    return found


def top_pictures(study: Study, layer: int, features: list[int]) -> Tensor:
    """Pictures in an order of each feature's own; some have fewer than others."""
    rows, pictures = [], study.image_numbers[BASE].unique()
    for feature in features:
        noise = np.random.default_rng([layer, feature])
        row = pictures[torch.from_numpy(noise.permutation(N_PICTURES))]
        row[int(noise.integers(2, N_PICTURES + 1)) :] = -1
        rows.append(row)
    return torch.stack(rows)


@pytest.fixture
def written(
    study: Study, chosen: dict[str, list[Feature]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Runs the stage, and reads what it wrote."""
    monkeypatch.setattr(evidence, "candidates_of", lambda _study, skill: chosen[skill])
    monkeypatch.setattr(evidence, "top_pictures", top_pictures)
    monkeypatch.setattr(neutral_shard, "adapted_sae", lambda study, _, layer: study.base[layer])

    def write() -> dict[str, pd.DataFrame]:
        folder = Path(tempfile.mkdtemp(prefix="neutral-", dir=study.run))
        stage._write(StageOutput(folder), study)
        return {
            table: pd.concat(
                pq.read_table(file).to_pandas() for file in sorted(folder.glob(f"{table}.*"))
            ).reset_index(drop=True)
            for table in ("neutral_prompt", "candidate")
        }

    return write


def test_verdicts_are_those_of_all_samples_and_counts_those_of_the_asked(
    study, prompts, alone, chosen, written
):
    found = written()
    verdicts = found["candidate"].set_index(["skill", "layer", "feature"]).survives
    by_candidate = found["neutral_prompt"].groupby(["skill", "layer", "feature"])

    n_left_out, pictures = 0, study.image_numbers[BASE].unique()
    for (skill, layer, feature), rows in by_candidate:
        top = top_pictures(study, layer, [feature])[0]
        top = top[top >= 0]
        order = top[counter_hash(study.config.seed, top).argsort()]
        survived = []
        for row in rows.itertuples():
            places = torch.searchsorted(pictures, order)
            seen = alone[layer][prompts.index(row.prompt), places, :, feature]
            n, (real, mean, _) = torch.tensor(len(seen)), (seen > 0).sum(0)
            survived.append(bool(survives(real, n, mean, **SHARES)))
            n_left_out += len(seen) - row.n_samples
            asked = seen[: row.n_samples]
            counted = (row.n_fired, row.n_fired_mean_image, row.n_fired_shuffled_image)
            assert counted == tuple((asked > 0).sum(0).tolist())
            assert row.mean_activation == pytest.approx(float(asked[:, 0].mean()), rel=1e-4)
        assert verdicts[skill, layer, feature] == any(survived)
    assert n_left_out > 0
    assert verdicts.nunique() == 2


def test_a_prompt_about_a_picture_is_run_once_whoever_asks(study, written, monkeypatch):
    runs: list[tuple[str, Path]] = []
    plain = neutral_runs.neutral_runs

    def watched(study, prompts, pictures, asked):
        for number, place in asked.nonzero().tolist():
            runs.append((prompts[number], pictures.own[place].image))
        yield from plain(study, prompts, pictures, asked)

    monkeypatch.setattr(neutral_shard, "neutral_runs", watched)
    written()

    assert len(runs) == len(set(runs))
    assert len({picture for _, picture in runs}) == N_PICTURES


def test_neither_batches_nor_shards_nor_shared_keys_change_what_is_found(
    study, written, monkeypatch
):
    by_two = study.config.model_copy(update={"batch_size": 2})
    changes = {
        "batches": [(study, "config", by_two)],
        "shards": [(neutral_shard, "N_PICTURES", 3)],
        "residuals that wait": [(neutral_shard, "KEPT_BYTES", 0)],
        "all pictures at once": [(neutral_runs, "_room", lambda _: 1e9)],
        "no keys": [(neutral_runs, "prompt_keys", lambda *_: None)],
        "other beginnings": [
            (neutral_runs, "_room", lambda _: 1e9),
            (neutral_runs.PromptKeys, "followed_by", lambda *_: None),
        ],
    }
    before = written()

    for change in changes.values():
        with monkeypatch.context() as patch:
            for replaced in change:
                patch.setattr(*replaced)
            after = written()
        for table, expected in before.items():
            pd.testing.assert_frame_equal(after[table], expected, rtol=1e-4)


def test_an_allowed_error_asks_less(study, written, monkeypatch):
    exact = written()["neutral_prompt"]
    neutral = study.config.neutral.model_copy(update={"max_error": 0.2})
    monkeypatch.setattr(study, "config", study.config.model_copy(update={"neutral": neutral}))

    rough = written()["neutral_prompt"]

    assert (rough.n_samples <= exact.n_samples).all()
    assert rough.n_samples.sum() < exact.n_samples.sum()
