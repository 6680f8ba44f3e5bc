"""The skills of a run, and which questions ask for them."""

from collections.abc import Mapping, Sequence

from feature_atlas.etl.config.skill_files import RESERVED, skill_from
from feature_atlas.etl.inputs.data_sets import FURTHER
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.study import Study
from feature_atlas.features.skill import Skill, matched_rule

BASE = "vqav2-val"
STATEMENTS = "vsr-train"
SPLITS = {"vqav2": BASE, "vsr": STATEMENTS, **FURTHER}
"""The split that a skill's questions come from, by its data set."""

VSR = Skill(name=RESERVED, dataset="vsr", neutral_prompts=())
"""One reading of the paper's "VSR OR": every statement against every VQA question. The other one,
spatial questions against the rest of VQA, is the skill spatial."""


def skills_of(study: Study) -> dict[str, Skill]:
    """The configured skills by name, as the run defines them."""
    harvest = study.config.harvest
    return {
        name: skill_from(harvest.definitions[name], f"skill {name!r}") for name in harvest.skills
    }


def asked_among(samples: Mapping[str, Sequence[Sample]], dataset: str) -> Sequence[Sample]:
    """The samples among which a skill of a data set looks for its own."""
    if SPLITS[dataset] not in samples:
        raise ValueError(
            f"a skill is of the data set {dataset}, which this run does not read: set "
            f"data.{dataset}_folder in the configuration, or leave the skill out."
        )
    return samples[SPLITS[dataset]]


def matched_rules(skill: Skill, samples: Sequence[Sample]) -> list[str | None]:
    """The rule by which each sample asks for the skill, None where it does not."""
    return [
        matched_rule(
            skill,
            sample.question,
            sample.question_type,
            relation=sample.relation,
            external_id=sample.external_id,
        )
        for sample in samples
    ]


def require_usable(skill: Skill, samples: Sequence[Sample], rules: Sequence[str | None]) -> None:
    """Refuse a filter that leaves nothing to compare: no question, too few of them, or all."""
    where = f"skill {skill.name!r}"
    unknown = sorted(set(skill.ids) - {sample.external_id for sample in samples})
    if unknown:
        raise ValueError(
            f"{where} names {len(unknown)} of {len(skill.ids)} ids that are not among the "
            f"{len(samples)} questions, the first is {unknown[0]!r}: give ids of the split "
            f"{SPLITS[skill.dataset]}, or take more samples."
        )
    n = sum(rule is not None for rule in rules)
    if n == len(rules) and skill.dataset == "vqav2":
        raise ValueError(
            f"{where} matches {n} of {n} questions, every one: a shift needs questions with and "
            "without it. Make its patterns narrower."
        )
    if n < skill.min_questions:
        raise ValueError(
            f"{where} matches {n} of {len(rules)} questions, fewer than its min_questions, "
            f"{skill.min_questions}: draw more samples, mend its patterns, or lower that number."
        )
