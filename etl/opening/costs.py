"""What each stage will cost, by arithmetic from sizes; nothing here is measured but the speed.

    forward     2 operations for each weight of the language model and token, and for each weight
                of the vision tower and image token
    backward    twice a forward
    encode      2 * d_model * d_sae operations for each token and layer
    train       10 * d_model * d_sae for each token, layer and training (regimes, and those that
                further seeds repeat): encode, decode, and the gradients of both; a TopK leaves out
                most of it, and then waits for memory
    directions  2 * d_model for each pair of features of a layer, and of feature and token
    resumed     half a forward, as the layers of features lie spread over the depth

Seconds are operations over the speed of one product of their kind on this machine; reading, writing
and drawing are not in them, nor what a small model loses to overhead. Where a stage's work depends
on what is found before it, the configuration's own limits are taken, or `N_CANDIDATES`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.etl.at_once import weight_bytes
from feature_atlas.etl.config.features import ExampleConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.machine import Machine
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.stages.dictionary.adapt_stream import REPEATED, STREAMS, WITH_PICTURES
from feature_atlas.etl.stages.dictionary.residual_plan import (
    GB,
    ResidualPlan,
    needed_tokens,
    residual_plan,
)
from feature_atlas.etl.stages.meaning.intruder import PER_TRIAL
from feature_atlas.features.activation_histogram import COUNTED, N_BINS
from feature_atlas.vlm.token_roles import Role

N_CANDIDATES = 200
"""Candidates of each skill that are asked neutral prompts: not known before."""
ASKED = 0.7
"""Share of a candidate's top samples that a verdict needs, about."""
BY_CHANCE = ("harvest", "neutral_prompt", "ablation")
"""Stages that random dictionaries go through once more, of those that take time."""
ENERGY_BYTES = 224
"""Of a feature's energies and firings by role, under one condition."""
N_ROLES = 6
"""Sets of tokens that held-out quality is measured on."""
N_RELATIONS = 60
N_RELATION = 50
"""Relations, and statements of one in a split, about as VSR has them."""


class Work(NamedTuple):
    """Operations of one stage."""

    stage: str
    model: float
    """In the model's kind of number."""
    float32: float = 0.0
    tf32: float = 0.0
    """In float32 of which a GPU may round the factors."""

    @property
    def operations(self) -> float:
        """Of all kinds together."""
        return self.model + self.float32 + self.tf32

    def seconds(self, machine: Machine) -> float:
        """At the measured speed of one product."""
        return (
            self.model / machine.model_speed
            + self.float32 / machine.float32_speed
            + self.tf32 / machine.tf32_speed
        )


class Arithmetic:
    """Operations of what stages are made of."""

    def __init__(self, config: RunConfig, sizes: Sizes) -> None:
        self.config, self.sizes = config, sizes

    def text(self, n_tokens: float) -> float:
        """The language model over some tokens."""
        return 2.0 * self.sizes.text_parameters * n_tokens

    def forward(self, n_prompts: float) -> float:
        """The whole model over prompts with pictures."""
        picture = 2.0 * self.sizes.vision_parameters * self.sizes.image_tokens
        return n_prompts * (self.text(self.sizes.prompt_tokens) + picture)

    def encode(self, n_tokens: float) -> float:
        """Dictionaries of all layers."""
        return 2.0 * self.sizes.d_model * self.sizes.d_sae * n_tokens * self.sizes.n_layers


def work_of(config: RunConfig, sizes: Sizes) -> list[Work]:
    """Every stage that takes time, in the order of the run."""
    of = Arithmetic(config, sizes)
    found = [
        *_checks(of),
        *_adaptation(of),
        *_directions(of),
        *_passes(of),
        *_removals(of),
        *_heads(of),
        *_meaning(of),
    ]
    if "frozen_random" in config.adapt.regimes:
        again = [work for work in found if work.stage in BY_CHANCE]
        sums = (sum(getattr(work, kind) for work in again) for kind in Work._fields[1:])
        found.append(Work("chance_score", *sums))
    return found


def _checks(of: Arithmetic) -> Iterator[Work]:
    base = of.config.base_model
    if base is not None:
        n_tokens = base.n_gate_tokens
        yield Work("gate_check", of.text(n_tokens), 2 * of.encode(n_tokens))
    n_pictures = of.config.head_attribution.n_mean_images
    tower = 2.0 * of.sizes.vision_parameters * of.sizes.image_tokens
    yield Work("mean_image", n_pictures * tower)


def regimes_by_stream(config: RunConfig) -> dict[str, list[str]]:
    """Which regimes train from which passes; without a base model there is no refit."""
    lacking = () if config.base_model is not None else ("refit",)
    asked = [str(regime) for regime in config.adapt.regimes if regime not in lacking]
    found = {stream: [r for r in regimes if r in asked] for stream, regimes in STREAMS.items()}
    return {stream: regimes for stream, regimes in found.items() if regimes}


