"""Settings that cannot be meant are refused when the configuration is read."""

import copy

import pytest
import yaml

from feature_atlas.etl.config.run_config import load_config

MINIMAL = {
    "name": "a-run",
    "vlm": {"path": "/models/vlm", "base": "base", "name": "vlm"},
    "sae": {"path": "/saes/layer_{layer}", "release": "r", "layers": [0, 1]},
    "data": {"vqa_folder": "vqa", "vsr_folder": "vsr"},
}
RELEASE = {"source": "sae_lens_release", "path": "llama_scope_lxr_8x"}


def load(folder, changes):
    """The minimal configuration with some settings changed, read from a file."""
    settings = copy.deepcopy(MINIMAL)
    for section, values in changes.items():
        settings[section] = (
            {**settings.get(section, {}), **values} if isinstance(values, dict) else values
        )
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(settings))
    return load_config(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sae": {"layers": [0, 0]}}, "layers names 0 twice"),
        ({"sae": {"layers": [1, 0]}}, r"layers are \[1, 0\]: expected ascending"),
        ({"sae": {"layers": [-1, 0]}}, r"sae\.layers\.0: .*greater than or equal to 0"),
        ({"sae": {"layers": []}}, r"sae\.layers: .*at least 1 item"),
        ({"sae": {"path": "/saes/one"}}, "path '/saes/one' is the same for 2 layers"),
        ({"sae": {"path": "/saes/{layer}/{width}"}}, r"cannot be filled in \(KeyError\('width'\)"),
        ({"sae": {"path": "/saes/{}"}}, "cannot be filled in"),
        ({"sae": {"path": "/saes/{layer"}}, "cannot be filled in"),
        ({"sae": {"path": "/saes/{layer.x}"}}, "cannot be filled in"),
        ({"sae": {"path": "/saes/{layer!r:.0}"}}, "is the same for 2 layers"),
        ({"sae": RELEASE | {"sae_id": "l3r_8x"}}, "sae_id 'l3r_8x' is the same for 2 layers"),
        ({"sae": {"scales": {0: -1.0}}}, r"sae\.scales\.0: .*greater than 0"),
        ({"sae": {"scales": {0: float("inf")}}}, r"sae\.scales\.0: .*finite"),
        ({"sae": {"release": ""}}, r"sae\.release: .*at least 1 character"),
        ({"adapt": {"regimes": ["text", "text"]}}, "regimes names text twice"),
        ({"adapt": {"regimes": []}}, "must name text"),
        ({"adapt": {"n_tokens": 10, "batch_size": 20, "buffer_size": 20}}, "nothing would be"),
        ({"adapt": {"learning_rate": float("nan")}}, r"adapt\.learning_rate: .*finite"),
        ({"steering": {"alphas": []}}, r"steering\.alphas: .*at least 1 item"),
        ({"steering": {"alphas": [1.0, 1]}}, "alphas names 1.0 twice"),
        ({"exact_patch": {"parts": ["z", "z"]}}, "parts names z twice"),
        ({"exact_patch": {"parts": []}}, r"exact_patch\.parts: .*at least 1 item"),
        ({"auto_interp": {"variants": ["RAW", "RAW"]}}, "variants names RAW twice"),
        ({"group_ablation": {"by": []}}, r"group_ablation\.by: .*at least 1 item"),
        ({"harvest": {"skills": ["spatial", "spatial"]}}, "spatial.* twice"),
        ({"data": {"instances": ["a.json", "a.json"]}}, r"instances names .*a\.json twice"),
        ({"example": {"n_spread": 9, "n_reservoir": 5}}, "n_reservoir 5 is less than n_spread 9"),
        ({"example": {"n_random": 21}}, "n_reservoir 20 is less than n_random 21"),
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
        ({"seed": 2**31}, "seed: .*less than 2147483648"),
        ({"name": "x" * 200}, "name: .*at most 100 characters"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(changes, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        load(tmp_path, changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"sae": {"layers": [3], "path": "/saes/one"}},
        {"sae": {"path": "/saes/{layer:02d}"}},
        {"sae": {"path": "/saes/{{a}}/{layer}"}},
        {"sae": RELEASE | {"sae_id": "l{layer}r_8x"}},
        {"sae": {"scales": {1: 2, 7: 3}}},
        {"base_model": {"path": "b", "text": "t", "stated": {5: {"l0": 3}}}},
    ],
)
def test_a_setting_that_can_be_meant_passes(changes, tmp_path):
    load(tmp_path, changes)


def test_a_key_that_comes_twice_is_named_with_its_place(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(MINIMAL) + "seed: 1\nseed: 2\n")

    with pytest.raises(ValueError, match=r"'seed' comes twice in one section"):
        load_config(file)
