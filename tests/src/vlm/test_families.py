"""Every family runs as transformers itself runs it: the whole model's plain forward is the referee.

Greatest difference at a token, relative to the residual's length there; models are random, in
float32, with weights so large that a wrong mask or position changes residuals by percents.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import pytest
import torch
from families import N_LAYERS, QUESTIONS, SUFFIX, TRIED, WIDTH, Family, family, prompts
from torch import Tensor

from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.sae import Encoder, Sae
from feature_atlas.heads.head_attribution import run_clean_and_corrupt
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.forward_check import Own
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.head_probe import record_heads
from feature_atlas.vlm.image_features import (
    accepted,
    image_features,
    mean_image,
)
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.residual_stream import decoder_layers, edit_residual, logits, residuals
from feature_atlas.vlm.resume import added_between, clean_run, resumed_logits
from feature_atlas.vlm.token_roles import (
    TEXT_ROLES,
    PromptBatch,
    Role,
    constant_prefix,
    encode_prompts,
)

LAYERS = range(N_LAYERS)
BOUND = 1e-5


class Case(NamedTuple):
    """A family with two prompts."""

    family: Family
    batch: PromptBatch
    own: Own

    def apart(self, found: dict[int, Tensor], own: dict[int, Tensor] | None = None) -> float:
        """The greatest difference of residuals."""
        is_token = self.batch.attention_mask.bool()
        pairs = [(found[i][is_token], (own or self.own.residuals)[i][is_token]) for i in found]
        return max(float(((a - b).norm(dim=-1) / b.norm(dim=-1)).max()) for a, b in pairs)


def own_forward(family: Family, batch: PromptBatch, **changed: Any) -> Own:
    """The whole model, called as its documentation says."""
    captured: dict[int, Tensor] = {}

    def keep(layer: int, _module: object, _args: object, output: Tensor) -> None:
        captured[layer] = output

    layers = enumerate(decoder_layers(family.model))
    hooks = [layer.register_forward_hook(partial(keep, i)) for i, layer in layers]
    given = accepted(family.model.forward, batch.processed) | changed
    with torch.no_grad():
        found = family.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False, **given
        )
    for hook in hooks:
        hook.remove()
    last = batch.attention_mask.sum(1) - 1
    return Own(captured, found.logits[torch.arange(len(last)), last])


@lru_cache(maxsize=2)
def case_of(name: str) -> Case:
    made = family(name)
    batch = prompts(made)
    return Case(made, batch, own_forward(made, batch))


@pytest.fixture(params=TRIED)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def text_of(batch: PromptBatch) -> Tensor:
    return torch.isin(batch.roles, torch.tensor(TEXT_ROLES))


def relative(found: Tensor, own: Tensor) -> float:
    return float((found - own).abs().max() / own.abs().max())


@torch.no_grad()
def test_residuals_and_answers_are_the_models_own(case: Case) -> None:
    inputs = decoder_inputs(case.family.model, case.batch)

    assert case.apart(residuals(case.family.model, inputs, LAYERS)) <= BOUND
    assert relative(logits(case.family.model, inputs), case.own.logits) <= BOUND


GATES = {"topk": TopK(5), "threshold": Threshold(0.4 + 0.02 * torch.arange(48.0))}


@pytest.mark.parametrize("gate", GATES)
def test_codes_are_the_formula_on_the_models_own_residuals(case: Case, gate: str) -> None:
    """In float64; decoder norms differ, the gate sees them or does not."""
    draw = torch.Generator().manual_seed(2)
    w_enc, w_dec = (torch.randn(shape, generator=draw) for shape in ((WIDTH, 48), (48, WIDTH)))
    b_enc = torch.randn(48, generator=draw)
    sae = Sae(w_enc, b_enc, w_dec, torch.zeros(WIDTH), GATES[gate], 0.3)
    own = case.own.residuals[1][case.batch.attention_mask.bool()].double()

    codes = Encoder.of(sae).encode(harvest(case.family.model, case.batch, [1]).residuals[1])

    length = w_dec.double().norm(dim=-1)
    g = 0.3 * own @ w_enc.double() + b_enc.double()
    if isinstance(sae.gate, Threshold):
        expected = torch.where(g > sae.gate.theta, g * length, 0)
    else:
        kept = (g * length).topk(5).indices
        expected = torch.zeros_like(g).scatter(1, kept, (g * length).gather(1, kept).relu())
    found = torch.zeros_like(expected).scatter_add(1, codes.indices, codes.values.double())
    assert (found > 0).sum() > len(own)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


@torch.no_grad()
def test_looking_into_heads_changes_nothing(case: Case) -> None:
    inputs = decoder_inputs(case.family.model, case.batch)

    assert case.apart(record_heads(case.family.model, inputs, LAYERS).residuals) <= BOUND


@torch.no_grad()
def test_other_features_stand_where_the_pictures_stood(case: Case) -> None:
    model, batch = case.family.model, case.batch
    own = image_features(model, batch)
    mean = mean_image(model, [batch]).in_place_of(own, batch)

    found = residuals(model, decoder_inputs(model, batch, mean), LAYERS)

    given = {"mm_encoder_outputs": {"image": mean.output}, "pixel_values": None}
    expected = own_forward(case.family, batch, **given).residuals
    assert case.apart(found, expected) <= BOUND
    assert case.apart(found) > 0.01  # and not the picture itself


def test_attribution_runs_both_pictures_together(case: Case) -> None:
    model, batch = case.family.model, case.batch
    own = image_features(model, batch)
    other = own.replaced([level.flip(0) for level in own.levels])

    both = run_clean_and_corrupt(
        model, decoder_inputs(model, batch.twice(), own.and_then(other)), LAYERS
    )

    clean, corrupt = (
        {i: x.chunk(2)[half].detach() for i, x in both.heads.residuals.items()} for half in (0, 1)
    )
    assert case.apart(clean) <= BOUND
    with torch.no_grad():
        alone = residuals(model, decoder_inputs(model, batch, other), LAYERS)
    assert case.apart(corrupt, alone) <= BOUND


@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_a_resumed_run_is_a_whole_one_with_the_same_edit(case: Case, layer: int) -> None:
    model, batch, is_text = case.family.model, case.batch, text_of(case.batch)
    pushed = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))

    def edit(hidden: Tensor) -> Tensor:
        here = is_text[:, -hidden.shape[1] :].unsqueeze(-1)
        return torch.where(here, hidden + pushed, hidden)

    clean = clean_run(model, decoder_inputs(model, batch), layer, is_text)
    found = resumed_logits(model, clean, edit(clean.residual))

    with edit_residual(model, layer, edit):
        expected = own_forward(case.family, batch).logits
    assert relative(found, expected) <= BOUND
    assert relative(found, case.own.logits) > 0.01


@torch.no_grad()
def test_a_reply_is_what_the_whole_forward_would_say_next(case: Case) -> None:
    model, batch = case.family.model, case.batch

    replied = with_reply(model, batch, 3)

    whole = own_forward(case.family, replied)
    found = residuals(model, decoder_inputs(model, replied), LAYERS)
    assert Case(case.family, replied, whole).apart(found) <= BOUND
    for row, n_asked in enumerate(batch.attention_mask.sum(1).tolist()):
        said = replied.input_ids[row][replied.roles[row] == Role.ANSWER]
        ends = torch.tensor(model.generation_config.eos_token_id or -1)
        first = case.own.logits[row].argmax()
        assert (len(said) and said[0] == first) or torch.isin(first, ends)
        assert torch.equal(replied.input_ids[row, :n_asked], batch.input_ids[row, :n_asked])


@torch.no_grad()
def test_a_prompt_without_a_picture_runs_too(case: Case) -> None:
    batch = encode_prompts(case.family.processor, QUESTIONS, None, suffix=SUFFIX)

    found = residuals(case.family.model, decoder_inputs(case.family.model, batch), LAYERS)

    own = own_forward(case.family, batch)
    assert Case(case.family, batch, own).apart(found) <= BOUND
    assert not (batch.roles == Role.IMAGE).any()


def test_every_token_has_the_role_of_its_characters(case: Case) -> None:
    tokenizer, batch = case.family.processor.tokenizer, case.batch

    for row, question in enumerate(QUESTIONS):
        of = {role: batch.input_ids[row][batch.roles[row] == role] for role in Role}
        asked = tokenizer.decode(of[Role.QUESTION])
        assert asked.strip().endswith(question)
        assert not asked.replace(question, "").replace("<|vision_end|>", "").strip()
        assert tokenizer.decode(of[Role.SUFFIX]).strip() == SUFFIX
        assert set(of[Role.IMAGE].tolist()) == {case.family.model.config.image_token_id}
        assert len(of[Role.HEADER])
    assert len(constant_prefix(batch)) == (batch.roles[0] <= Role.PREFIX).cumprod(0).sum()


@torch.no_grad()
def test_features_of_more_levels_than_one_are_replaced_level_by_level() -> None:
    case = case_of("qwen3_vl")
    model, batch = case.family.model, case.batch
    own = image_features(model, batch)
    only_deep = own.replaced([own.levels[0], *(0 * level for level in own.levels[1:])])

    found = residuals(model, decoder_inputs(model, batch, only_deep), LAYERS)

    assert isinstance(only_deep, ImageFeatures)
    assert added_between(model, decoder_inputs(model, batch)) == [0, 1]
    plain = case_of("llava")
    assert added_between(plain.family.model, decoder_inputs(plain.family.model, plain.batch)) == []
    assert len(own.levels) == 3
    torch.testing.assert_close(found[0], case.own.residuals[0])  # added after layer 0
    assert case.apart({1: found[1]}) > 0.01


@pytest.mark.parametrize(("name", "n_tokens"), [("pixtral", 12), ("mistral3", 4)])
@torch.no_grad()
def test_pictures_of_any_size_run_by_their_sizes(name: str, n_tokens: int) -> None:
    """Prompts made by hand, as the processor of these families makes them."""
    made = family(name)
    model, image = made.model, made.model.config.image_token_id
    sizes = (
        torch.tensor([[56, 42], [42, 56]]) if name == "pixtral" else torch.tensor([[56, 56]] * 2)
    )
    ids = torch.tensor([[1, 7, *[image] * n_tokens, 9, 8, 5], [1, 7, *[image] * n_tokens, 6, 3, 0]])
    mask = torch.ones_like(ids)
    mask[1, -1] = 0
    roles = torch.where(ids == image, int(Role.IMAGE), int(Role.QUESTION)).masked_fill(
        mask == 0, -1
    )
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(2))
    batch = PromptBatch(ids, mask, roles, {"pixel_values": pixels, "image_sizes": sizes})
    own = own_forward(made, batch)

    inputs = decoder_inputs(model, batch)

    assert Case(made, batch, own).apart(residuals(model, inputs, LAYERS)) <= BOUND
    assert relative(logits(model, inputs), own.logits) <= BOUND
