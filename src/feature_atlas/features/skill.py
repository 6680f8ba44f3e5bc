"""Skills: which questions ask for spatial reasoning, for reading, for counting (paper 4.3, A.6).

A skill is data, not code. Its filter is a list of patterns of which a question must contain one,
look-alikes that do not count, question types, relations of VSR statements, or questions by name.
Patterns are regular expressions, matched at word boundaries and without regard to case. Look-alikes
("the right way", "under 10") are cut out of the question before the patterns are tried, so that "Is
the boy under 10 on the left?" still counts. Which rule matched is kept with every question, for a
check by eye.
"""

import re
from dataclasses import dataclass
from functools import cache

DATASETS = ("vqav2", "vsr", "whatsup", "gqa")
LISTS = (
    *("patterns", "exclude", "question_types", "relations", "ids"),
    *("words", "neutral_prompts", "paraphrases"),
)
"""The fields that are lists of texts."""
QUESTION = "{question}"
"""Where a paraphrase has the question itself."""


@dataclass(frozen=True)
class Skill:
    """What a skill's questions look like; a mapping of these fields defines one of your own."""

    name: str
    """How the skill is called in the atlas."""
    dataset: str = "vqav2"
    """Where its questions come from; those of others than vqav2 are compared with all of vqav2."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, of which a question must contain one."""
    exclude: tuple[str, ...] = ()
    """Look-alikes, cut out before the patterns are tried."""
    question_types: tuple[str, ...] = ()
    """VQAv2 question types of which every question counts."""
    relations: tuple[str, ...] = ()
    """VSR relations of which every statement counts."""
    ids: tuple[str, ...] = ()
    """Questions by the data set's own ids, whatever they say."""
    words: tuple[str, ...] = ()
    """Words of the skill that make no question one of its own; they mark a neutral prompt."""
    neutral_prompts: tuple[str, ...] = ("Describe the image.",)
    """What replaces the question when lexical features are filtered out."""
    paraphrases: tuple[str, ...] = ()
    """Other words for the same question, which stands in the place of ``{question}``."""
    min_questions: int = 20
    """Fewer questions than this are too few to say anything of the skill."""
    min_fired: int | None = None
    """Firings in both splits together that a candidate needs; None: as many as for every skill."""

    def __post_init__(self) -> None:
        for field in LISTS:
            object.__setattr__(self, field, _texts(self.name, field, getattr(self, field)))
        if self.dataset not in DATASETS:
            raise ValueError(
                f"skill {self.name!r} is of the data set {self.dataset!r}: expected one of "
                f"{', '.join(DATASETS)}."
            )
        rules = (self.patterns, self.question_types, self.relations, self.ids)
        if not any(rules) and self.dataset == "vqav2":
            raise ValueError(
                f"skill {self.name!r} has neither patterns nor question_types, relations or ids "
                "and would match nothing: give it at least one of them."
            )
        for pattern in (*self.patterns, *self.exclude, *self.words):
            _require_useful(self.name, pattern)
        for template in self.paraphrases:
            if template.count(QUESTION) != 1 or not template.replace(QUESTION, "").strip():
                raise ValueError(
                    f"paraphrase {template!r} of skill {self.name!r}: expected other words around "
                    f"{QUESTION}, once."
                )


def matched_rule(
    skill: Skill,
    question: str,
    question_type: str | None = None,
    *,
    relation: str | None = None,
    external_id: str | None = None,
) -> str | None:
    """The first rule by which a question asks for the skill, or None.

    A rule is one of the skill's patterns; or "question_type: " and the type, "relation: " and the
    relation, "id: " and the question's own; or "dataset: " for a skill that is a whole data set.
    """
    for kind, value, wanted in (
        ("id", external_id, skill.ids),
        ("relation", relation, skill.relations),
        ("question_type", question_type, skill.question_types),
    ):
        if value in wanted:
            return f"{kind}: {value}"
    if not any((skill.patterns, skill.question_types, skill.relations, skill.ids)):
        return f"dataset: {skill.dataset}"
    return _matched_pattern(skill, question)


def has_look_alike(skill: Skill, question: str) -> bool:
    """Whether something in the question was cut out as a look-alike."""
    return bool(skill.exclude) and _any_of(skill.exclude).search(_spaced(question)) is not None


def has_skill_word(skill: Skill, prompt: str) -> bool:
    """Whether a prompt holds a word of the skill, so that firing on it may be lexical.

    "Describe the positions of objects in the image." is the paper's neutral prompt, and has one.
    """
    words = (*skill.patterns, *skill.words)
    return bool(words) and _any_of(words).search(_spaced(prompt)) is not None


def _matched_pattern(skill: Skill, question: str) -> str | None:
    text = _spaced(question)
    if skill.exclude:
        text = _any_of(skill.exclude).sub("|", text)
    if not skill.patterns or not _any_of(skill.patterns).search(text):
        return None
    return next(pattern for pattern in skill.patterns if _any_of((pattern,)).search(text))


def _spaced(text: str) -> str:
    """With single spaces."""
    return " ".join(text.split())


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


def _texts(name: str, field: str, values: object) -> tuple[str, ...]:
    """A list from YAML as a tuple of texts; ids may be numbers there."""
    if not isinstance(values, (list, tuple)):
        raise ValueError(
            f"{field} of skill {name!r} is {values!r}, expected a list: begin each entry with -."
        )
    return tuple(str(value) for value in values)


def _require_useful(name: str, pattern: str) -> None:
    try:
        expression = _any_of((pattern,))
    except re.error as error:
        raise ValueError(
            f"pattern {pattern!r} of skill {name!r} is no regular expression: {error}."
        ) from error
    if expression.search("") is not None:
        raise ValueError(
            f"pattern {pattern!r} of skill {name!r} matches the empty text, so every question: "
            "make part of it compulsory."
        )
    if expression.search("Zqxj vwkpf?") is not None:
        raise ValueError(
            f"pattern {pattern!r} of skill {name!r} matches words that are none, so every "
            "question: make part of it a word."
        )
