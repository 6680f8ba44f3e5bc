"""A run's configuration made small: its models, files and settings, on a handful of samples.

What decides numbers is loosened, so that some features go through every stage: their numbers mean
nothing. What decides memory at a time (batches, samples at once) is left as it is.
"""

from typing import Any

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.config.skill_files import skill_from
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.inputs.vqav2 import read_vqav2
from feature_atlas.etl.stages.features.skills import matched_rules

N_LAYERS = 2
N_ADAPT = 60
N_STATEMENTS = 120
N_BASE = (120, 240, 480, 960)
"""Questions: the first number with `N_ASKING` for every skill, or the last."""
N_ASKING = 3
BOUNDS = ("max_fvu_ratio", "max_neighbour_ratio", "l0_tolerance", "norm_tolerance")
"""Of the gate check, which so few tokens would break."""
NO_BOUND = 1e9

SMALL: dict[str, dict[str, Any]] = {
    "adapt": {
        "n_tokens": 512,
        "batch_size": 128,
        "buffer_size": 256,
        "n_held_out": 128,
        "n_evaluations": 2,
    },
    "latent_scaling": {"n_questions": 4},
    "harvest": {"n_control": 40, "n_bootstrap": 8, "n_replicates": 8},
    "selection": {
        "epsilon": 0.0,
        "cosine_quantile": 0.9,
        "max_rotation_q": 1.0,
        "min_excess_rotation": 0.0,
        "min_delta_p": 1e-9,
        "min_odds_ratio": 1.0001,
        "interval": "woolf",
        "min_fired": 1,
        "max_q": 1.0,
    },
    "neutral": {"n_samples": 1, "n_reply_tokens": 4, "min_share": 0.01, "max_mean_share": 1.0},
    "example": {"n_per_source": 6, "n_spread": 2, "n_random": 2, "n_reservoir": 4},
    "auto_interp": {"n_description": 2, "n_validation": 2, "max_features": 2},
    "intruder": {"max_features": 2},
    "output_score": {"max_features": 2, "n_controls": 1},
    "head_attribution": {
        "n_samples": 4,
        "max_features": 2,
        "n_mean_images": 8,
        "n_overlay_heads": 1,
        "n_overlay_samples": 2,
    },
    "exact_patch": {"n_top": 2, "n_random": 1, "n_samples": 3, "n_full_features": 1},
    "head_knockout": {"max_features": 1, "n_heads": 2, "n_controls": 1},
    "ablation": {
        "max_features": 2,
        "n_screened": 1,
        "n_screen": 4,
        "n_controls": 2,
        "n_random_controls": 1,
        "n_direction_controls": 1,
        "n_other": 4,
        "n_vqa": 8,
        "n_further": 8,
        "n_compared": 1,
        "n_bootstrap": 50,
    },
    "group_ablation": {"n_statements": 4, "n_vqa": 4, "n_controls": 1, "max_features": 4},
    "steering": {"max_features": 1, "n_statements": 4},
    "spatial_code": {"max_features": 1, "n_statements": 16, "n_shuffled": 1},
    "supervised": {"max_relations": 1, "n_train": 8, "n_shuffled": 1},
}
"""Settings of each section, as large as these at the most where they are numbers of something."""


def rehearsal_config(config: RunConfig) -> RunConfig:
    """The small configuration; reads the questions to find how many ask for every skill."""
    changes: dict[str, Any] = {
        "name": f"{config.name[:80]}-rehearsal",
        "sae": config.sae.model_copy(update={"layers": _few_layers(config.sae.layers)}),
        "data": config.data.model_copy(update={"n_adapt": N_ADAPT, "n_vsr": N_STATEMENTS}),
        **{name: getattr(config, name).model_copy(update=values) for name, values in SMALL.items()},
    }
    if config.base_model is not None:
        changes["base_model"] = config.base_model.model_copy(
            update={
                "n_gate_tokens": 512,
                "stated": {},
                "max_fvu": 1.0,
                "max_dead": 1.0,
                **dict.fromkeys(BOUNDS, NO_BOUND),
            }
        )
    return _with_skills(config, config.model_copy(update=changes))


def _few_layers(layers: tuple[int, ...]) -> tuple[int, ...]:
    """The first and the middle one: deeper ones take longer and go the same way."""
    return tuple(dict.fromkeys((layers[0], layers[len(layers) // N_LAYERS])))


def _with_skills(config: RunConfig, small: RunConfig) -> RunConfig:
    """With as few questions as every skill is asked by, and without a skill that none asks for."""
    questions = read_vqav2(config.data.vqa_folder, "val")
    definitions = config.harvest.definitions
    for n_base in N_BASE:
        drawn = draw(questions, n_base, config.data.seed)
        n_asking = {
            name: sum(r is not None for r in matched_rules(skill_from(said, name), drawn))
            for name, said in definitions.items()
        }
        if all(n_asking[name] >= N_ASKING for name in n_asking):
            break
    kept = {
        name: definitions[name] | {"min_questions": 1, "ids": ()}
        for name in config.harvest.skills
        if 0 < n_asking[name] < len(drawn)
    }
    harvest = small.harvest.model_copy(update={"skills": tuple(kept), "definitions": kept})
    data = small.data.model_copy(update={"n_base": n_base})
    return small.model_copy(update={"harvest": harvest, "data": data})
