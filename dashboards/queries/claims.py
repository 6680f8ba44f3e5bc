"""What of the paper holds in a run."""

import pandas as pd

from feature_atlas.dashboards.queries.database import kept, select


@kept
def claims(run_id: int) -> pd.DataFrame:
    """claim_no, section, says, paper, measured, value, low, high, claimed, controls, verdict,
    saved_query: every claim of the paper, in its order."""
    return select(
        """
        SELECT claim_no, section, says, paper, measured, value, low, high, claimed, controls,
               verdict, saved_query
        FROM atlas.claim WHERE run_id = :run_id ORDER BY claim_no
        """,
        run_id=run_id,
    )
