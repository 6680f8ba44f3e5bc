"""Scheduled re-ingestion: what is new is published, what is broken is set aside, the rest stays."""

import json
import os
import shutil
import sys
from pathlib import Path

import fsspec
import pytest
import torch
from run_folder import table_file, write_run_folder
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.dictionary.sae import TopKSae
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.checkpoints import save_sae
from feature_atlas.etl.reingest.reingest import Outcome, any_new, look, reingest
from feature_atlas.etl.reingest.source_ledger import read_ledger, reingestion_lock
from feature_atlas.etl.warehouse.drop import drop_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.toy.weights import sae_path


class Workshop:
    """A place with SAE runs, an empty atlas, and a builder that takes no time."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.source, self.home, self.engine = folder / "saes", folder / "home", engine
        self.source.mkdir()
        base = demo_config(folder / "world")
        self.config = base.model_copy(
            update={"sae": base.sae.model_copy(update={"layers": (0, 1)})}
        )
        self.built: list[RunConfig] = []

    def build(self, config: RunConfig, home: Path) -> str:
        """A made-up run in place of hours of work; every time another one."""
        self.built.append(config)
        folder = write_run_folder(home / "runs", seed=len(self.built), name="tiny-world")
        return ingest(folder, self.engine).slug

    def look(self, source: str | None = None) -> list[Outcome]:
        return reingest(source or str(self.source), self.config, self.home, build=self.build)

    def add_saes(self, name: str, shift: float = 0.0) -> Path:
        """Two layers of the tiny world's SAEs; another shift is another set."""
        for layer in (0, 1):
            folder = self.source / name / f"layer_{layer}"
            shutil.copytree(sae_path(layer), folder)
            change(folder, "b_dec", lambda weight: weight + shift)
        return self.source / name

    def ledger(self) -> dict[str, str]:
        return {Path(uri).name: entry.state for uri, entry in read_ledger(self.engine).items()}


def change(folder: Path, name: str, how) -> None:
    file = folder / "sae_weights.safetensors"
    weights = load_file(file)
    save_file({**weights, name: how(weights[name]).contiguous()}, file)


@pytest.fixture
def workshop(tmp_path: Path, engine: Engine, fresh_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    return Workshop(tmp_path, engine)


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {Path(outcome.uri).name: outcome.status for outcome in outcomes}


def test_a_new_set_of_saes_is_built_with_the_base_configuration(workshop: Workshop):
    folder = workshop.add_saes("second-training")

    (outcome,) = workshop.look()

    (built,) = workshop.built
    assert outcome.status == "published"
    assert built.sae.path == f"{folder}/layer_{{layer}}"
    assert built.sae.release == "second-training"
    assert built.model_copy(update={"sae": workshop.config.sae}) == workshop.config
    entry = read_ledger(workshop.engine)[str(folder)]
    assert (entry.state, entry.kind, entry.run_id) == ("published", "sae_lens_folder", 1)


def test_the_second_run_is_compared_with_the_first(workshop: Workshop):
    workshop.add_saes("a")
    (first,) = workshop.look()
    workshop.add_saes("b", shift=1.0)

    kept, second = workshop.look()

    assert first.drift is None
    assert kept.status == "unchanged"
    assert second.drift is not None
    assert (second.drift.before, second.drift.after) == (first.detail, second.detail)
    with workshop.engine.connect() as connection:
        stored = connection.execute(
            text("SELECT run_id, against_run_id, n_changed FROM atlas.drift_report")
        ).one()
    assert stored == (2, 1, second.drift.n_changed)


def test_looking_again_does_nothing(workshop: Workshop):
    workshop.add_saes("a")
    workshop.look()
    for file in workshop.source.rglob("*.json"):
        os.utime(file, (1, 1))  # another time is no other content

    found = look(str(workshop.source), workshop.config, workshop.home, workshop.engine)
    (outcome,) = workshop.look()

    assert not any_new(found)
    assert outcome.status == "unchanged"
    assert len(workshop.built) == 1


def test_other_content_of_the_same_size_is_new(workshop: Workshop):
    folder = workshop.add_saes("a")
    workshop.look()
    weights = folder / "layer_1" / "sae_weights.safetensors"
    before = weights.stat()
    change(folder / "layer_1", "b_dec", lambda weight: weight + 2)

    (outcome,) = workshop.look()

    assert weights.stat().st_size == before.st_size
    assert outcome.status == "published"
    assert len(workshop.built) == 2


def test_other_settings_are_new_too(workshop: Workshop):
    workshop.add_saes("a")
    workshop.look()
    workshop.config = workshop.config.model_copy(update={"seed": 7})

    (outcome,) = workshop.look()

    assert outcome.status == "published"
    assert [config.seed for config in workshop.built] == [0, 7]


def truncate(layer: Path) -> None:
    file = layer / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def spoil(layer: Path) -> None:
    change(layer, "W_dec", lambda weight: weight.index_fill(0, torch.tensor([3]), torch.nan))


def widen(layer: Path) -> None:
    shutil.rmtree(layer)
    wide = TopKSae(
        w_enc=torch.randn(96, 32), b_enc=torch.zeros(32), w_dec=torch.randn(32, 96),
        b_dec=torch.zeros(96), k=4, scale=1.0,
    )  # fmt: skip
    save_sae(wide, layer, {})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncate, "truncated"),
        (spoil, "holds NaN or infinity"),
        (widen, "residuals of width 96"),
        (lambda layer: (layer / "cfg.json").write_text("{"), "layer_1"),
    ],
)
def test_a_broken_set_is_set_aside_and_the_others_go_on(workshop: Workshop, harm, said: str):
    harm(workshop.add_saes("b-broken") / "layer_1")
    workshop.add_saes("a")
    workshop.add_saes("c", shift=1.0)

    outcomes = workshop.look()

    assert statuses(outcomes) == {"a": "published", "b-broken": "broken", "c": "published"}
    assert said in outcomes[1].detail
    assert workshop.ledger() == {"a": "published", "b-broken": "broken", "c": "published"}
    assert len(workshop.built) == 2


