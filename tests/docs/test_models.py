"""docs/models.md and the shipped configurations, against transformers and SAELens' directory."""

import re
from functools import lru_cache
from typing import Any

import pytest
import transformers
from families import FAMILIES, QUESTIONS, family
from models_page import CONFIGS, ROOT, families, other_pairs, pairs, releases
from PIL import Image
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.inputs.sae_release import find_released
from feature_atlas.etl.opening.machine import Machine
from feature_atlas.etl.opening.memory import require_memory
from feature_atlas.etl.opening.memory_plan import memory_plan
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.vlm.chat_template import require_assistant_header
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.token_roles import encode_prompts

PAIRS = {pair["configuration"].split(",")[0]: pair for pair in pairs()}
IN_FULL = {f"configs/{file.name}": file for file in CONFIGS}
every_configuration = pytest.mark.parametrize("name", IN_FULL)

# weights of text and tower in units of 1e9, layers, heads, width, features, tokens of a picture
PUBLISHED = {
    "configs/llava_more.yaml": (8.03, 0.32, 32, 32, 4096, 32_768, 576),
    "configs/llava_more_r1.yaml": (8.03, 0.32, 32, 32, 4096, 32_768, 576),
    "configs/llava_more_instruct.yaml": (8.03, 0.32, 32, 32, 4096, 131_072, 576),
    "configs/llava_more_gemma2.yaml": (9.24, 0.32, 42, 16, 3584, 16_384, 576),
    "configs/gemma3.yaml": (3.88, 0.42, 34, 8, 2560, 16_384, 256),
    "configs/paligemma2.yaml": (2.61, 0.41, 26, 8, 2304, 16_384, 256),
    "configs/qwen3_vl.yaml": (8.19, 0.58, 36, 32, 4096, 65_536, 300),
    "configs/idefics3.yaml": (8.03, 0.43, 32, 32, 4096, 32_768, 2197),
}


@lru_cache(maxsize=1)
def directory() -> dict[str, Any]:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()


def same_model(one: str, other: str) -> bool:
    """SAELens names some models without their owner."""
    return one.split("/")[-1] == other.split("/")[-1]


def test_every_configuration_is_a_pair_of_the_page():
    assert PAIRS.keys() == IN_FULL.keys() == PUBLISHED.keys()


@every_configuration
def test_a_configuration_names_dictionaries_that_there_are(name):
    config, pair = load_config(IN_FULL[name]), PAIRS[name]

    entries = [find_released(config.sae, layer) for layer in config.sae.layers]

    depth = PUBLISHED[name][2]
    assert pair["release"] == config.sae.path
    assert pair["layers"] == f"{len(entries)} of {depth}"
    assert max(config.sae.layers) < depth
    assert len({entry.folder for entry in entries}) == len(entries)
    is_stated = [entry.is_llama_scope or entry.scale is not None for entry in entries]
    without = [i for i, known in zip(config.sae.layers, is_stated, strict=True) if not known]
    assert sorted(config.sae.scales or {}) == without
    assert (config.sae.k is not None) == entries[0].is_llama_scope


@every_configuration
def test_a_configuration_is_checked_on_the_model_that_its_dictionaries_were_trained_on(name):
    config, pair = load_config(IN_FULL[name]), PAIRS[name]

    assert config.base_model is not None
    assert config.base_model.path == pair["trained on"]
    assert config.vlm.base.split()[0] == pair["trained on"].split("/")[-1]
    assert (pair["VLM"] == pair["trained on"]) == (pair["which is"] == "the VLM itself")


@every_configuration
def test_a_configuration_fits_the_card_that_it_names(name):
    config, said = load_config(IN_FULL[name]), IN_FULL[name].read_text()
    text, vision, depth, n_heads, width, n_features, n_image = PUBLISHED[name]
    sizes = Sizes(
        text_parameters=int(text * 1e9),
        vision_parameters=int(vision * 1e9),
        depth=depth,
        n_heads=n_heads,
        n_layers=len(config.sae.layers),
        d_model=width,
        d_sae=n_features,
        vocabulary=128_256,
        image_tokens=n_image,
        text_tokens=25,
        prompt_tokens=n_image + 45,
        n_adapt=50_000,
        n_base=50_000,
        n_train_statements=7000,
        n_test_statements=2000,
        n_pictures=60_000,
    )
    (gigabytes,) = re.findall(r"GPU with (\d+) GB", said)
    card = Machine(10**12, int(gigabytes) * 2**30, 256 * 2**30, 3e14, 4e13, 2e14)

    assert "may not fit" not in require_memory(
        memory_plan(config, sizes, card.device_memory), "cuda", card
    )


def test_pairs_and_releases_of_the_page_are_in_the_directory():
    for pair in [*pairs(), *other_pairs()]:
        assert same_model(directory()[pair["release"]].model, pair["trained on"]), pair
    named = {pair["release"] for pair in [*pairs(), *other_pairs()]}
    assert named <= {row["release"] for row in releases()}


@pytest.mark.parametrize("row", releases(), ids=lambda row: row["release"])
def test_a_release_of_the_page_has_the_layers_and_scales_that_are_said(row):
    entry = directory()[row["release"]]
    is_stated = entry.conversion_func == "llama_scope" or bool(entry.norm_scaling_factor)

    layers = {re.search(r"(?:^l|layer_?)(\d+)", sae_id)[1] for sae_id in entry.saes_map}

    assert len(layers) == int(row["layers"])
    assert row["scale"] == ("stated" if is_stated else "sae.scales")


def test_the_families_of_the_page_are_those_that_are_tried():
    assert [row["family"] for row in families()] == list(FAMILIES)


@pytest.mark.parametrize("row", families(), ids=lambda row: row["family"])
def test_a_family_is_of_the_classes_that_are_said(row):
    model = FAMILIES[row["family"]]().model

    assert type(model).__name__ == row["class"]
    assert type(text_model(model)).__name__ == row["text model"]
    assert row["class"] in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()


def test_classes_that_the_page_names_are_there():
    page = (ROOT / "docs" / "models.md").read_text()
    classes = re.findall(r"`(\w+(?:Generation|ImageTextToText))`", page)

    assert "MllamaForConditionalGeneration" in classes
    assert [name for name in classes if not hasattr(transformers, name)] == []


def test_paligemmas_template_writes_what_its_processor_expects():
    processor = family("paligemma2").processor
    pictures = [Image.new("RGB", (40, 30))] * len(QUESTIONS)
    asked = [f"<image>answer en {question}" for question in QUESTIONS]
    own = processor(
        text=asked, images=pictures, padding=True, padding_side="right", return_tensors="pt"
    )

    processor.chat_template = (ROOT / "configs/paligemma_chat_template.jinja").read_text()
    require_assistant_header(processor)
    batch = encode_prompts(processor, QUESTIONS, pictures)

    assert batch.input_ids.tolist() == own["input_ids"].tolist()
