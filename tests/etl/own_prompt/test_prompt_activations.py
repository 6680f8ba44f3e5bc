"""One prompt against the whole model's own forward, and the encoder's formula in float64."""

import numpy as np
import pytest
import torch
from PIL import Image
from stage_runs.own_prompt_run import D_SAE, LAYERS, N_TOKENS, SILENT, K, RandomRun

from feature_atlas.etl.own_prompt.prompt_activations import (
    Asked,
    Order,
    PromptActivations,
    prompt_activations,
)
from feature_atlas.etl.own_prompt.run_model import RunModel
from feature_atlas.etl.stages.features.feature_choice import Feature

QUESTION, SUFFIX = "is the red circle left of the blue square", "answer yes or no"
N_PATCHES = 4


@torch.no_grad()
def dense(random: RandomRun, picture: Image.Image) -> np.ndarray:
    """Activations [layer, token, feature] of all tokens behind the constant prefix."""
    model, processor = random.model.study.vlm
    text = f"<s>USER: <image>\n{QUESTION}\n{SUFFIX} ASSISTANT:"
    given = processor(text=text, images=picture, add_special_tokens=False, return_tensors="pt")
    caught = []
    layers = model.model.language_model.layers
    hooks = [
        layers[layer].register_forward_hook(lambda _, __, hidden: caught.append(hidden))
        for layer in LAYERS
    ]
    model(**given)
    for hook in hooks:
        hook.remove()
    first = int((given["input_ids"][0] == model.config.image_token_id).nonzero()[0])
    found = []
    for layer, hidden in zip(LAYERS, caught, strict=True):
        sae = random.saes[layer]
        gate = sae.scale * hidden[0, first:].double() @ sae.w_enc.double() + sae.b_enc.double()
        gate *= sae.w_dec.double().norm(dim=1)
        kept = gate >= gate.topk(K, dim=1).values[:, -1:]
        found.append((gate * kept).relu().numpy())
    return np.stack(found)


def unusual(random: RandomRun, activations: np.ndarray) -> np.ndarray:
    """The same over the root mean square of firings in the run."""
    known = {name: column.reshape(len(LAYERS), D_SAE) for name, column in random.known.items()}
    n_text = N_TOKENS["question"] + N_TOKENS["suffix"] + N_TOKENS["header"]
    with np.errstate(divide="ignore", invalid="ignore"):
        image = np.sqrt(known["energy_image"] * N_TOKENS["image"] / known["fired_image"])
        text = np.sqrt(known["energy_question"] * n_text / known["fired_question"])
        ratio = activations / text[:, None]
        ratio[:, :N_PATCHES] = activations[:, :N_PATCHES] / image[:, None]
    return ratio


@pytest.fixture(scope="module")
def picture(random: RandomRun) -> Image.Image:
    return Image.open(random.pictures[0]).convert("RGB")


def ask(model: RunModel, picture: Image.Image, **asked: object) -> PromptActivations:
    return prompt_activations(model, Asked(picture, QUESTION, LAYERS)._replace(**asked))


def test_every_activation_is_that_of_the_models_own_forward(random, picture) -> None:
    truth = dense(random, picture)

    found = ask(random.model, picture, n_features=len(LAYERS) * D_SAE)

    laid = np.zeros_like(truth)
    ratios = np.zeros_like(truth)
    for one in found.features:
        laid[LAYERS.index(one.layer), one.tokens, one.feature] = one.activations
        ratios[LAYERS.index(one.layer), one.tokens, one.feature] = [
            np.nan if ratio is None else ratio for ratio in one.times_usual
        ]
    np.testing.assert_allclose(laid, truth, rtol=1e-4, atol=1e-4)
    expected = np.where(truth > 0, unusual(random, truth), 0)
    expected[~np.isfinite(expected)] = np.nan
    np.testing.assert_allclose(ratios, expected, rtol=1e-3, atol=1e-4)
    assert np.isnan(ratios[:, :N_PATCHES, SILENT]).sum() == (truth[:, :N_PATCHES, SILENT] > 0).sum()


def test_tokens_say_their_text_their_role_and_their_place(random, picture) -> None:
    found = ask(random.model, picture)

    roles = [token.role for token in found.tokens]
    assert roles[:N_PATCHES] == ["image"] * N_PATCHES
    # 56 x 28 pixels, of which the processor cuts out the middle square
    assert [token.box for token in found.tokens[:N_PATCHES]] == [
        (14, 0, 28, 14), (28, 0, 42, 14), (14, 14, 28, 28), (28, 14, 42, 28)
    ]  # fmt: skip
    text = "".join(token.text for token in found.tokens)
    assert text.strip() == f"{QUESTION}\n{SUFFIX} ASSISTANT:"
    of_question = "".join(t.text for t in found.tokens if t.role == "question")
    assert of_question.strip() == QUESTION
    assert (found.width, found.height, found.layers) == (56, 28, list(LAYERS))


@pytest.mark.parametrize("order", Order)
def test_the_strongest_of_each_token_and_of_each_part_come_first(random, picture, order) -> None:
    truth = dense(random, picture)
    strength = truth if order == Order.ACTIVATION else unusual(random, truth)
    strength = np.where(np.isfinite(strength), strength, 0)

    found = ask(random.model, picture, n_features=3, n_per_token=2, order=order)

    for number in range(len(found.tokens)):
        listed = [one for one in found.strongest if one.token == number]
        values = [strength[LAYERS.index(f.layer), number, f.feature] for f in listed]
        best = np.sort(strength[:, number].ravel())[:-3:-1]
        np.testing.assert_allclose(values, best, rtol=1e-4)
    listed = {(LAYERS.index(one.layer), one.feature) for one in found.features}
    expected = set()
    for part in (strength[:, :N_PATCHES], strength[:, N_PATCHES:]):
        peak = part.max(1)
        best = np.argsort(-peak.ravel())[:3]
        expected |= {tuple(map(int, divmod(place, D_SAE))) for place in best}
    assert listed == expected
    peaks = [strength[LAYERS.index(f.layer), :, f.feature].max() for f in found.features]
    assert peaks == sorted(peaks, reverse=True)


def test_a_feature_that_is_asked_for_is_shown_even_if_silent(random, picture) -> None:
    truth = dense(random, picture)
    silent = int(np.flatnonzero(truth[1].max(0) == 0)[0])

    found = ask(random.model, picture, n_features=1, also=(Feature(1, silent),))

    last = found.features[-1]
    assert (last.layer, last.feature, last.tokens, last.activations) == (1, silent, [], [])


def test_an_encoder_that_has_no_room_is_read_again(random, picture) -> None:
    one_encoder = 4 * random.saes[0].w_enc.numel()
    narrow = RunModel(random.model.study)
    narrow.room = 1.5 * one_encoder

    assert ask(narrow, picture) == ask(random.model, picture)
    assert list(narrow.kept) == [0]
    assert list(random.model.kept) == list(LAYERS)


def test_a_picture_of_the_run_is_found_by_its_hash_alone(random, tmp_path) -> None:
    (sha256, _) = random.model._pictures

    assert random.model.picture(sha256).size == (56, 28)
    with pytest.raises(FileNotFoundError, match="has no picture '/etc/passwd"):
        random.model.picture("/etc/passwd")
