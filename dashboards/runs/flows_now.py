"""What flows are doing now, asked of a Prefect server over HTTP if there is one."""

import os
from urllib.parse import urlsplit

import httpx
import pandas as pd
import streamlit as st

PATIENCE = httpx.Timeout(2.0, connect=1.0)
N_FLOWS = 50
NOW = {
    "sort": "START_TIME_DESC",
    "limit": N_FLOWS,
    "flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]}}},
}


def show_flows() -> None:
    """Flow runs that are under way; one line where no server is named or none answers."""
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        st.caption(
            "Flows: no Prefect server is named. Start the page with `PREFECT_API_URL` set, such as "
            "`http://127.0.0.1:4200/api`, to see here what is running."
        )
        return
    try:
        flows = flows_now(url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        host = urlsplit(url).hostname or "of PREFECT_API_URL"
        st.caption("Flows: the Prefect server does not answer.")
        st.text(f"Asked: {host}. `prefect server start` starts one.")
        return
    if flows.empty:
        st.caption("Flows: none is running.")
        return
    st.dataframe(flows, hide_index=True, placeholder="")


@st.cache_data(ttl=10.0, show_spinner=False)
def flows_now(url: str) -> pd.DataFrame:
    """name, state, since (start, none: not yet), seconds, parameters; the newest first."""
    answer = httpx.post(f"{url.rstrip('/')}/flow_runs/filter", json=NOW, timeout=PATIENCE)
    found = answer.raise_for_status().json()
    return pd.DataFrame(
        [
            (
                flow["name"],
                flow["state_name"],
                flow["start_time"],
                flow.get("estimated_run_time"),
                str(flow.get("parameters") or ""),
            )
            for flow in found
        ],
        columns=["name", "state", "since", "seconds", "parameters"],
    )
