"""Which tokens each stream of adaptation reads, wherever it begins."""

from itertools import islice

import pytest
import torch
from stage_runs.adapted_run import opened

from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.config.inputs import InstructConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae, run_adapt
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream, held_out_split
from feature_atlas.etl.study import Study
from feature_atlas.toy.weights import language_model_path
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role


def test_training_and_judging_share_no_picture(study: Study):
    training, held_out = held_out_split(study.samples["vqav2-train"])

    assert not {s.image for s in training} & {s.image for s in held_out}
    assert 0 < len(held_out) < 0.2 * len(training)


@pytest.mark.parametrize("stream", ["prompts", "questions", "base-text"])
def test_passes_go_over_all_that_trains_once_from_anywhere(study: Study, stream: str):
    source = ActivationStream(study, stream)

    whole = list(source.passes()) if stream == "questions" else list(islice(source.passes(), 4))
    later = list(islice(source.passes(2), 2))

    if stream == "questions":
        assert sorted(n for one in whole for n in one.numbers) == list(range(len(source)))
    for mine, expected in zip(later, whole[2:4], strict=True):
        assert mine.numbers == expected.numbers
        assert torch.equal(mine.batch.input_ids, expected.batch.input_ids)


@pytest.mark.parametrize("stream", ["prompts", "base-text"])
def test_a_training_goes_over_it_again_in_another_order(study: Study, stream: str):
    source = ActivationStream(study, stream)
    n_passes = 2 * (-(-len(source) // study.config.batch_size))

    numbers = [n for one in islice(source.order(), n_passes) for n in one][: 2 * len(source)]

    first, second = numbers[: len(source)], numbers[len(source) :]
    assert first[: study.config.batch_size] == next(source.passes()).numbers
    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(source)))


@pytest.mark.parametrize("stream", ["prompts", "base-text"])
def test_another_seed_goes_over_what_there_is_in_an_order_of_its_own(study: Study, stream: str):
    adapt = study.config.adapt.model_copy(update={"seeds": (0, 7)})
    twice = Study(study.run)
    twice.config = study.config.model_copy(update={"adapt": adapt})
    source = ActivationStream(twice, stream)
    kept = next(source.passes()).numbers  # of the model's only pass

    first, again = (list(islice(source.order(seed_no, kept), 2)) for seed_no in (0, 1))

    assert first[0] == kept, "the first order is as it was"
    assert sorted(again[0]) == sorted(again[1]) == sorted(kept)
    assert kept != again[0] != again[1]


def test_the_language_control_sees_the_same_questions_without_the_picture(study: Study):
    with_image = next(ActivationStream(study, "prompts").passes())
    without = next(ActivationStream(study, "questions").passes())

    assert with_image.numbers == without.numbers
    assert (with_image.batch.roles == Role.IMAGE).any()
    assert not (without.batch.roles == Role.IMAGE).any()
    # a newline between picture and question belongs to the question
    for role in TEXT_ROLES:
        n_more = (without.batch.roles == role).sum(1) - (with_image.batch.roles == role).sum(1)
        assert n_more.abs().max() <= 1


def test_the_instruct_control_reads_the_same_tokens_with_other_weights(config: RunConfig, tmp_path):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct"), "n_tokens": 512})
    tuned = InstructConfig(path=str(language_model_path()))  # any model of the same base will do
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    run_adapt(study.run, "instruct")

    assert isinstance(adapted_sae(study, "instruct", 1), Sae)
    instruct, language = (ActivationStream(study, stream) for stream in ("instruct", "questions"))
    asked, other = next(instruct.passes()).batch, next(language.passes()).batch
    assert torch.equal(asked.input_ids, other.input_ids)
    ours, theirs = (harvest(s.load_model(), asked, [1]) for s in (instruct, language))
    assert torch.equal(ours.roles, theirs.roles)
    assert not torch.equal(ours.residuals[1], theirs.residuals[1])


def test_an_instruct_model_of_another_shape_is_refused(config: RunConfig, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(small).save_pretrained(tmp_path / "small")
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct")})
    tuned = InstructConfig(path=str(tmp_path / "small"))
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    with pytest.raises(ValueError, match=r"has 1 layers of width 16, .*set instruct\.path"):
        run_adapt(study.run, "instruct")
