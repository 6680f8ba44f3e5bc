"""What features can be filtered and sorted by: the columns that there are, and nothing else."""

from typing import NamedTuple

from sqlalchemy import Boolean

from feature_atlas.models import FeatureRecord, FiringShift

RECORD, LABEL = "record", "label"
OF_SKILLS = ("delta_p", "odds_ratio", "q_value", "question_delta_p", "question_odds_ratio")


class Column(NamedTuple):
    """One number or flag of a feature."""

    name: str
    """In the address; a skill's is skill/column."""
    source: str
    """record, label, or the skill's name."""
    column: str
    """Its name there."""
    is_flag: bool
    """Whether it holds or not; else a number."""
    meaning: str
    """What it holds, with its unit: the schema's own comment."""


def _of_record() -> dict[str, Column]:
    table = FeatureRecord.__table__
    return {
        column.name: Column(
            column.name, RECORD, column.name, isinstance(column.type, Boolean), str(column.comment)
        )
        for column in table.columns
        if column.name not in ("run_id", "feature", "best_base_feature")
    }


OF_ALL = _of_record() | {
    "is_described": Column("is_described", LABEL, "label", True, "whether it has a label"),
    "f1": Column("f1", LABEL, "f1", False, "F1 of its best description; 1: perfect (B)"),
    "label_is_informative": Column(
        *("label_is_informative", LABEL, "label_is_informative", True),
        "whether its best description tells firing from silence",
    ),
    "ablation_delta": Column(
        *("ablation_delta", LABEL, "ablation_delta", False),
        "accuracy on statements of its relation, removed minus untouched, as a fraction (5.3)",
    ),
}
"""Those that every run has."""


def columns_of(skills: tuple[str, ...]) -> dict[str, Column]:
    """Those of a run with these skills, by name."""
    comments = {name: str(FiringShift.__table__.columns[name].comment) for name in OF_SKILLS}
    found = dict(OF_ALL)
    for skill in skills:
        for name, comment in comments.items():
            found[f"{skill}/{name}"] = Column(f"{skill}/{name}", skill, name, False, comment)
        for name, meaning in (
            ("is_candidate", "whether it is adapted and its shift on the skill passes (4.3)"),
            ("survives", "whether such a candidate is still active on neutral prompts (A.6)"),
        ):
            found[f"{skill}/{name}"] = Column(f"{skill}/{name}", skill, name, True, meaning)
    return found
