"""Cached residuals: those of the model's own forward, in whatever passes, and in bounded room."""

from itertools import islice

import numpy as np
import pytest
import torch
from stage_runs.adapted_run import LAYERS, hashes, opened

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.dictionary.reconstruction import held_out_parts
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.stages.dictionary import residual_pass
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream, held_out_split
from feature_atlas.etl.stages.dictionary.residual_pass import CachedResiduals
from feature_atlas.etl.stages.dictionary.residual_plan import (
    needed_tokens,
    residual_plan,
    room_for_residuals,
)
from feature_atlas.etl.stages.dictionary.residual_store import (
    INDEX,
    ResidualWriter,
    StoredLayer,
    read_index,
    stored_bytes,
)
from feature_atlas.etl.study import Study
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role


def own_forward(study: Study, numbers: list[int], layer: int) -> torch.Tensor:
    """Hidden states of the whole model on its own pixels, without a hook of ours."""
    training, _ = held_out_split(study.samples["vqav2-train"])
    ((batch, _),) = study.prompts([training[n] for n in numbers], with_pixels=True)
    model = study.vlm.model
    outputs = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        output_hidden_states=True,
        **batch.processed,
    )
    return outputs.hidden_states[layer + 1]


@pytest.mark.parametrize("stream", ["prompts", "pictures"])
@torch.no_grad()
def test_what_is_kept_is_what_the_whole_model_computes(study: Study, tmp_path, stream: str):
    source = ActivationStream(study, stream)
    stored = CachedResiduals(source, tmp_path / "residuals", LAYERS).of(1)

    passes = stored.passes(source.order(), source.roles)
    for (prompts, batch), numbers in zip(islice(source.passes(), 3), passes, strict=False):
        is_wanted = torch.isin(batch.roles, torch.tensor(source.roles))
        expected = own_forward(study, prompts, 1)[is_wanted]
        torch.testing.assert_close(stored.rows(numbers), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stream", ["prompts", "pictures", "questions", "base-text"])
def test_a_training_reads_what_streaming_would_give_it(study: Study, tmp_path, stream: str):
    """All of the first epoch bit for bit, and the tokens that judge."""
    source = ActivationStream(study, stream)
    model, regime = source.load_model(), source.regimes[0]
    stored = CachedResiduals(source, tmp_path / "residuals", LAYERS).of(4)

    roles = REGIME_ROLES[regime]
    for (_, batch), numbers in zip(
        source.passes(), stored.passes(source.order(), roles), strict=False
    ):
        assert torch.equal(
            stored.rows(numbers), harvest(model, batch, [4]).only(roles).residuals[4]
        )
    judging = (harvest(model, batch, [4]) for batch in source.held_out())
    parts = list(held_out_parts(judging, source.judged_roles, study.config.adapt.n_held_out))
    residual, of_role = stored.held_out()
    assert torch.equal(residual, torch.cat([part.residuals[4] for part in parts]))
    assert torch.equal(of_role, torch.cat([part.roles for part in parts]))


def test_a_later_epoch_reads_the_same_rows_in_its_own_order(study: Study, tmp_path):
    longer = Study(study.run)
    adapt = study.config.adapt.model_copy(update={"n_tokens": 10**6})
    longer.config = study.config.model_copy(update={"adapt": adapt})
    source = ActivationStream(longer, "questions")
    stored = CachedResiduals(source, tmp_path / "residuals", LAYERS).of(1)
    n_epoch = -(-len(source) // study.config.batch_size)

    passes = list(islice(stored.passes(source.order(), TEXT_ROLES), 2 * n_epoch))

    first, second = torch.cat(passes[:n_epoch]), torch.cat(passes[n_epoch:])
    assert first.tolist() == list(range(len(stored.index.train)))
    assert not torch.equal(first, second)
    assert torch.equal(first, second.sort().values)


def test_few_prompts_are_run_where_image_tokens_train(study: Study, tmp_path):
    source = ActivationStream(study, "pictures")

    index = CachedResiduals(source, tmp_path / "residuals", LAYERS).of(1).index

    needed = needed_tokens(study.config.adapt)
    n_image = (index.train == Role.IMAGE).sum()
    of_pass = study.config.batch_size * 16
    assert needed <= n_image < needed + of_pass
    assert len(index.numbers) < 0.5 * len(source)


def test_one_layer_a_pass_gives_the_same_bytes_as_all(config: RunConfig, study: Study, tmp_path):
    width = 128 * 4
    n_tokens = needed_tokens(config.adapt) * 1.6 + 3 * 300  # image, text, and what judges
    adapt = config.adapt.model_copy(update={"scratch_gb": width * n_tokens / 1e9})
    tight = opened(config.model_copy(update={"adapt": adapt}), tmp_path)
    asked, largest = [], 0
    write, append = CachedResiduals._write, ResidualWriter._append

    def noted(cached, writer):
        asked.append(writer.layers)
        write(cached, writer)

    def watched(writer, part, tokens):
        nonlocal largest
        append(writer, part, tokens)
        rows = [f for f in writer.folder.parent.rglob("*") if f.suffix != ".npz"]
        largest = max(largest, sum(f.stat().st_size for f in rows))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CachedResiduals, "_write", noted)
        patch.setattr(ResidualWriter, "_append", watched)
        run_adapt(tight.run, "pictures")

    assert asked == [[1], [4]]
    assert 0 < largest <= width * n_tokens
    assert hashes(tight.run, "adapt-pictures") == hashes(study.run, "adapt-pictures")


class Killed(Exception):
    """As if the process had been killed here."""


def test_a_pass_killed_anywhere_is_gone_on_with_to_the_same_bytes(
    study: Study, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    """Before every token that is added: those that judge, those that train, and the index."""
    source = ActivationStream(study, "questions")
    whole = CachedResiduals(source, tmp_path / "whole", LAYERS).of(1)
    monkeypatch.setattr(residual_pass, "SAVED_EVERY", 2)
    append, patience = ResidualWriter._append, 0

    def appended(writer: ResidualWriter, *tokens: object) -> None:
        nonlocal patience
        patience -= 1
        if patience < 0:
            raise Killed
        append(writer, *tokens)

    monkeypatch.setattr(ResidualWriter, "_append", appended)
    cached, n_kills, found = CachedResiduals(source, tmp_path / "killed", LAYERS), 0, None
    while found is None:
        patience = n_kills + 1  # a little further each time
        try:
            found = cached.of(1)
        except Killed:
            n_kills += 1

    assert n_kills > 3
    for part in ("train.1", "held_out.1"):
        assert (found.folder / part).read_bytes() == (whole.folder / part).read_bytes()
    for name, value in whole.index._asdict().items():
        assert np.array_equal(getattr(found.index, name), value), name


def some_tokens(n: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> Tokens:
    random = torch.Generator().manual_seed(seed)
    rows = {layer: torch.randn(n, 4, generator=random).to(dtype) for layer in (2, 5, 7)}
    return Tokens(rows, torch.full((n,), Role.QUESTION), torch.arange(n) // 3)


def test_room_that_does_not_suffice_leaves_the_deepest_layers_to_another_pass(tmp_path):
    writer = ResidualWriter(tmp_path, [2, 5, 7], room=2 * 30 * 8)

    for i in range(5):
        writer.add([2 * i, 2 * i + 1], some_tokens(6, seed=i))
        assert stored_bytes(tmp_path) <= 2 * 30 * 8
    assert writer.layers == [2, 5]  # 30 tokens of 8 bytes at two layers
    with pytest.raises(ValueError, match=r"residuals of layer 2 take more than .*scratch_gb"):
        writer.add([10, 11], some_tokens(31))


def test_rows_come_back_in_the_models_own_kind_of_number(tmp_path):
    writer, tokens = ResidualWriter(tmp_path, [2, 5, 7], room=10**6), some_tokens(9)
    writer.add([3, 0, 8], tokens)
    writer.save(is_whole=True)

    stored = StoredLayer(tmp_path, read_index(tmp_path), 5)

    found = stored.rows(torch.tensor([8, 0, 4]))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, tokens.residuals[5][[8, 0, 4]])
    (numbers,) = stored.passes([[8, 3], [1]], TEXT_ROLES)  # prompt 1 is not there: it ends
    assert numbers.tolist() == [6, 7, 8, 0, 1, 2]


def test_files_shorter_than_their_index_are_begun_again(tmp_path):
    writer = ResidualWriter(tmp_path, [2, 5, 7], room=10**6)
    writer.add([0, 1], some_tokens(6))
    writer.save()
    whole = ResidualWriter(tmp_path, [2, 5, 7], room=10**6)
    (tmp_path / "train.5").write_bytes(b"")

    begun = ResidualWriter(tmp_path, [2, 5, 7], room=10**6)

    assert (whole.index.n_passes, begun.index.n_passes) == (1, 0)
    assert (tmp_path / "train.2").stat().st_size == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no archive at all"])
def test_an_index_that_cannot_be_read_is_begun_again(tmp_path, caplog, content: bytes):
    writer = ResidualWriter(tmp_path, [2, 5], room=10**6)
    writer.add([0, 1], some_tokens(6))
    writer.save()
    (tmp_path / INDEX).write_bytes(content)

    begun = ResidualWriter(tmp_path, [2, 5], room=10**6)

    assert begun.index.n_passes == 0
    assert (tmp_path / "train.2").stat().st_size == 0
    assert "cannot be read" in caplog.text


def test_the_plan_is_that_done_by_hand(config: RunConfig):
    """3M tokens of 576 or 15 in a prompt, of 45,000 prompts, at 8,192 bytes a token."""
    papers = config.adapt.model_copy(
        update={"n_tokens": 3_000_000, "batch_size": 4096, "buffer_size": 16_384}
    )
    needed, room = needed_tokens(papers), room_for_residuals(papers, 10**12)
    sizes = {"n_layers": 32, "n_prompts": 45_000, "row_bytes": 8192, "needed": needed}

    text = residual_plan(**sizes, trained=[15], kept=15, room=room)
    pictures = residual_plan(**sizes, trained=[576, 591, 591], kept=591, room=room)

    assert needed == 732 * 4096 + 16_384 + 4096
    assert room == 200 * 10**9
    assert text == (45_000, 45_000 * 15 * 8192, 32, 1)  # 5.5 GB a layer: all fit
    assert pictures.n_prompts == needed // 576 + 1  # 5,241
    assert pictures.layer_bytes == pytest.approx(25.4e9, rel=0.01)
    assert (pictures.layers_at_once, pictures.n_passes) == (7, 5)
    assert room_for_residuals(papers, 10**11) == 75 * 10**9
