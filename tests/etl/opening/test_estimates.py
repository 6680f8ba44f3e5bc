"""What a run will take: the paper's run by hand, and refusals before the first stage."""

from pathlib import Path

import pytest
import torch

from feature_atlas.etl.at_once import first_prompt
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.run_config import RunConfig, load_config
from feature_atlas.etl.inputs.checkpoints import load_processor
from feature_atlas.etl.inputs.data_sets import read_data_sets
from feature_atlas.etl.inputs.device import require_device, what_is_there
from feature_atlas.etl.inputs.skeletons import image_text_skeleton
from feature_atlas.etl.opening.costs import duration, work_of
from feature_atlas.etl.opening.disk import require_disk, written
from feature_atlas.etl.opening.endpoint import require_endpoint
from feature_atlas.etl.opening.machine import Machine, existing, product_speed
from feature_atlas.etl.opening.memory import require_memory
from feature_atlas.etl.opening.memory_plan import memory_plan
from feature_atlas.etl.opening.opening import examine
from feature_atlas.etl.opening.sizes import Sizes, sizes_of
from feature_atlas.toy.weights import vlm_path

PAPERS = Path(__file__).parents[3] / "configs" / "llava_more.yaml"
LLAVA = Sizes(
    text_parameters=8_030_000_000,
    vision_parameters=320_000_000,
    depth=32,
    n_heads=32,
    n_layers=32,
    d_model=4096,
    d_sae=32_768,
    vocabulary=128_256,
    image_tokens=576,
    text_tokens=25,
    prompt_tokens=620,
    n_adapt=50_000,
    n_base=50_000,
    n_train_statements=7_000,
    n_test_statements=2_000,
    n_pictures=60_000,
)
CARD = Machine(10**12, 80 * 2**30, 256 * 2**30, 3e14, 4e13, 2e14)


@pytest.fixture(scope="module")
def papers() -> RunConfig:
    return load_config(PAPERS)


def test_the_papers_dictionaries_and_residuals_are_those_done_by_hand(papers):
    found = written(papers, LLAVA)

    # 2 * 4096 * 32768 numbers and two biases, 2 bytes each, 32 layers, the regime text
    assert found.dictionaries == 32 * 2 * (2 * 4096 * 32_768 + 4096 + 32_768)
    assert found.dictionaries / 1e9 == pytest.approx(17.2, abs=0.1)
    # plain text, the most: 8 layers of 3.02M tokens of 8,192 bytes; and a training's 3.2 GB
    assert found.scratch / 1e9 == pytest.approx(8 * 3.02e6 * 8192e-9 + 3.2, rel=0.01)
    assert found.pictures == 20e9
    no_room = written(
        _with_adapt(papers, scratch_gb=0.001, n_tokens=4096, regimes=("text", "refit")), LLAVA
    )
    assert no_room.scratch == 2 * found.harvest, (
        "a shard, the sums without it and with it, less one"
    )
    roomy = papers.model_copy(update={"picture_cache_gb": 1000})
    assert written(roomy, LLAVA).pictures == 60_000 * 576 * 4096 * 2
    every = papers.adapt.model_copy(update={"keep": "all"})
    kept = written(papers.model_copy(update={"adapt": every}), LLAVA)
    assert kept.dictionaries == 6 * found.dictionaries


def test_a_disk_that_cannot_take_the_run_is_refused_with_what_fills_it(papers):
    needed = written(papers, LLAVA)

    with pytest.raises(ValueError, match=r"by arithmetic: dictionaries 17\.2 GB, scratch"):
        require_disk(needed, 200 * 10**9, "/data")
    assert "are free at /data" in require_disk(needed, 10**12, "/data")


def test_the_shipped_configuration_fits_a_card_of_80_gib(papers):
    plan = memory_plan(papers, LLAVA, 80e9)

    said = require_memory(plan, "cuda", CARD)

    assert "in head_attribution (model 16.7 GB, gradients" in said
    assert "may not fit" not in said
    assert all(one.total < 72e9 for one in plan), {one.stage: one.total for one in plan}