def _adaptation(of: Arithmetic) -> Iterator[Work]:
    adapt, sizes = of.config.adapt, of.sizes
    for stream, regimes in regimes_by_stream(of.config).items():
        plan = residuals_of(of.config, sizes, stream)
        without_picture = of.text(sizes.prompt_tokens - sizes.image_tokens)
        if stream in WITH_PICTURES:
            once = of.forward(plan.n_prompts)
        else:
            once = plan.n_prompts * without_picture
        trained = 5 * of.encode(adapt.n_tokens)
        judged = 2 * of.encode(adapt.n_held_out) * adapt.n_evaluations * N_ROLES
        again = (len(adapt.seeds) - 1) * sum(regime in REPEATED for regime in regimes)
        n_trainings = len(regimes) + again
        steps = n_trainings * trained
        exact, rounded = (steps, 0.0) if adapt.products == "float32" else (0.0, steps)
        exact += n_trainings * judged
        yield Work(f"adapt-{stream}", plan.n_passes * once, exact, rounded)


def residuals_of(config: RunConfig, sizes: Sizes, stream: str) -> ResidualPlan:
    """What a stream's cached residuals take, in all the room that the setting allows."""
    of_image = sizes.image_tokens if stream in WITH_PICTURES else 0
    counted = {Role.IMAGE: of_image, Role.QUESTION: sizes.text_tokens}
    trained = [
        sum(n for role, n in counted.items() if role in REGIME_ROLES[regime])
        for regime in regimes_by_stream(config)[stream]
    ]
    return residual_plan(
        n_layers=sizes.n_layers,
        # of plain text there is as much as is needed, or the same comes again
        n_prompts=10**9 if stream == "base-text" else sizes.n_adapt,
        row_bytes=sizes.d_model * weight_bytes(config),
        trained=trained,
        kept=sum(counted.values()) if stream == "pictures" else max(trained),
        needed=needed_tokens(config.adapt),
        room=int(config.adapt.scratch_gb * GB),
    )


def _directions(of: Arithmetic) -> Iterator[Work]:
    each = 2.0 * of.sizes.d_model * of.sizes.n_features
    yield Work("nearest_feature", 0.0, each * of.sizes.d_sae)
    yield Work("logit_effect", 0.0, each * of.sizes.vocabulary)


def _passes(of: Arithmetic) -> Iterator[Work]:
    config, sizes = of.config, of.sizes
    n_control = min(config.harvest.n_control, sizes.n_base)
    n_prompts = sizes.n_base + sizes.n_train_statements + 2 * n_control
    encoded = of.encode(n_prompts * sizes.prompt_tokens)
    if config.base_model is not None:  # two models and their dictionaries
        n_scaled = min(config.latent_scaling.n_questions, sizes.n_base)
        coded = 2 * of.encode(n_scaled * sizes.prompt_tokens)
        yield Work("latent_scaling", 2 * of.forward(n_scaled), coded)
    if config.harvest.encoder == "certified":  # in bfloat16
        yield Work("harvest", of.forward(n_prompts) + encoded)
    else:
        yield Work("harvest", of.forward(n_prompts), encoded)
    yield _neutral_prompts(of)
    yield _patch_activation(of)


def _patch_activation(of: Arithmetic) -> Work:
    """The samples that adapted features show, each once, and its picture in as many layers."""
    example, sizes = of.config.example, of.sizes
    shown = 2 * example.max_pictured * (example.n_per_source + example.n_spread)  # of a layer
    n_samples = min(shown * sizes.n_layers, sizes.n_base + sizes.n_train_statements)
    in_a_layer = min(shown, n_samples)
    return Work(
        "patch_activation", of.forward(n_samples), of.encode(in_a_layer * sizes.image_tokens)
    )


def _neutral_prompts(of: Arithmetic) -> Work:
    """Each picture is run twice, in its own place and in another's; then prompts behind these."""
    config, sizes, n_reply = of.config, of.sizes, of.config.neutral.n_reply_tokens
    lists = [said["neutral_prompts"] for said in config.harvest.definitions.values()]
    n_top = min(config.neutral.n_samples, config.example.n_per_source)
    for_each = N_CANDIDATES * ASKED * n_top
    n_pictures = min(for_each * len(lists), sizes.n_base)
    n_prompts = len({prompt for one in lists for prompt in one})
    n_runs = min(for_each * sum(map(len, lists)), n_pictures * n_prompts)
    n_tokens = 3 * n_runs * (sizes.text_tokens + n_reply)  # on the three images
    replies = of.text(n_runs * n_reply)
    encoded = of.encode(n_tokens) / max(sizes.n_layers, 1)
    model = of.forward(2 * n_pictures) + of.text(n_tokens) + replies
    return Work("neutral_prompt", model, encoded)


