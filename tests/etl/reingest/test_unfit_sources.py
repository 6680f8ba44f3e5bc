"""What is broken, unfinished or out of reach is set aside or tried again; the others go on."""

import shutil
from pathlib import Path

import fsspec
import pytest
import torch
from workshop import Workshop, change, statuses

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.saes import save_sae
from feature_atlas.etl.reingest.reingest import reingest


def truncate(layer: Path) -> None:
    file = layer / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def spoil(layer: Path) -> None:
    change(layer, "W_dec", lambda weight: weight.index_fill(0, torch.tensor([3]), torch.nan))


def widen(layer: Path) -> None:
    shutil.rmtree(layer)
    wide = Sae(
        w_enc=torch.randn(96, 32), b_enc=torch.zeros(32), w_dec=torch.randn(32, 96),
        b_dec=torch.zeros(96), gate=TopK(4), scale=1.0,
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