def test_a_broken_set_is_left_alone_until_it_is_mended(workshop: Workshop):
    folder = workshop.add_saes("a")
    whole = (folder / "layer_1" / "sae_weights.safetensors").read_bytes()
    truncate(folder / "layer_1")
    workshop.look()

    (again,) = workshop.look()
    (folder / "layer_1" / "sae_weights.safetensors").write_bytes(whole)
    (mended,) = workshop.look()

    assert again.status == "still broken"
    assert "truncated" in again.detail
    assert mended.status == "published"


def test_a_build_that_fails_is_tried_again(workshop: Workshop):
    workshop.add_saes("a")

    def no_memory(config: RunConfig, home: Path) -> str:
        raise MemoryError("none left")

    (failed,) = reingest(str(workshop.source), workshop.config, workshop.home, build=no_memory)
    assert (failed.status, failed.detail) == ("failed", "MemoryError: none left")
    assert workshop.ledger() == {"a": "seen"}

    (outcome,) = workshop.look()

    assert outcome.status == "published"


def test_a_build_that_was_killed_is_tried_again(workshop: Workshop):
    workshop.add_saes("a")

    def killed(config: RunConfig, home: Path) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reingest(str(workshop.source), workshop.config, workshop.home, build=killed)
    assert workshop.ledger() == {"a": "building"}

    assert statuses(workshop.look()) == {"a": "published"}


def test_a_set_that_is_still_being_written_waits(workshop: Workshop):
    layer = workshop.add_saes("a") / "layer_1"
    layer.rename(workshop.source / ".layer_1")

    (waiting,) = workshop.look()
    (workshop.source / ".layer_1").rename(layer)
    (outcome,) = workshop.look()

    assert (waiting.status, waiting.detail) == ("waiting", "lacks layers 1")
    assert outcome.status == "published"


def test_a_published_set_stays_published_while_a_file_is_away(workshop: Workshop):
    layer = workshop.add_saes("a") / "layer_1"
    workshop.look()
    layer.rename(workshop.source / ".layer_1")
    workshop.look()
    (workshop.source / ".layer_1").rename(layer)

    (outcome,) = workshop.look()

    assert outcome.status == "unchanged"
    assert len(workshop.built) == 1


def test_run_folders_are_ingested_and_a_damaged_one_is_set_aside(workshop: Workshop):
    good = write_run_folder(workshop.source, seed=0, name="a-good")
    bad = write_run_folder(workshop.source, seed=0, name="b-bad")
    last = write_run_folder(workshop.source, seed=1, name="a-good")
    file = table_file(bad, "decoder_cosine")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")

    first = statuses(workshop.look())
    second = statuses(workshop.look())
    file.write_bytes(whole)
    third = statuses(workshop.look())

    assert first == {good.name: "published", last.name: "published", bad.name: "broken"}
    assert second == {good.name: "unchanged", last.name: "unchanged", bad.name: "still broken"}
    assert third == {**second, bad.name: "published"}
    assert workshop.built == []