def _removals(of: Arithmetic) -> Iterator[Work]:
    config, half = of.config, 0.5
    ablation = config.ablation
    screened = N_CANDIDATES * min(ablation.n_screen, N_RELATION)
    kinds = 1 + ablation.n_controls + ablation.n_random_controls + ablation.n_direction_controls
    each = kinds * N_RELATION + ablation.n_other + ablation.n_vqa
    each += of.sizes.n_benches * ablation.n_further
    n_features = ablation.max_features + ablation.n_screened
    yield Work("ablation", of.forward(half * (screened + n_features * each)))
    group = config.group_ablation
    n_groups = (of.sizes.n_layers + N_RELATIONS) * (1 + group.n_controls)
    asked = n_groups * (group.n_statements + group.n_vqa)
    yield Work("group_ablation", of.forward(half * asked))
    steering = config.steering
    asked = steering.max_features * (1 + len(steering.alphas)) * steering.n_statements
    yield Work("steering", of.forward(half * asked))
    yield from _supervised(of)


def _supervised(of: Arithmetic) -> Iterator[Work]:
    """Four directions of a relation: two contrasts by two methods, screened in every layer."""
    supervised, ablation, half = of.config.supervised, of.config.ablation, 0.5
    n_relations = min(supervised.max_relations, N_RELATIONS)
    n_read = 3 * supervised.n_train + 2 * ablation.n_other
    screened = 4 * of.sizes.n_layers * min(ablation.n_screen, N_RELATION)
    yield Work("supervised_direction", of.forward(n_relations * (n_read + half * screened)))
    kinds = 1 + supervised.n_shuffled + ablation.n_direction_controls
    each = kinds * N_RELATION + ablation.n_other + ablation.n_vqa
    yield Work("supervised_ablation", of.forward(half * 4 * n_relations * each))
    steering = of.config.steering
    asked = 4 * n_relations * (1 + len(steering.alphas)) * steering.n_statements
    yield Work("supervised_steering", of.forward(half * asked))
    code = of.config.spatial_code
    if code.max_features > 0 and of.config.data.instances:
        yield Work("spatial_code", of.forward(2 * code.n_statements))
        removals = 1 + 3 * (1 + code.n_shuffled)
        asked = code.max_features * removals * N_RELATION
        yield Work("spatial_code_ablation", of.forward(half * asked))


def _heads(of: Arithmetic) -> Iterator[Work]:
    config, sizes = of.config, of.sizes
    attribution, exact, knockout = config.head_attribution, config.exact_patch, config.head_knockout
    of_rules = {
        "relp": 6,
        "ig": 3 * attribution.n_steps,
        "grad_drop": 2 + 4 * (1 + sizes.depth / 2),
    }
    each = 6 + sum(of_rules[rule] for rule in attribution.rules)  # forward once, backward twice
    n_corruptions = len(attribution.corruption)
    n_wordings = n_corruptions + attribution.n_paraphrases
    runs = n_wordings * each * attribution.max_features * attribution.n_samples
    yield Work("head_attribution", of.forward(runs))
    some = attribution.max_features * (3 * exact.n_top + exact.n_random)
    every = exact.n_full_features * sizes.depth * sizes.n_heads / 2
    patched = n_corruptions * (some + every) * exact.n_samples * len(exact.parts)
    yield Work("exact_patch", of.forward(patched / 2))
    cuts = n_corruptions * (1 + knockout.n_controls) * len(knockout.parts)
    yield Work("head_knockout", of.forward(knockout.max_features * cuts * N_RELATION))
    shown = attribution.max_features * attribution.n_overlay_samples
    yield Work("overlay", of.forward(2 * shown))


def _meaning(of: Arithmetic) -> Iterator[Work]:
    """What is off unless asked for; requests to an endpoint are counted elsewhere."""
    config, sizes = of.config, of.sizes
    n_tried = PER_TRIAL * config.intruder.n_trials * config.intruder.max_features
    if n_tried:
        yield Work("intruder", of.forward(n_tried), of.encode(n_tried * sizes.text_tokens))
    score, lists = config.output_score, config.harvest.definitions.values()
    n_asked = score.n_pictures * len({p for said in lists for p in said["neutral_prompts"]})
    if n_asked:
        n_added = score.max_features * (1 + score.n_controls)
        behind = of.text(n_asked * n_added * sizes.text_tokens) / 2
        yield Work("output_score", sizes.n_layers * of.forward(n_asked) + behind)


def pass_bytes(config: RunConfig) -> int:
    """What the harvest gathers of one feature in its largest pass, base questions with their
    pictures: sums, draws, samples, counts of skills."""
    harvest, example = config.harvest, config.example
    shifts = 4 * harvest.n_replicates * (len(harvest.skills) + 1) + 550
    strengths = 8 * len(COUNTED) * N_BINS
    return 2 * ENERGY_BYTES + 4 * harvest.n_bootstrap + _sample_bytes(example) + shifts + strengths


def harvest_bytes(config: RunConfig) -> int:
    """What it keeps of one feature: also of other images and of statements."""
    harvest = config.harvest
    others = 2 * (ENERGY_BYTES + 4 * harvest.n_bootstrap)
    statements = _sample_bytes(config.example) + 4 * harvest.n_replicates + 64
    return pass_bytes(config) + others + statements


def _sample_bytes(example: ExampleConfig) -> int:
    """Of one source."""
    return 16 * example.n_per_source + 20 * example.n_reservoir


def duration(seconds: float) -> str:
    """In seconds, minutes or hours, to two digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.2g} h"