def test_the_papers_plan_is_that_done_by_hand(papers):
    plan = {one.stage: one for one in memory_plan(papers, LLAVA, 80e9)}

    # two bytes a weight; base model, a dictionary of 2 * 4096 * 32,768 numbers, and its copy
    assert plan["forward_check"].parts["model"] == 2 * 8.35e9
    assert plan["gate_check"].total == pytest.approx((16.7 + 16.06 + 2 * 1.074 + 1) * 1e9, rel=1e-3)
    # weights, gradients, two moments and the start; ten bytes a gate of a batch
    training = plan["adapt: training"].parts
    assert training["dictionary"] == pytest.approx(5 * 1.074e9 + 10 * 4096 * 32_768, rel=1e-3)
    # six bytes for each weight of an encoder, and sums; half of 63 GB holds 31 layers of 1.0 GB
    harvest = plan["harvest"]
    assert harvest.at_once == "16 layers"
    assert harvest.n_passes == 2
    assert harvest.parts["encoders and sums"] / 16 == pytest.approx(1.0e9, rel=0.02)


def test_a_small_card_does_less_at_once(papers):
    plan = {one.stage: one for one in memory_plan(papers, LLAVA, 24e9)}

    assert "model" not in plan["adapt: training"].parts, "it leaves"
    assert plan["forward_check"].at_once == "4 prompts"
    assert plan["harvest"].n_passes > 8
    assert plan["latent_scaling"].at_once == "1 layers"
    fits = [name for name, one in plan.items() if one.total < 22e9]
    assert set(plan) - set(fits) == {"head_attribution"}, {n: p.total for n, p in plan.items()}
    said = require_memory(list(plan.values()), "cuda", CARD._replace(device_memory=24 * 10**9))
    assert "head_attribution.samples_at_once decides it" in said


def test_a_stage_that_cannot_fit_is_refused_with_its_parts(papers):
    plan = memory_plan(papers, LLAVA, 16e9)

    with pytest.raises(ValueError, match=r"forward_check needs .* GB \(model 16\.7 GB, batch"):
        require_memory(plan, "cuda", CARD._replace(device_memory=16 * 10**9))


def test_adaptation_runs_the_model_once_for_the_layers_that_fit(papers):
    adapted = {one.stage: one.model for one in work_of(papers, LLAVA)}

    # all of 50,000 prompts once; 5,240 of them for 7 of 32 layers at a time
    prompt = 2 * (8.03e9 * 620 + 0.32e9 * 576)
    assert adapted["adapt-prompts"] == pytest.approx(2 * 50_000 * prompt, rel=1e-3)
    assert adapted["adapt-pictures"] == pytest.approx(5 * 5_240 * prompt, rel=1e-3)


def test_seeds_train_text_and_its_controls_again_and_run_no_model(papers):
    one, three = (
        {work.stage: work for work in work_of(_with_adapt(papers, seeds=seeds), LLAVA)}
        for seeds in ((0,), (0, 1, 2))
    )

    for stage in ("adapt-prompts", "adapt-questions", "adapt-base-text"):
        assert three[stage].tf32 == pytest.approx(3 * one[stage].tf32)
        assert three[stage].model == one[stage].model
    assert three["adapt-pictures"] == one["adapt-pictures"]


def test_random_directions_cost_what_trained_ones_do_after_their_training(papers):
    alone = _with_adapt(papers, regimes=("text", "refit"))
    beside = _with_adapt(papers, regimes=("text", "refit", "frozen_random"))

    (more,) = set(work_of(beside, LLAVA)) - set(work_of(alone, LLAVA))
    of = {work.stage: work for work in work_of(alone, LLAVA)}
    again = of["harvest"].model + of["neutral_prompt"].model + of["ablation"].model
    assert (more.stage, more.model) == ("chance_score", pytest.approx(again))
    assert written(beside, LLAVA).dictionaries == written(alone, LLAVA).dictionaries


def _with_adapt(config: RunConfig, **changes) -> RunConfig:
    return config.model_copy(update={"adapt": config.adapt.model_copy(update=changes)})


def test_the_harvest_of_one_prompt_is_two_operations_a_weight_and_token(papers):
    control = papers.harvest.model_copy(update={"n_control": 1})
    one = LLAVA._replace(n_base=1, n_train_statements=0)
    config = papers.model_copy(update={"harvest": control})

    harvest = next(work for work in work_of(config, one) if work.stage == "harvest")

    # the question, on the mean image and without: three prompts
    forward = 3 * 2 * (8.03e9 * 620 + 0.32e9 * 576)
    encoded = 3 * 620 * 32 * 2 * 4096 * 32_768
    assert harvest.model == pytest.approx(forward + encoded), "certified: in bfloat16"
    exact = config.harvest.model_copy(update={"encoder": "exact"})
    works = work_of(config.model_copy(update={"harvest": exact}), one)
    harvest = next(work for work in works if work.stage == "harvest")
    assert (harvest.model, harvest.float32) == pytest.approx((forward, encoded))
    assert harvest.seconds(CARD) == pytest.approx(forward / 3e14 + encoded / 4e13)


