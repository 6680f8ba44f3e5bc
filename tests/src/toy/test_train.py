import json

import pytest
import torch

from feature_atlas.toy import base_sae, train
from feature_atlas.toy.curriculum import EVERYTHING, Phase
from feature_atlas.toy.lessons import Plan
from feature_atlas.toy.train import train_language, train_toy, train_vision

pytestmark = pytest.mark.slow

SMALL = Phase("questions", 1.0, Plan(4, 3, EVERYTHING, n_pairs=2, n_facts=2), 1.0)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for phases in ("CURRICULUM", "OPENING_EYES", "SEEING"):
        monkeypatch.setattr(train, phases, (SMALL,))
    monkeypatch.setattr(train, "N_EXAM_SCENES", 8)
    monkeypatch.setattr(train, "N_MEAN_IMAGES", 8)
    monkeypatch.setattr(base_sae, "BUFFER_TOKENS", 2048)
    monkeypatch.setattr(base_sae, "N_HELD_OUT_BATCHES", 1)


def ignore(step: int, loss: float) -> None:
    pass


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_three_steps_of_language_lower_the_loss():
    losses = []

    train_language(0, 3, lambda step, loss: losses.append(loss))

    assert losses[2] < losses[0]


def test_a_few_steps_of_vision_lower_the_loss():
    losses = []
    language_model = train_language(0, 2, ignore)

    train_vision(language_model, 0, 12, lambda step, loss: losses.append(loss))

    # so few questions a step that one alone says little
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (train_language(seed, 2, ignore) for seed in (0, 0, 1))

    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_vision_of_the_same_seed_gives_the_same_weights():
    language_model = train_language(0, 2, ignore)

    first, again = (train_vision(language_model, 0, 2, ignore) for _ in range(2))

    assert same_weights(first, again)


def test_vision_leaves_the_language_model_itself_as_it_was():
    language_model = train_language(0, 2, ignore)
    before = language_model.model.embed_tokens.weight.clone()

    train_vision(language_model, 0, 4, ignore)

    assert torch.equal(language_model.model.embed_tokens.weight, before)


def test_training_everything_leaves_the_folders_and_a_report(tmp_path):
    n_threads = torch.get_num_threads()
    report = train_toy(
        tmp_path, seed=0, language_steps=1, vision_steps=1, sae_tokens=1024, threads=2
    )

    assert torch.get_num_threads() == n_threads
    assert report["threads"] == 2

    assert (tmp_path / "language_model/model.safetensors").exists()
    assert (tmp_path / "vlm/model.safetensors").exists()
    assert (tmp_path / "saes/layer_5/cfg.json").exists()
    assert report == json.loads((tmp_path / "training.json").read_text())
    assert set(report["accuracy"]) == {"text", "image", "mean_image"}
