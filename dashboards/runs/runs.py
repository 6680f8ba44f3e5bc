"""How the runs are: states, times, warnings, checks, provenance and disk: `?run=`."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.fold import fold
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.runs.flows_now import show_flows
from feature_atlas.dashboards.runs.run_provenance import show_provenance
from feature_atlas.dashboards.runs.stage_chart import stage_bars
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
CHECK, TIME = st.column_config.CheckboxColumn, st.column_config.DatetimeColumn

LEDGER = {
    "run_id": NUMBER("run", width=48),
    "slug": TEXT("name"),
    "state": TEXT("state", help="building → published ↔ superseded, or failed."),
    "is_current": CHECK("current", help="What readers see who name no run."),
    "is_stable": CHECK("stable", help="What readers are promised to find; it cannot be dropped."),
    "parent": TEXT("supersedes"),
    "vlm": TEXT("model"),
    "n_features": NUMBER("features", format="localized"),
    "n_measurements": NUMBER("stages"),
    "seconds": NUMBER("stages took, s", format="localized"),
    "disk": NUMBER("disk", format="bytes", help="Its own partitions; sparse tables are shared."),
    "published_at": TIME("published", format="D MMM YYYY HH:mm"),
    "created_at": TIME("begun", format="D MMM YYYY HH:mm"),
}
STAGES = {
    "stage": TEXT("stage"),
    "seconds": NUMBER(format="%.1f"),
    "peak_gb": NUMBER("peak GB", format="%.1f"),
    "card_gb": NUMBER("card GB", format="%.1f"),
    "rows": NUMBER(format="localized"),
    "device": TEXT("device"),
    "started_at": TIME("started", format="D MMM HH:mm:ss"),
    "params": TEXT("settings", width="large"),
}


def show_warnings(run_id: int) -> None:
    """What a reader of the run's numbers must know, of every kind."""
    warnings, empty = queries.run_warnings(run_id), queries.empty_tables(run_id)
    st.subheader(
        f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}",
        help="What stages said; code with uncommitted changes; forward checks above half their "
        "bound; gates whose FVU is over 1.2 times, or whose L0 is 10 % off, what the release says.",
    )
    if warnings.empty:
        st.caption("None: no stage warned, the code was committed, the opening checks are clear.")
    else:
        st.dataframe(
            warnings,
            hide_index=True,
            column_config={
                "kind": TEXT("kind", width=100),
                "place": TEXT("place", width=140),
                "warning": TEXT("warning", width="large", help="Click twice to read it whole."),
            },
            placeholder="",
        )
    if not empty.empty:
        st.caption(f"Not measured, no row in this run: {', '.join(empty.table)}.")


def show_stages(run_id: int) -> None:
    """Times and peaks, in order."""
    st.subheader(
        "Stages", help="In order of execution. Memory: of the process, of the fullest card."
    )
    stages = queries.measurements(run_id)
    draw(stage_bars(stages), "stage_bars")
    table_under(stages, "stage_bars", column_order=list(STAGES), column_config=STAGES)


def show_checks(run_id: int) -> None:
    """What the run found of its model and dictionaries before anything else."""
    st.subheader(
        "Opening checks",
        help="Left: each way of running the model against its own plain forward, relative "
        "difference and the bound at which the run would have stopped (3.1). Right: base SAEs on "
        "held-out text of their own model, beside what the release states (3.2).",
    )
    left, right = st.columns([2, 3], gap="large")
    for column, checks, stage in (
        (left, queries.forward_checks_by_layer(run_id), "forward_check"),
        (right, queries.gate_checks(run_id), "gate_check"),
    ):
        with column:
            if checks.empty:
                st.info(f"Not checked: the run was built without the stage `{stage}`.")
            else:
                st.dataframe(checks, hide_index=True, column_config=CHECKS, placeholder="")


CHECKS = {
    "difference": NUMBER(format="%.1e"),
    "bound": NUMBER(format="%.0e"),
    **{name: NUMBER(format="%.3g") for name in ("l0", "fvu", "share_dead", "mean_norm")},
    **{f"stated_{name}": NUMBER("stated", format="%.3g") for name in ("l0", "fvu", "share_dead")},
}


def show_disk(run_id: int) -> None:
    """What the run's own tables weigh."""
    sizes = queries.partition_sizes(run_id)
    st.subheader(
        f"{sizes.bytes.sum() / 1e6:,.1f} MB on disk",
        help="The run's own partitions with their indexes, from the catalogue. Sparse tables and "
        "pictures are shared by all runs and not counted. `feature-atlas runs drop` frees it.",
    )
    st.dataframe(
        sizes,
        hide_index=True,
        column_config={
            "bytes": NUMBER("all", format="bytes"),
            "index_bytes": NUMBER("of it indexes", format="bytes"),
        },
        width=500,
    )


def show_configuration(run: pd.Series) -> None:
    """Every setting of the run, folded."""
    fold(
        "Configuration: every setting of the run", "configuration",
        lambda: st.json(run.config, expanded=1), icon=":material/settings:",
    )  # fmt: skip


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Runs", help="A run is one version of the atlas. It never changes once published.")
run = choose_run(choice)
st.dataframe(
    queries.ledger(),
    hide_index=True,
    column_order=list(LEDGER),
    column_config=LEDGER,
    placeholder="",
)
show_flows()
st.header(f"Run {run.run_id}")
show_warnings(run.run_id)
show_stages(run.run_id)
show_checks(run.run_id)
show_provenance(run.run_id)
show_disk(run.run_id)
show_configuration(run)
