"""Folders with a wrong manifest: it says where, and nothing is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from loading import change, entry, refusal
from sqlalchemy import Engine

Spoil = Callable[[Path], str]
BAD: list[Spoil] = []


def bad(spoil: Spoil) -> Spoil:
    """A function that spoils a folder, and returns words that the error must hold."""
    BAD.append(spoil)
    return spoil


@bad
def no_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "expected a finished run folder"


def manifest_text(folder: Path, text: str | bytes) -> None:
    path = folder / "manifest.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@bad
def a_manifest_that_is_no_object(folder: Path) -> str:
    manifest_text(folder, "[]")
    return "manifest.json: it holds list, expected an object"


@bad
def a_manifest_that_is_no_json(folder: Path) -> str:
    manifest_text(folder, '{"format": 1,')
    return "manifest.json: it is no JSON"


@bad
def an_empty_manifest(folder: Path) -> str:
    manifest_text(folder, "")
    return "manifest.json: it is no JSON"


@bad
def a_manifest_that_is_no_utf8(folder: Path) -> str:
    manifest_text(folder, '{"slug": "é"}'.encode("latin-1"))
    return "manifest.json: it is no UTF-8 text (byte 10)"


@bad
def a_manifest_nested_too_deep(folder: Path) -> str:
    manifest_text(folder, "[" * 100_000)
    return "manifest.json: it is no JSON"


@bad
def a_manifest_nested_deep_in_its_configuration(folder: Path) -> str:
    text = (folder / "manifest.json").read_text()
    manifest_text(folder, text.replace('"seed": 0', '"seed": ' + "[" * 990 + "]" * 990, 1))
    return "manifest.json: "


@bad
def nan_in_the_manifest(folder: Path) -> str:
    change(folder, lambda m: m["config"].update(rate=float("nan")))
    return "NaN is no finite number"


@bad
def a_number_too_large_for_one(folder: Path) -> str:
    text = (folder / "manifest.json").read_text()
    manifest_text(folder, text.replace('"seed": 0', '"seed": 1e999', 1))
    return "1e999 is no finite number"


@bad
def a_name_twice_in_the_manifest(folder: Path) -> str:
    text = (folder / "manifest.json").read_text()
    manifest_text(folder, text.replace("{", '{"slug": "other", ', 1))
    return "'slug' comes twice in one object"


@bad
def a_zero_byte_in_the_manifest(folder: Path) -> str:
    change(folder, lambda m: m["vlm"].update(name="tiny\x00llava"))
    return "name holds a zero byte"


@bad
def a_future_format(folder: Path) -> str:
    change(folder, lambda m: m.update(format=2))
    return "is of format 2; this version reads format 1. A newer feature-atlas wrote the folder"


@bad
def a_manifest_that_lacks_something(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].pop("d_sae"))
    return "sae_set.d_sae: Field required"


@bad
def a_checksum_that_is_none(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(sha256="0"))
    return "sha256: String should match pattern"


@bad
def a_negative_size(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(bytes=-1))
    return "bytes: Input should be greater than or equal to 0"


@bad
def a_number_in_quotes(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(d_sae="64"))
    return "sae_set.d_sae: Input should be a valid integer; found '64'"


@bad
def a_slug_that_is_a_path(folder: Path) -> str:
    change(folder, lambda m: m.update(slug="../../etc-" + "5" * 8))
    return "slug: String should match pattern"


@bad
def the_hash_of_another_run(folder: Path) -> str:
    change(folder, lambda m: m.update(config_hash="6" * 64))
    return "but its config_hash begins with 66666666: parts of two runs"


@bad
def a_layer_twice(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(layers=[0, 0]))
    return "sae_set.layers: 0 comes twice"


@bad
def a_layer_without_its_scale(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(activation_scale=[4.0]))
    return "sae_set has 2 layers and 1 activation_scale"


@bad
def neither_k_nor_thresholds(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(k=None))
    return "sae_set has k None and threshold None: one of them, for each layer"


@bad
def a_layer_without_its_threshold(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(gate="threshold", k=None, threshold=[1.0]))
    return "sae_set has k None and threshold [1.0]: one of them, for each layer"


@bad
def a_stage_twice(folder: Path) -> str:
    change(folder, lambda m: m["measurements"].append(m["measurements"][0]))
    return "measurements.stage: 'samples' comes twice"


@bad
def a_stage_that_nobody_measured(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(stage="astrology"))
    return "is of stage 'astrology', which has no measurement"


@bad
def a_stage_that_ended_before_it_began(folder: Path) -> str:
    change(folder, lambda m: m["measurements"][0].update(finished_at="2020-01-01T00:00:00Z"))
    return "measurement samples finished before it started"


@bad
def a_time_without_its_zone(folder: Path) -> str:
    change(folder, lambda m: m["measurements"][0].update(started_at="2020-01-01T00:00:00"))
    return "started_at: Input should have timezone info"


@bad
def two_datasets_of_one_number(folder: Path) -> str:
    change(folder, lambda m: m["datasets"][1].update(key=0))
    return "datasets.key: 0 comes twice"


@bad
def a_table_that_nobody_knows(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(table="pg_authid"))
    return "lists files for unknown tables ['pg_authid']"


@bad
def no_rows_for_a_needed_table(folder: Path) -> str:
    change(folder, lambda m: m["files"].remove(entry(m, "selection")))
    return "lists no rows for selection"


@bad
def far_more_features_than_rows(folder: Path) -> str:
    change(folder, lambda m: m["sae_set"].update(d_sae=2**31 - 1))
    return "says 2 layers of 2147483647 features and 768 rows of decoder_cosine"


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_folder_is_refused_that_has(spoil: Spoil, engine: Engine, folder: Path):
    words = spoil(folder)

    assert words in refusal(folder, engine)
