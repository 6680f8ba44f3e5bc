"""What schedules, events and people start (`prefect.yaml`): builds, new SAE runs, own prompts.

Thin: the work is in `build`, `reingest` and `custom_overlay`, which the command line calls too.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import BeforeValidator
from rich.console import Console

from feature_atlas.etl.build import build_and_publish
from feature_atlas.etl.config.run_config import DRIFT, DriftConfig, load_config
from feature_atlas.etl.own_prompt.custom_overlay import Asked, overlay_custom
from feature_atlas.etl.reingest.drift import Drift, headline, layer_rows
from feature_atlas.etl.reingest.drift_report import as_markdown
from feature_atlas.etl.reingest.reingest import Outcome, print_outcomes, reingest, require_all_taken
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.warehouse.migrate import open_atlas
from feature_atlas.models.session import atlas_home


def _said(value: Any) -> Any:
    if value in ("", None):
        raise ValueError(
            "is empty: was the deployment made without ATLAS_CONFIG or ATLAS_SOURCE? Set them and "
            "run `prefect deploy --all` again."
        )
    return value


def _or_none(value: Any) -> Any:
    return None if value == "" else value


# `prefect deploy` writes an empty text where a variable is not set, and Path("") is a folder
Config = Annotated[Path, BeforeValidator(_said)]
Source = Annotated[str, BeforeValidator(_said)]
MaybeConfig = Annotated[Path | None, BeforeValidator(_or_none)]


@flow(name="build", log_prints=False)
def build_flow(config: Config) -> str:
    """Build a configuration file and publish it, or find it published. Returns the slug."""
    return build_and_publish(load_config(config), atlas_home(), Console())


@flow(name="reingest", log_prints=False)
def reingest_flow(
    source: Source, config: MaybeConfig = None, drift: DriftConfig = DRIFT
) -> list[Outcome]:
    """Publish the SAE runs at a place that are new; fails when one of them could not be taken."""
    base = None if config is None else load_config(config)
    outcomes = reingest(source, base, atlas_home(), drift=drift)
    create_table_artifact(
        table=[{"what": o.uri, "status": o.status, "detail": o.detail} for o in outcomes],
        key="reingest",
        description=f"what lies at {source}",
    )
    for outcome in outcomes:
        if outcome.drift is not None:
            show_drift(outcome.drift)
    print_outcomes(outcomes, Console())
    require_all_taken(outcomes)
    return outcomes


@flow(name="overlay", log_prints=False)
def overlay_flow(run: str, layer: int, feature: int, image: Path, question: str) -> str:
    """Where a feature's heads look on a picture and question of one's own (Fig. 16).

    The result joins the published run; asked again it changes nothing. Returns the run's slug.
    """
    asked = Asked(Feature(layer, feature), image, question)
    return overlay_custom(open_atlas(), atlas_home(), run, asked, Console()).slug


def show_drift(drift: Drift) -> None:
    """The drift report as artifacts: a table of the layers, and a page."""
    key = "drift-" + re.sub("[^a-z0-9]+", "-", drift.after.lower()).strip("-")
    create_table_artifact(table=layer_rows(drift), key=key, description=headline(drift))
    create_markdown_artifact(markdown=as_markdown(drift), key=f"{key}-features")
