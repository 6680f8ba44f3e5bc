"""SAE runs told by the names of files, fetched whole or not at all."""

from pathlib import Path

import fsspec
import pytest

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.reingest.sae_sources import find_sources, layer_folder
from feature_atlas.etl.reingest.source_files import fetch, forget_older, open_place


def config(layers: tuple[int, ...] = (0, 1), **sae: str) -> RunConfig:
    base = demo_config(Path("world"))
    return base.model_copy(update={"sae": base.sae.model_copy(update={"layers": layers, **sae})})


def sae(folder: str) -> list[str]:
    return [f"{folder}/cfg.json", f"{folder}/sae_weights.safetensors"]


def test_layers_below_one_folder_are_one_set():
    names = [*sae("new/layer_0"), *sae("new/layer_1"), *sae("new/layer_7"), "new/notes.txt"]

    (found,) = find_sources(names, config())

    assert (found.kind, found.folder, found.layer_folder) == (
        "sae_lens_folder", "new", "layer_{layer}",
    )  # fmt: skip
    assert sorted(found.names) == sorted([*sae("new/layer_0"), *sae("new/layer_1")])
    assert found.lacks == ""


def test_the_place_itself_may_be_the_set():
    (found,) = find_sources([*sae("layer_0"), *sae("layer_1")], config())

    assert (found.folder, found.lacks) == (".", "")


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        (sae("new/layer_1"), "layers 0"),
        ([*sae("new/layer_0"), "new/layer_1/cfg.json"], "new/layer_1/sae_weights.safetensors"),
        (sae("new/sixteen"), "a layer: its folder is not called layer_{layer}"),
    ],
)
def test_a_set_that_is_not_all_there_says_what_it_lacks(names: list[str], lacks: str):
    (found,) = find_sources(names, config())

    assert found.lacks == lacks


def test_a_single_sae_is_a_set_where_the_run_has_one_layer():
    (found,) = find_sources(sae("sixteen"), config(layers=(16,)))

    assert (found.folder, found.layer_folder, found.lacks) == ("sixteen", ".", "")


def test_llama_scope_files_are_told_apart():
    names = [f"scope/l{n}r_8x/{part}" for n in (0, 1) for part in
             ("hyperparams.json", "checkpoints/final.safetensors")]  # fmt: skip

    (found,) = find_sources(names, config(path="llama_scope_lxr_8x"))

    assert (found.kind, found.layer_folder, found.lacks) == (
        "llama_scope_folder", "l{layer}r_8x", "",
    )  # fmt: skip


def test_the_saes_in_a_run_folder_are_a_part_of_it():
    inside = [*sae("run-1/adapt-text-0/sae/layer_0"), *sae("run-1/adapt-text-0/sae/layer_1")]
    unfinished = [name.replace("run-1", "run-2") for name in inside]

    found = find_sources(
        ["run-1/manifest.json", *inside, "run-2/inputs.json", *unfinished], config()
    )

    assert [(f.kind, f.folder, f.lacks) for f in found] == [
        ("run_folder", "run-1", ""),
        ("run_folder", "run-2", "its manifest.json"),
    ]


def test_without_a_configuration_only_run_folders_are_ready():
    run, saes = find_sources(["run/manifest.json", *sae("new/layer_3")], None)

    assert run.lacks == ""
    assert "--config" in saes.lacks


def test_a_layers_folder_may_be_deep():
    deep = config(path="/saes/layer_{layer}/width_16k")

    assert layer_folder(deep) == "layer_{layer}/width_16k"
    (found,) = find_sources([*sae("x/layer_0/width_16k"), *sae("x/layer_1/width_16k")], deep)
    assert (found.folder, found.lacks) == ("x", "")


@pytest.fixture
def remote():
    """A folder in memory; `memory://` is as remote as a bucket."""
    files = fsspec.filesystem("memory")
    files.pipe({"/bucket/saes/a/cfg.json": b"{}", "/bucket/saes/.hidden/cfg.json": b"{}"})
    yield files
    files.rm("/bucket", recursive=True)


def test_a_remote_folder_is_copied_once_and_again_when_it_changes(remote, tmp_path: Path):
    place = open_place("memory://bucket/saes")
    assert list(place.names) == ["a/cfg.json"]

    first = fetch(place, "a", ["a/cfg.json"], tmp_path)
    stamp = (first / "cfg.json").stat().st_mtime_ns
    again = fetch(open_place("memory://bucket/saes"), "a", ["a/cfg.json"], tmp_path)
    remote.pipe("/bucket/saes/a/cfg.json", b"{1}")
    changed_place = open_place("memory://bucket/saes")
    changed = fetch(changed_place, "a", ["a/cfg.json"], tmp_path)

    assert again == first
    assert (first / "cfg.json").stat().st_mtime_ns == stamp
    assert (first / "cfg.json").read_bytes() == b"{}"
    assert (changed / "cfg.json").read_bytes() == b"{1}"
    forget_older(changed_place, "a", changed, tmp_path)
    assert not first.exists()
    assert changed.exists()
    assert place.uri("a") == "memory:///bucket/saes/a"


def test_a_copy_that_breaks_off_is_no_copy(remote, tmp_path: Path, monkeypatch):
    remote.pipe("/bucket/saes/a/more.bin", b"more")
    place = open_place("memory://bucket/saes")
    real = type(remote).get_file

    def breaks_off(self, path, *arguments, **options):
        if path.endswith("more.bin"):
            raise ConnectionError("line cut")
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(remote), "get_file", breaks_off)
    with pytest.raises(ConnectionError):
        fetch(place, "a", list(place.names), tmp_path)
    monkeypatch.undo()

    whole = fetch(place, "a", list(place.names), tmp_path)

    assert sorted(p.name for p in whole.iterdir()) == ["cfg.json", "more.bin"]
    assert list(whole.parent.iterdir()) == [whole]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "is empty"),
        ("/nowhere/at/all", "no folder at '/nowhere/at/all'"),
        ("nothing://known", "Protocol not known"),
    ],
)
def test_a_place_that_is_none_is_refused(source: str, said: str):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        open_place(source)
