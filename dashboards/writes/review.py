"""A person's verdict on a label, written.

Rules and rows are those of `feature-atlas review`: `models/meaning/judgement.py`.
"""

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.writes.writer import writer
from feature_atlas.models.meaning.judgement import VERDICTS, Judgement, add_judgements

__all__ = ["VERDICTS", "Judgement", "save_review"]


def save_review(run_id: int, judgement: Judgement) -> bool:
    """Write it, unless it is its reviewer's newest already; then labels are asked for anew."""
    with writer().begin() as connection:
        is_new = add_judgements(connection, run_id, [judgement]) == 1
    queries.forget()
    return is_new
