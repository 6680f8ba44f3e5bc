import pandas as pd
import pytest

from feature_atlas.dashboards.facts import gate_in_words


@pytest.mark.parametrize(
    ("gate", "k", "adapt", "said"),
    [
        ("topk", 50.0, {}, "topk k = 50"),
        ("topk_before_norms", 50, {}, "topk before norms k = 50"),
        ("threshold", None, {}, "threshold (frozen in adaptation)"),
        ("relu", float("nan"), {"thresholds": "batch_topk"}, "relu (batch topk in adaptation)"),
    ],
)
def test_a_gate_is_said_with_what_was_done_to_it(gate, k, adapt, said):
    run = pd.Series({"gate": gate, "k": k, "config": {"adapt": adapt}})

    assert gate_in_words(run) == said
