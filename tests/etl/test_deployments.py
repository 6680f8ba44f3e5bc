"""prefect.yaml, read with Prefect's own reader, without a server."""

import inspect
from pathlib import Path

import pytest
import yaml
from prefect.cli.deploy._config import _load_deploy_configs_and_actions
from prefect.cli.deploy._schedules import _construct_schedules
from prefect.cli.deploy._triggers import _initialize_deployment_triggers
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.templating import apply_values
from rich.console import Console

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def deployments() -> dict[str, dict]:
    """Deployments by name, as `prefect deploy --all` sees them."""
    said = Console(record=True, quiet=True)
    found, actions = _load_deploy_configs_and_actions(ROOT / "prefect.yaml", console=said)
    assert said.export_text() == ""  # the reader skips what it does not understand, and says so
    assert actions == {"build": [], "push": [], "pull": []}
    return {deployment["name"]: deployment for deployment in found}


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_CONFIG", "/data/run.yaml")
    monkeypatch.setenv("ATLAS_SOURCE", "s3://bucket/saes")


def test_there_is_a_build_a_reingest_and_an_overlay(deployments):
    assert set(deployments) == {"build", "overlay", "reingest"}


def test_an_own_prompt_is_given_when_it_is_asked(deployments):
    flow = load_flow_from_entrypoint(
        deployments["overlay"]["entrypoint"], use_placeholder_flow=False
    )
    given = {"run": "tiny", "layer": "2", "feature": 38, "image": "a.png", "question": "Where?"}

    assert flow.name == "overlay"
    assert flow.validate_parameters(given)["layer"] == 2
    assert "schedules" not in deployments["overlay"]


@pytest.mark.parametrize("name", ["build", "reingest"])
def test_the_flow_takes_the_parameters(deployments, name: str):
    deployment = deployments[name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    parameters = apply_values(deployment["parameters"], {})
    signature = inspect.signature(flow.fn).parameters
    needed = {n for n, p in signature.items() if p.default is inspect.Parameter.empty}

    taken = flow.validate_parameters(parameters)

    assert flow.name == name
    assert needed <= parameters.keys() <= signature.keys()
    assert str(taken["config"]) == "/data/run.yaml"


@pytest.mark.parametrize(
    ("name", "cron", "event"),
    [
        ("build", "0 2 * * *", "feature-atlas.build.requested"),
        ("reingest", "15 * * * *", "feature-atlas.sae-run.written"),
    ],
)
def test_a_clock_and_an_event_start_it(deployments, name: str, cron: str, event: str):
    deployment = deployments[name]
    (schedule,) = _construct_schedules(
        deployment, {}, console=Console(quiet=True), is_interactive=lambda: False
    )
    (trigger,) = _initialize_deployment_triggers(name, deployment["triggers"])

    assert schedule["schedule"].cron == cron
    assert trigger.expect == {event}
    assert trigger.posture.value == "Reactive"
    assert trigger.threshold == 1


def test_every_deployment_goes_to_the_pool_that_the_compose_file_serves(deployments):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    worker = services["worker"]["entrypoint"]
    pool = worker[worker.index("--pool") + 1]

    assert {d["work_pool"]["name"] for d in deployments.values()} == {pool}
    assert f"work-pool create {pool} " in services["deployments"]["command"][0]
    assert {"ATLAS_CONFIG", "ATLAS_SOURCE"} <= services["deployments"]["environment"].keys()


def parameters_without(name: str, *variables: str, deployments, monkeypatch) -> dict:
    """What a deployment's flow gets that was deployed without these variables."""
    for variable in variables:
        monkeypatch.delenv(variable)
    deployment = deployments[name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    return flow.validate_parameters(apply_values(deployment["parameters"], {}))


def test_a_reingestion_without_a_configuration_has_none(deployments, monkeypatch):
    found = parameters_without(
        "reingest", "ATLAS_CONFIG", deployments=deployments, monkeypatch=monkeypatch
    )
    assert found["config"] is None


@pytest.mark.parametrize(("name", "variable"), [("build", "CONFIG"), ("reingest", "SOURCE")])
def test_what_is_needed_and_was_not_set_is_refused(deployments, monkeypatch, name, variable):
    with pytest.raises(ParameterTypeError, match="deployment made without ATLAS_CONFIG"):
        parameters_without(
            name, f"ATLAS_{variable}", deployments=deployments, monkeypatch=monkeypatch
        )
