"""Skills: which questions ask for spatial reasoning, or for reading text (paper 4.3, A.6).

A skill is data, not code: patterns of which a question must contain one, look-alikes that do not
count, and neutral prompts that ask for nothing in particular. Patterns are regular expressions,
matched at word boundaries and without regard to case. Look-alikes ("the right way", "under 10") are
cut out of the question before the patterns are tried, so that "Is the boy under 10 on the left?"
still counts. Which rule matched is kept with every question, for a check by eye.
"""

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Skill:
    """What a skill's questions look like; a mapping of these fields defines one of your own."""

    name: str
    """How the skill is called in the atlas."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, of which a question must contain one."""
    exclude: tuple[str, ...] = ()
    """Look-alikes, cut out before the patterns are tried."""
    question_types: tuple[str, ...] = ()
    """VQAv2 question types of which every question counts."""
    neutral_prompts: tuple[str, ...] = ("Describe the image.",)
    """What replaces the question when lexical features are filtered out."""

    def __post_init__(self) -> None:
        for field in ("patterns", "exclude", "question_types", "neutral_prompts"):
            object.__setattr__(self, field, tuple(getattr(self, field)))  # lists come from YAML
        if not self.patterns and not self.question_types:
            raise ValueError(
                f"skill {self.name!r} has neither patterns nor question_types and would match "
                "nothing: give it at least one of either."
            )
        for pattern in (*self.patterns, *self.exclude):
            _require_useful(self.name, pattern)


def matched_rule(skill: Skill, question: str, question_type: str | None = None) -> str | None:
    """The first rule by which a question asks for the skill, or None.

    A rule is one of the skill's patterns, or "question_type: " and the type.
    """
    if question_type in skill.question_types:
        return f"question_type: {question_type}"
    text = " ".join(question.split())
    if skill.exclude:
        text = _any_of(skill.exclude).sub("|", text)
    if not skill.patterns or not _any_of(skill.patterns).search(text):
        return None
    return next(pattern for pattern in skill.patterns if _any_of((pattern,)).search(text))


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


def _require_useful(name: str, pattern: str) -> None:
    try:
        matches_nothing_at_all = _any_of((pattern,)).search("") is not None
    except re.error as error:
        raise ValueError(
            f"pattern {pattern!r} of skill {name!r} is no regular expression: {error}."
        ) from error
    if matches_nothing_at_all:
        raise ValueError(
            f"pattern {pattern!r} of skill {name!r} matches the empty text, so every question: "
            "make part of it compulsory."
        )


# Patterns of several words come first: the rule that is kept should be the telling one.
SPATIAL = Skill(
    name="spatial",
    patterns=(
        r"(?:left|right) of",
        r"(?:to|on|at|from)(?: the| his| her| its)?(?: far| upper| lower)? (?:left|right)",
        r"(?:left|right)(?:most)?[- ](?:hand )?(?:side|corner|edge|end|half|lane)s?",
        r"(?:left|right)[- ](?:hand|arm|leg|foot|knee|wrist|shoulder|eye|ear|wing)s?",
        r"the (?:left|right)|(?:left|right)[- ]?most|left or right|right or left",
        r"(?:turn|look|lean|mov|go|head|point)(?:s|e|es|ed|ing)? (?:left|right)",
        r"in front of",
        r"on top of",
        r"next to",
        r"side by side",
        r"across from",
        r"(?:far|farther|further|away) from",
        r"far away|farthest|furthest",
        r"close(?:r|st)? to|closest",
        r"(?:what|which|other|far|same|opposite) side",
        r"at the (?:back|front|side|edge|end) of",
        r"(?:at|on|in|near) the (?:very )?(?:top|bottom)",
        r"(?:top|bottom|upper|lower)[- ](?:left|right|corner|shelf|row|half|part|rack|step|bunk)",
        r"(?:top|bottom) of",
        r"(?:in|at) the (?:middle|cent(?:er|re)|background|foreground|distance|corner)",
        r"inside (?:of )?(?:the|a|an|this|that|his|her|its)",
        r"outside (?:of )?(?:the|a|an|this|that|his|her|its)",
        r"around (?:the|a|an|this|that|his|her|its)",
        r"above",
        r"adjacent to",
        r"ahead of",
        r"alongside",
        r"behind",
        r"below",
        r"beneath",
        r"beside",
        r"between",
        r"facing",
        r"near(?:er|est|by)?",
        r"opposite",
        r"surround(?:s|ed|ing)?",
        r"under",
        r"underneath",
    ),
    exclude=(
        # What remains, and handedness: "left" and "right" that are no place.
        r"how (?:much|many)\b[^?]* left of",
        r"(?:left|right)[- ]?hand(?:ed|ers?)",
        r"left[- ]?overs?",
        # Correct, at once, entitled.
        r"the right (?:way|size|thing|time|place|answer|kind|type|tools?|equipment|word|amount)",
        r"the right (?:clothe?s|clothing|attire|outfit|gear|shoes|age|choice|height|temperature)",
        r"right (?:now|away)",
        r"(?:the )?right of way",
        # Measures and states.
        r"(?:above|below|under|between|around|near) (?:age|average|zero|freezing|sea level|\$?\d+)",
        r"(?:above|under|around|between) the ages?(?: of)?",
        r"under (?:construction|control|repair|age|arrest)",
        r"(?:differences?|similarit(?:y|ies)|relationship) between",
        r"around the (?:world|clock)",
        r"tank top of",
    ),
    neutral_prompts=(
        "Describe the image.",
        "What can you see in this picture?",
        "Describe the positions of objects in the image.",  # the paper's own
    ),
)
"""Relations between things in the picture. The first two neutral prompts speak of no position.

"Where is the cat?" is not among them: it asks for a place but names no relation.
"""

OCR = Skill(
    name="ocr",
    patterns=(
        r"(?:what|does|do|did)\b[^?]* (?:say|spell)",
        r"what (?:do|does|did)\b[^?]* read(?=\W*$)",
        r"(?:sign|signs|label|shirt|banner|clock|screen|plate|board) (?:says?|reads?|spells?)",
        r"read the",
        r"written|printed on",
        r"(?:what|which) (?:word|letter|number|name|brand|logo|company|street|date|year)s?",
        r"what (?:is|are) the (?:\w+ )?(?:word|letter|number|name|brand|logo|date|year)s?",
        r"what time (?:does|is it|is shown|is on)",
        r"licen[cs]e plate (?:number|say|read)s?",
        r"(?:jersey|bus|train|route|flight|phone|tail|house|platform|gate) numbers?",
        r"what(?:'s| is) on the (?:\w+ )?(?:sign|label|billboard|banner)",
    ),
    exclude=(
        r"time of (?:the )?(?:day|year)",
        r"number of (?:people|\w+s)",
        r"(?:would|could|can) (?:you|one|we) say",
        r"safe to say",
        r"(?:like|likes|want|able|learning|trying|going) to read",
        r"name of (?:the|this|that) (?:animal|fruit|vegetable|food|dish|flower|tree|bird|sport)",
    ),
    question_types=("what number is", "what brand"),
    neutral_prompts=("Describe the image.", "What can you see in this picture?"),
)
"""Questions answered by reading. One that only mentions a sign ("Is there a sign?") is not."""
