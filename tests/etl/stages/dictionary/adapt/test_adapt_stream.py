"""Which tokens each stream of adaptation reads, wherever it begins."""

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
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role


def test_training_and_judging_share_no_picture(study: Study):
    training, held_out = held_out_split(study.samples["vqav2-train"])

    assert not {s.image for s in training} & {s.image for s in held_out}
    assert 0 < len(held_out) < 0.2 * len(training)


@pytest.mark.parametrize("stream", ["prompts", "questions", "base-text"])
def test_a_stream_begins_anywhere(study: Study, stream: str):
    source = ActivationStream(study, stream, [1])
    n_epoch = -(-len(held_out_split(study.samples["vqav2-train"])[0]) // study.config.batch_size)
    for n_skipped in (1, n_epoch + 1):  # in the first epoch, and in the second
        whole, later = source.passes(), source.passes(n_skipped)
        for _ in range(n_skipped):
            next(whole)
        for _ in range(2):
            expected, found = next(whole), next(later)
            assert torch.equal(found.residuals[1], expected.residuals[1])
            assert torch.equal(found.roles, expected.roles)


def test_the_language_control_sees_the_same_questions_without_the_picture(study: Study):
    with_image = next(ActivationStream(study, "prompts", [1]).passes())
    without = next(ActivationStream(study, "questions", [1]).passes())

    assert (with_image.roles == Role.IMAGE).any()
    assert not (without.roles == Role.IMAGE).any()
    text = with_image.only(TEXT_ROLES).roles.bincount(minlength=7)
    # a newline between picture and question belongs to the question
    assert (without.only(TEXT_ROLES).roles.bincount(minlength=7) - text).abs().max() <= 16


def test_the_instruct_control_reads_the_same_tokens_with_other_weights(config: RunConfig, tmp_path):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct"), "n_tokens": 512})
    tuned = InstructConfig(path=str(language_model_path()))  # any model of the same base will do
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    run_adapt(study.run, "instruct", 0)

    assert isinstance(adapted_sae(study, "instruct", 1), Sae)
    instruct = next(ActivationStream(study, "instruct", [1]).passes())
    language = next(ActivationStream(study, "questions", [1]).passes())
    assert torch.equal(instruct.roles, language.roles)
    assert not torch.equal(instruct.residuals[1], language.residuals[1])


def test_an_instruct_model_of_another_shape_is_refused(config: RunConfig, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(small).save_pretrained(tmp_path / "small")
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct")})
    tuned = InstructConfig(path=str(tmp_path / "small"))
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    with pytest.raises(ValueError, match=r"has 1 layers of width 16, .*set instruct\.path"):
        run_adapt(study.run, "instruct", 0)
