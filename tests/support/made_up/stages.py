"""Every table of a made-up run, by the stage that leaves it."""

from made_up import ablation, dictionary, features, heads, meaning, skills, supervised, vlm
from made_up.any_table import missing_tables
from made_up.world import Columns, World


def stages(world: World) -> dict[str, dict[str, Columns]]:
    """Tables by stage, in the order of the pipeline; last those that are made up from the model."""
    made_up = {
        "samples": {"image": vlm.image(world), "sample": vlm.sample(world)},
        "forward_check": {"forward_check": vlm.forward_check(world)},
        "gate_check": {"gate_check": dictionary.gate_check(world)},
        "adapt": {"training_curve": dictionary.training_curve(world)},
        "decoder_cosine": {"decoder_cosine": features.decoder_cosine(world)},
        "visual_energy": {
            "visual_energy": features.visual_energy(world),
            "role_energy": features.role_energy(world),
        },
        "activation_histogram": {"activation_histogram": features.activation_histogram(world)},
        "logit_effect": {"logit_effect": features.logit_effect(world)},
        "latent_scaling": {"latent_scaling": features.latent_scaling(world)},
        "nearest_feature": {"nearest_feature": features.nearest_feature(world)},
        "selection": {"selection": features.selection(world)},
        "firing_shift": {"firing_shift": skills.firing_shift(world)},
        "sample_skill": {"sample_skill": skills.sample_skill(world)},
        "neutral_prompt": {
            "candidate": skills.candidate(world),
            "neutral_prompt": skills.neutral_prompt(world),
        },
        "seed_stability": {
            "seed_stability": features.seed_stability(world),
            "seed_set": features.seed_set(world),
        },
        "example": {"example": features.example(world)},
        "patch_activation": {"patch_activation": features.patch_activation(world)},
        "auto_interp": {"auto_interp": meaning.auto_interp(world)},
        "chance_score": {"chance_score": meaning.chance_score(world)},
        "intruder": {"intruder": meaning.intruder(world)},
        "output_score": {"output_score": meaning.output_score(world)},
        **heads.stages(world),
        "ablation": {
            "ablation": ablation.ablation(world),
            "ablation_outcome": ablation.ablation_outcome(world),
        },
        "group_ablation": {
            "ablation_group": ablation.ablation_group(world),
            "ablation_group_member": ablation.ablation_group_member(world),
        },
        "steering": {"steering": ablation.steering(world)},
        **supervised.stages(world),
    }
    return made_up | missing_tables(world, {t for tables in made_up.values() for t in tables})
