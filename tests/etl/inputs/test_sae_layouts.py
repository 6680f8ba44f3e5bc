"""Every published layout as a tiny fake on disk, loaded offline, against its formula in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import released_saes as fakes
import torch
from models_page import releases
from random_llama import text_config
from released_saes import D, F, Formula
from transformers import AutoModelForCausalLM, PreTrainedModel

from feature_atlas.dictionary.gate import kind
from feature_atlas.dictionary.sae import Sae, decode, encode
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.base_saes import BaseSaes
from feature_atlas.etl.inputs.sae_stated import stated_by_release

SCALE = 1.7
R1_SCALE = 53.52995401997436  # of its layer 0, in SAELens' directory


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """Width and depth of one, and no weights."""
    config = text_config()
    config.update({"hidden_size": D, "num_hidden_layers": 26})
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that SAELens' readers take for the hub."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from safetensors.torch import load_file

    def fetch(repo_id: str, filename: str, subfolder: str = "", **_: object) -> str:
        file = tmp_path / repo_id / subfolder / filename
        if not file.is_file():
            raise FileNotFoundError(file)
        return str(file)

    def shapes(repo: str, file: str) -> dict[str, list[int]]:
        return {name: list(t.shape) for name, t in load_file(tmp_path / repo / file).items()}

    of_goodfire = loaders.get_goodfire_config_from_hf

    def small(*args: Any, **settings: Any) -> dict[str, Any]:
        return of_goodfire(*args, **settings) | {"d_in": D, "d_sae": F}

    of_gemma_2 = loaders.get_gemma_2_config_from_hf

    def narrow(*args: Any, **settings: Any) -> dict[str, Any]:
        return of_gemma_2(*args, **settings) | {"d_in": D, "d_sae": F}

    monkeypatch.setattr(loaders, "hf_hub_download", fetch)
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", shapes)
    monkeypatch.setattr(loaders, "get_goodfire_config_from_hf", small)
    monkeypatch.setattr(loaders, "get_gemma_2_config_from_hf", narrow)
    monkeypatch.setattr(
        loaders, "_parse_qwen_scope_repo_id", lambda _: ("Qwen3-8B-Base", F, fakes.K)
    )
    monkeypatch.setitem(loaders.QWEN_SCOPE_MODEL_INFO, "Qwen3-8B-Base", ("Qwen/Qwen3-8B-Base", D))
    return tmp_path


def released(path: str, sae_id: str, layer: int, **given: Any) -> SaeConfig:
    return SaeConfig(
        source="sae_lens_release", path=path, sae_id=sae_id, release="r", layers=(layer,), **given
    )


def in_folder(source: Any, folder: Path, layer: int, **given: Any) -> SaeConfig:
    return SaeConfig(source=source, path=str(folder), release="r", layers=(layer,), **given)


Case = Callable[[Path], tuple[SaeConfig, Formula]]


def raw_llama_scope(**settings: Any) -> Case:
    def case(hub: Path) -> tuple[SaeConfig, Formula]:
        formula = fakes.llama_scope(hub / "L0R", **settings)
        return in_folder("llama_scope_folder", hub / "L0R", 0), formula

    return case


def of_release(
    write: Callable[[Path], Formula], path: str, sae_id: str, layer: int, **given: Any
) -> Case:
    return lambda hub: (released(path, sae_id, layer, **given), write(hub))


def r1(**settings: Any) -> Case:
    return of_release(
        lambda hub: fakes.llama_scope_r1(hub, R1_SCALE, **settings),
        "llama_scope_r1_distill",
        "l0r_800m_slimpajama",
        0,
    )


def sparsify(name: str, layer: int, **settings: Any) -> Case:
    def case(hub: Path) -> tuple[SaeConfig, Formula]:
        formula = fakes.sparsify(hub / name, **settings)
        return in_folder("sparsify_folder", hub / name, layer, scales={layer: SCALE}), formula

    return case


LLAMA_SCOPE_FOLDER = "fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L0R-8x"
NO_DECODER_BIAS = {"use_decoder_bias": False}
TWO_NORMS = {"dataset_average_activation_norm": {"in": 2, "out": 3.5}}
# gate, stated L0, and how the files come about
LAYOUTS: dict[str, tuple[str, float | None, Case]] = {
    "llama scope": ("topk", 4, raw_llama_scope()),
    "llama scope, two norms": ("topk", 4, raw_llama_scope(**TWO_NORMS)),
    "llama scope, topk": ("topk", 4, raw_llama_scope(act_fn="topk", top_k=4.0)),
    "llama scope, no norms in the gate": (
        "topk_before_norms",
        4,
        raw_llama_scope(sparsity_include_decoder_norm=False),
    ),
    "llama scope, bias first": ("topk", 4, raw_llama_scope(apply_decoder_bias_to_pre_encoder=True)),
    "llama scope, no decoder bias": ("topk", 4, raw_llama_scope(**NO_DECODER_BIAS)),
    "llama scope, by release": (
        "topk",
        50,
        of_release(
            lambda hub: fakes.llama_scope(hub / LLAMA_SCOPE_FOLDER),
            "llama_scope_lxr_8x",
            "l0r_8x",
            0,
        ),
    ),
    "llama scope r1": ("threshold", None, r1()),
    "llama scope r1, norms": ("threshold", None, r1(sparsity_include_decoder_norm=True)),
    "batchtopk": (
        "threshold",
        4,
        of_release(
            fakes.batch_top_k,
            "llama-3.1-8b-instruct-andyrdt",
            "resid_post_layer_{layer}_trainer_1",
            3,
            scales={3: SCALE},
        ),
    ),
    "goodfire": (
        "relu",
        91,
        of_release(
            fakes.goodfire,
            "goodfire-llama-3.1-8b-instruct",
            "layer_{layer}",
            19,
            scales={19: SCALE},
        ),
    ),
    "qwen scope": (
        "topk_before_norms",
        50,
        of_release(
            fakes.qwen_scope,
            "qwen-scope-3-8b-base-w64k-l50",
            "layer{layer}",
            2,
            scales={2: SCALE},
        ),
    ),
    "gemma scope 1": (
        "threshold",
        91,
        of_release(
            fakes.gemma_scope_1,
            "gemma-scope-9b-it-res-canonical",
            "layer_{layer}/width_16k/canonical",
            20,
            scales={20: SCALE},
        ),
    ),
    "gemma scope 2": (
        "threshold",
        60,
        of_release(
            fakes.gemma_scope_2,
            "gemma-scope-2-4b-it-res",
            "layer_{layer}_width_16k_l0_medium",
            17,
            scales={17: SCALE},
        ),
    ),
    "sparsify": ("topk", 4, sparsify("layers.24", 24)),
    "sparsify, free rows": ("topk_before_norms", 4, sparsify("layer_18", 18, unit=False)),
    "sparsify, lmms-lab": ("topk", 4, sparsify("model.layers.24", 24, num_latents=F)),
}


def dense(sae: Sae, x: torch.Tensor) -> torch.Tensor:
    """Lengths of contributions in raw units."""
    codes = encode(sae, x)
    of_features = torch.zeros(len(x), F).scatter_add(1, codes.indices, codes.values)
    return of_features / sae.scale


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_are_those_of_the_releases_own_formula_in_float64(layout, hub, model):
    gate, l0, case = LAYOUTS[layout]
    config, formula = case(hub)
    x = torch.randn(80, D)

    sae = BaseSaes(config, model, "cpu")[config.layers[0]]

    expected = formula(x.double())
    torch.testing.assert_close(dense(sae, x).double(), expected.lengths, rtol=1e-4, atol=1e-4)
    rebuilt = decode(sae, encode(sae, x)).double()
    torch.testing.assert_close(rebuilt, expected.residual, rtol=1e-4, atol=1e-4)
    assert 0.01 < (expected.activations > 0).double().mean() < 0.7
    assert kind(sae.gate) == gate
    assert stated_by_release(config, config.layers[0], F).l0 == l0


def test_the_page_of_models_says_these_gates_of_all_releases_read_the_same_way(hub):
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    directory = get_pretrained_saes_directory()
    readers = {name: entry.conversion_func for name, entry in directory.items()}
    configs = [(gate, case(hub)[0]) for gate, _, case in LAYOUTS.values()]
    found = {readers[c.path]: gate for gate, c in configs if c.source == "sae_lens_release"}

    said = {row["release"]: row["gate"] for row in releases()}

    assert said == {release: found[readers[release]] for release in said}


def test_layers_with_different_gates_are_refused(hub, model):
    fakes.sparsify(hub / "layers.1")
    fakes.sparsify(hub / "layers.2", k=5)
    config = SaeConfig(
        source="sparsify_folder",
        path=str(hub / "layers.{layer}"),
        release="r",
        layers=(1, 2),
        scales={1: SCALE, 2: SCALE},
    )

    with pytest.raises(ValueError, match=r"different gates \(layer 1: topk 4; layer 2"):
        _ = BaseSaes(config, model, "cpu").facts
