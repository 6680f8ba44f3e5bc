"""The check at a run's beginning passes what is right, and names the piece that is not."""

import copy
from collections.abc import Callable

import pytest
import torch
from families import family, prompts
from transformers import PreTrainedModel

from feature_atlas.vlm import forward_check, head_probe
from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.forward_check import (
    BOUNDS,
    Agreement,
    Piece,
    check_forward,
    own_forward,
    require_own_features,
    require_own_forward,
)
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.token_roles import PromptBatch, Role

LAYERS = (0, 2)
BOUND = BOUNDS[torch.float32]


def model_and_prompts(name: str) -> tuple[PreTrainedModel, PromptBatch]:
    made = family(name)
    return made.model, prompts(made)


def wrong(found: list[Agreement]) -> set[tuple[Piece, int]]:
    return {(one.piece, one.layer) for one in found if not one.difference <= BOUND}


@pytest.mark.parametrize("name", ["llava_gemma2", "gemma3", "qwen3_vl"])
def test_a_model_that_is_run_rightly_passes(name: str) -> None:
    found = check_forward(*model_and_prompts(name), LAYERS)

    every = {(piece, layer) for piece in ("residual", "heads", "resumed") for layer in LAYERS}
    assert {(one.piece, one.layer) for one in found} == every | {("answer", 2)}
    assert not wrong(found)
    require_own_forward(found, BOUND)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_remembered_of_pictures_is_held_against_the_own_forward(dtype: torch.dtype) -> None:
    model, batch = model_and_prompts("llava")
    model = copy.deepcopy(model).to(dtype)

    found = [one for one in check_forward(model, batch, LAYERS) if one.piece == "remembered"]

    assert [one.layer for one in found] == list(LAYERS)
    require_own_forward(found, BOUNDS[dtype])


def test_keys_of_another_picture_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_prompts("llava")
    real = forward_check.prompt_keys
    swapped = torch.tensor([1, 0])
    monkeypatch.setattr(forward_check, "prompt_keys", lambda *given: real(*given).of(swapped))

    found = check_forward(model, batch, LAYERS)

    assert wrong(found) == {("remembered", 0), ("remembered", 2)}
    with pytest.raises(ValueError, match="behind what is remembered of a picture differ"):
        require_own_forward(found, BOUND)


def changed(**replaced: object) -> Callable[..., DecoderInputs]:
    """What the text model gets, with some of it replaced; None: left out."""
    real = forward_check.decoder_inputs

    def other(*given: object) -> DecoderInputs:
        inputs = real(*given)
        further = {n: v for n, v in inputs.further.items() if n not in replaced}
        kept = {n: v for n, v in replaced.items() if v is not None}
        return inputs._replace(further=further | kept)

    return other


def test_a_dropped_soft_cap_is_seen_in_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_prompts("llava_gemma2")
    real = head_probe.attention_pattern
    monkeypatch.setattr(head_probe, "attention_pattern", lambda *given: real(*given[:4]))

    found = check_forward(model, batch, LAYERS)

    assert wrong(found) == {("heads", 0), ("heads", 2), ("resumed", 0)}
    with pytest.raises(ValueError, match=r"heads are looked into differ .* at layer 0.*resumed"):
        require_own_forward(found, BOUND)


def test_a_shifted_layer_is_seen_in_the_residuals(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_prompts("llava")
    real = forward_check.residuals
    monkeypatch.setattr(
        forward_check,
        "residuals",
        lambda model, inputs, layers: {at: real(model, inputs, [at + 1])[at + 1] for at in layers},
    )

    found = check_forward(model, batch, (0, 1))

    assert wrong(found) == {(piece, at) for piece in ("residual", "remembered") for at in (0, 1)}
    with pytest.raises(ValueError, match=r"taken from differ .*\(also wrong: remembered\)"):
        require_own_forward(found, BOUND)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("gemma3", "attention_mask"), ("paligemma", "attention_mask"), ("qwen2_5_vl", "position_ids")],
)
def test_another_mask_or_position_is_seen_everywhere(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    """Pictures that look both ways, a prefix that does, positions of three axes."""
    model, batch = model_and_prompts(name)
    monkeypatch.setattr(forward_check, "decoder_inputs", changed(**{missing: None}))

    found = check_forward(model, batch, LAYERS)

    assert {("residual", 0), ("residual", 2), ("heads", 2), ("answer", 2)} <= wrong(found)


def test_a_projector_with_other_weights_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_prompts("llava")
    real = forward_check.decoder_inputs

    def other(model: PreTrainedModel, batch: PromptBatch) -> DecoderInputs:
        own = image_features(model, batch)
        return real(model, batch, own.replaced([1.01 * own.levels[0]]))

    monkeypatch.setattr(forward_check, "decoder_inputs", other)

    assert {("residual", 0), ("answer", 2)} <= wrong(check_forward(model, batch, LAYERS))


def test_an_image_token_too_many_is_an_error() -> None:
    model, batch = model_and_prompts("llava")
    ids, roles = batch.input_ids.clone(), batch.roles.clone()
    ids[0, 0], roles[0, 0] = model.config.image_token_id, Role.IMAGE

    with pytest.raises(ValueError, match="9 image tokens in the prompts, 8 image embeddings"):
        check_forward(model, batch._replace(input_ids=ids, roles=roles), LAYERS)


def test_numbers_that_are_none_are_wrong() -> None:
    found = [Agreement("residual", 1, float("nan"))]

    with pytest.raises(ValueError, match=r"by nan at layer 1, expected at most 0\.0001"):
        require_own_forward(found, BOUND)


def test_a_wrong_cap_is_beyond_the_bound_of_bfloat16_and_rounding_is_not() -> None:
    model, batch = model_and_prompts("llava_gemma2")
    half = model.bfloat16()

    found = check_forward(half, batch, LAYERS)

    require_own_forward(found, BOUNDS[torch.bfloat16])
    uncapped = own_forward(_without_caps(half), batch, LAYERS)
    capped = own_forward(model_and_prompts("llava_gemma2")[0], batch, LAYERS)
    apart = (uncapped.residuals[2].float() - capped.residuals[2]).norm() / capped.residuals[
        2
    ].norm()
    assert apart > BOUNDS[torch.bfloat16]


def _without_caps(model: PreTrainedModel) -> PreTrainedModel:
    for layer in model.get_decoder().layers:
        layer.self_attn.attn_logit_softcapping = None
    return model


def test_features_by_themselves_are_held_against_those_of_the_batch() -> None:
    model, batch = model_and_prompts("qwen3_vl")
    with torch.no_grad():
        own = image_features(model, batch)
    require_own_features(model, batch._replace(features=own))

    for level in range(len(own.levels)):
        levels = [one * (1.001 if i == level else 1) for i, one in enumerate(own.levels)]
        with pytest.raises(ValueError, match="themselves differ from those in a batch"):
            require_own_features(model, batch._replace(features=own.replaced(levels)))
