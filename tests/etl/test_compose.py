"""docker-compose.yml, read without Docker: its parts fit together, and none shows a password."""

import os
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from prefect.cli.worker import worker_app
from prefect.settings.models.worker import WorkerWebserverSettings
from pydantic import BaseModel, ConfigDict
from sqlalchemy import make_url

from feature_atlas.dashboards.vlm.model_answer import DEFAULT_URL

ROOT = Path(__file__).parents[2]
STAYING = ("postgres", "prefect", "worker", "worker-gpu", "dashboards", "model", "model-gpu")
ENDING = ("migrate", "deployments")


class Part(BaseModel):
    """A misspelled key is refused."""

    model_config = ConfigDict(extra="forbid")


class HealthCheck(Part):
    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str = "0s"


class Device(Part):
    driver: Literal["nvidia"]
    count: str
    capabilities: list[Literal["gpu"]]


class Dependency(Part):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Service(Part):
    image: str
    build: str = ""
    init: bool = False
    profiles: list[Literal["cpu", "gpu", "model", "model-gpu"]] = []
    entrypoint: list[str] = []
    command: list[str] = []
    working_dir: str = ""
    environment: dict[str, str] = {}
    secrets: list[str] = []
    configs: list[dict[str, str]] = []
    volumes: list[str] = []
    ports: list[str] = []
    shm_size: str = ""
    network_mode: str = ""
    depends_on: dict[str, Dependency] = {}
    healthcheck: HealthCheck | None = None
    restart: Literal["no", "unless-stopped"] = "no"
    deploy: dict[str, dict[str, dict[str, list[Device]]]] = {}


class Compose(Part):
    model_config = ConfigDict(extra="allow")  # x-atlas and x-worker, which services take over

    name: str
    services: dict[str, Service]
    secrets: dict[str, dict[str, str]]
    configs: dict[str, dict[str, str]]
    volumes: dict[str, None]


class Loader(yaml.SafeLoader):
    """Knows the tag with which a file replaces what another says."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_mapping(node))


def read(name: str) -> dict[str, Any]:
    return yaml.load((ROOT / name).read_text(), Loader)


@pytest.fixture(scope="module")
def compose() -> Compose:
    return Compose.model_validate(read("docker-compose.yml"))


def test_every_part_that_is_named_is_there(compose):
    for service in compose.services.values():
        assert set(service.secrets) <= compose.secrets.keys()
        assert {config["source"] for config in service.configs} <= compose.configs.keys()
        assert service.depends_on.keys() <= compose.services.keys()
        named = {volume.partition(":")[0] for volume in service.volumes}
        assert {name for name in named if name.isalpha()} <= compose.volumes.keys()


def test_who_stays_says_whether_he_is_well_and_who_ends_is_waited_for(compose):
    assert {*STAYING, *ENDING} == compose.services.keys()
    for name in STAYING:
        assert compose.services[name].healthcheck is not None, name
        assert compose.services[name].restart == "unless-stopped"
    for service in compose.services.values():
        for name, dependency in service.depends_on.items():
            ends = name in ENDING
            assert dependency.condition == (
                "service_completed_successfully" if ends else "service_healthy"
            )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("prefect", "http://127.0.0.1:4200/api/health"),
        ("worker", f"http://127.0.0.1:{WorkerWebserverSettings().port}/health"),
        ("worker-gpu", f"http://127.0.0.1:{WorkerWebserverSettings().port}/health"),
        ("dashboards", "http://127.0.0.1:8501/_stcore/health"),
        ("model", f"{DEFAULT_URL}/health"),
    ],
)
def test_a_check_asks_where_the_service_answers(compose, name, address):
    program, *options, code = compose.services[name].healthcheck.test[1:]

    assert [program, *options] == ["python", "-c"]
    assert f"r.urlopen('{address}')" in code
    compile(code, name, "exec")


@pytest.mark.parametrize(
    ("name", "profile", "gpu_profile"), [("worker", "cpu", "gpu"), ("model", "model", "model-gpu")]
)
def test_what_computes_on_gpus_differs_by_them_alone(compose, name, profile, gpu_profile):
    cpu, gpu = compose.services[name], compose.services[f"{name}-gpu"]
    (device,) = gpu.deploy["resources"]["reservations"]["devices"]

    assert (cpu.profiles, gpu.profiles) == ([profile], [gpu_profile])
    assert device.capabilities == ["gpu"]
    assert cpu.model_copy(update={"profiles": [gpu_profile], "deploy": gpu.deploy}) == gpu


def test_what_computes_is_started_by_its_profile_alone(compose):
    computing = {"worker", "worker-gpu", "model", "model-gpu"}

    assert {name for name, service in compose.services.items() if service.profiles} == computing


def test_the_model_answers_where_the_pages_ask_and_nowhere_else(compose):
    model = compose.services["model"]

    assert model.network_mode == "service:dashboards"
    assert (model.ports, model.secrets) == ([], ["reader_password"])
    assert "ATLAS_MODEL_URL" not in compose.services["dashboards"].environment


def test_the_worker_is_started_as_prefect_starts_one(compose):
    prefect, worker, *options = compose.services["worker"].entrypoint

    command, bound, _ = worker_app.parse_args(options, exit_on_error=False, print_error=False)

    assert (prefect, worker, command.__name__) == ("prefect", "worker", "start")
    assert bound.arguments["work_pool_name"] == "atlas"
    assert bound.arguments["worker_type"] == "process"
    assert bound.arguments["with_healthcheck"]


def test_passwords_reach_containers_as_files_alone(compose):
    for name, service in compose.services.items():
        for variable, value in service.environment.items():
            if "PASSWORD" in variable:
                assert variable.endswith("_FILE"), name
                folder, _, secret = value.rpartition("/")
                assert (folder, secret in service.secrets) == ("/run/secrets", True), name
            if variable == "ATLAS_DATABASE_URL":
                assert make_url(value).password is None


def test_the_pages_hold_the_readers_password_and_no_other(compose):
    pages = compose.services["dashboards"]

    assert make_url(pages.environment["ATLAS_DATABASE_URL"]).username == "atlas_reader"
    assert pages.secrets == ["reader_password"]


def test_every_secret_can_come_from_the_environment_or_from_a_file(compose):
    files = read("docker-compose.secrets.yml")

    assert files.keys() == {"secrets"}
    assert files["secrets"].keys() == compose.secrets.keys()
    assert {tuple(source) for source in compose.secrets.values()} == {("environment",)}
    for name, source in files["secrets"].items():
        assert source == {"file": f"${{ATLAS_SECRETS:-./secrets}}/{name}"}
    ignored = {*(ROOT / ".gitignore").read_text().split(), "secrets"}
    assert {".env", "secrets/"} <= ignored
    assert {".env", "secrets"} <= set((ROOT / ".dockerignore").read_text().split())


def test_prefect_is_given_the_password_of_the_file(compose, tmp_path):
    (tmp_path / "postgres_password").write_text('it\'s "$quoted"\n')
    program = tmp_path / "prefect"
    program.write_text('#!/bin/sh\nprintf "%s|%s" "$PREFECT_SERVER_DATABASE_PASSWORD" "$*"\n')
    program.chmod(0o755)
    service = compose.services["prefect"]
    (command,) = service.command
    here = command.replace("$$", "$").replace("/run/secrets", str(tmp_path))

    said = subprocess.run(
        [*service.entrypoint, here],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said == 'it\'s "$quoted"|server start --host 0.0.0.0'