def test_a_run_that_was_dropped_does_not_come_back(workshop: Workshop):
    write_run_folder(workshop.source)
    workshop.look()
    drop_run(workshop.engine, "1", confirmed=True)

    (outcome,) = workshop.look()

    assert outcome.status == "unchanged"
    with workshop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.run")) == 0


def test_a_url_is_fetched_into_the_home_folder(workshop: Workshop):
    files = fsspec.filesystem("memory")
    files.put(str(workshop.add_saes("remote")), "/bucket/remote", recursive=True)
    try:
        (first,) = workshop.look("memory://bucket")
        (second,) = workshop.look("memory://bucket")
    finally:
        files.rm("/bucket", recursive=True)

    assert (first.uri, first.status, second.status) == (
        "memory:///bucket/remote", "published", "unchanged",
    )  # fmt: skip
    (built,) = workshop.built
    assert Path(built.sae.path).is_relative_to(workshop.home / "cache")
    assert built.sae.release == "remote"


def test_a_place_that_breaks_off_fails_alone(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    files = fsspec.filesystem("memory")
    for name in ("lost", "near"):
        files.put(str(workshop.add_saes(name)), f"/bucket/{name}", recursive=True)
    real = type(files).get_file

    def breaks_off(self, path: str, *arguments, **options):
        if "/lost/layer_1/" in path:
            raise ConnectionResetError("line cut")
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(files), "get_file", breaks_off)
    first = workshop.look("memory://bucket")
    monkeypatch.setattr(type(files), "get_file", real)
    second = workshop.look("memory://bucket")
    files.rm("/bucket", recursive=True)

    assert statuses(first) == {"lost": "failed", "near": "published"}
    assert first[0].detail == "cannot read: line cut"
    assert statuses(second) == {"lost": "published", "near": "unchanged"}


def test_a_brace_in_a_path_is_no_placeholder(workshop: Workshop):
    workshop.add_saes("{odd} {layer}")

    (outcome,) = workshop.look()

    assert outcome.status == "published", outcome.detail
    (built,) = workshop.built
    assert Path(built.sae.path.format(layer=1)).is_dir()


def test_one_re_ingestion_at_a_time(workshop: Workshop):
    workshop.add_saes("a")

    with reingestion_lock(workshop.engine):
        with pytest.raises(RuntimeError, match="another re-ingestion is at work"):
            workshop.look()

    assert statuses(workshop.look()) == {"a": "published"}


def test_the_command_says_what_is_there_without_starting_prefect(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_HOME", str(workshop.home))
    write_run_folder(workshop.source, name="known")
    workshop.look()
    monkeypatch.setitem(sys.modules, "feature_atlas.etl.flows", None)  # importing it would fail

    done = CliRunner().invoke(app, ["reingest", str(workshop.source)])

    assert done.exit_code == 0, done.output
    assert "unchanged: " in done.output


def test_the_flow_publishes_shows_the_drift_and_fails_for_what_is_broken(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    from feature_atlas.etl import flows

    shown: dict[str, object] = {}
    keep = lambda **parts: shown.update({parts["key"]: parts.get("table") or parts["markdown"]})  # noqa: E731
    monkeypatch.setattr(flows, "create_table_artifact", keep)
    monkeypatch.setattr(flows, "create_markdown_artifact", keep)
    monkeypatch.setenv("ATLAS_HOME", str(workshop.home))
    for seed in (0, 1):
        write_run_folder(workshop.source, seed=seed, name="good")
    broken = write_run_folder(workshop.source, name="z-broken")
    table_file(broken, "selection").write_bytes(b"")

    with pytest.raises(RuntimeError, match=r"1 of 3 could not be taken:\n  broken: .*z-broken"):
        flows.reingest_flow.fn(str(workshop.source))

    statuses_shown = [row["status"] for row in shown["reingest"]]
    assert sorted(statuses_shown) == ["broken", "published", "published"]
    (table,) = (v for k, v in shown.items() if k.startswith("drift-good") and "features" not in k)
    (page,) = (v for k, v in shown.items() if k.startswith("drift-good") and "features" in k)
    assert table[-1]["layer"] == "all"
    assert "of 128 features changed" in page
    assert json.loads(json.dumps(table)) == table  # Prefect stores artifacts as JSON