def test_directions_are_multiplied_with_each_other_and_with_the_unembedding(papers):
    works = {one.stage: one for one in work_of(papers, LLAVA)}

    assert works["nearest_feature"].float32 == 32 * 32_768 * 32_768 * 2 * 4096
    assert works["logit_effect"].float32 == 32 * 32_768 * 128_256 * 2 * 4096


def test_regimes_without_their_model_cost_nothing(papers):
    alone = papers.model_copy(update={"base_model": None})

    stages = [work.stage for work in work_of(alone, LLAVA)]

    assert "adapt-base-text" not in stages
    assert "gate_check" not in stages
    assert written(alone, LLAVA).scratch < written(papers, LLAVA).scratch


def test_the_sizes_of_the_tiny_world_are_counted(small_world):
    config = demo_config(small_world)
    model = image_text_skeleton(vlm_path()).model
    data = read_data_sets(config.data)
    prompt = first_prompt(config, load_processor(config.vlm), data)

    sizes = sizes_of(config, model, 1024, prompt, data)

    n_weights = sum(weight.numel() for weight in model.parameters())
    assert sizes.text_parameters + sizes.vision_parameters == n_weights
    assert sizes.text_parameters == sum(
        weight.numel() for name, weight in model.named_parameters() if "language_model" in name
    )
    assert (sizes.d_model, sizes.depth, sizes.n_layers) == (128, 6, 6)
    assert sizes.prompt_tokens == prompt.input_ids.shape[1]
    assert sizes.image_tokens == 16


def test_a_full_disk_refuses_the_run_before_its_first_stage(small_world, tmp_path, monkeypatch):
    monkeypatch.setattr("feature_atlas.etl.opening.machine.free_disk", lambda home: 10**8)
    sae = demo_config(small_world).sae.model_copy(update={"layers": (0,)})
    config = demo_config(small_world).model_copy(update={"sae": sae, "base_model": None})

    opening = examine(config, tmp_path)

    (fault,) = [check for check in opening.checks if not check.ok]
    assert fault.name == "disk"
    assert "0.1 GB are free at" in fault.found
    assert opening.seconds > 0


def test_the_endpoints_cost_is_known_before_and_a_price_is_asked_for(papers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    interp = papers.auto_interp

    said = require_endpoint(interp, papers.intruder)

    # 200 features in three variants, each described once and graded in six requests; ten intruders
    assert "6,200 requests" in said
    assert "the budget is $30.00" in said
    unknown = interp.model_copy(update={"grader_model": "other"})
    with pytest.raises(ValueError, match="no price for other"):
        require_endpoint(unknown, papers.intruder)


def test_a_device_says_what_it_is_and_what_is_there():
    assert require_device("cpu", "bfloat16").startswith("the CPU, ")
    if not torch.cuda.is_available():
        assert what_is_there() == "cpu and no GPU that CUDA sees"
    for wrong in ("gpu", "cuda:", "cuda:x", "CPU", "mps", "mps:0", "", "cuda:99"):
        with pytest.raises(ValueError, match="ere is cpu"):
            require_device(wrong, "float32")


def test_a_product_has_a_speed_and_a_folder_that_is_not_there_a_disk(tmp_path):
    assert product_speed("cpu", torch.float32) > 1e6
    assert existing(tmp_path / "not" / "yet") == tmp_path


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (600, "10 min"), (7200, "2 h"), (111_600, "31 h")]
)
def test_durations_are_short(seconds, said):
    assert duration(seconds) == said


def test_neutral_prompts_by_hand(papers):
    work = next(one for one in work_of(papers, LLAVA) if one.stage == "neutral_prompt")

    # 5 skills, 200 candidates, 70 % of 8 top samples: 5600 pictures, in two places; 3 prompts each
    pictures = 2 * 5600 * 2 * (8.03e9 * 620 + 0.32e9 * 576)
    behind = 2 * 8.03e9 * 5600 * 3 * (3 * (25 + 64) + 64)
    assert work.model == pytest.approx(pictures + behind, rel=1e-6)
