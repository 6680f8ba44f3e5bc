"""Features from the shelf are those that the model computes of a whole batch, in every family."""

import copy
import pickle
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as hf
from families import QUESTIONS, SUFFIX, TRIED, Family, family
from PIL import Image

from feature_atlas.etl.inputs.checkpoints import Vlm
from feature_atlas.etl.inputs.feature_store import FeatureStore
from feature_atlas.etl.inputs.picture_shelf import PictureShelf
from feature_atlas.etl.inputs.pictures import Size
from feature_atlas.etl.inputs.prompt_maker import PictureFile, PromptJob, PromptMaker
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.residual_stream import freeze
from feature_atlas.vlm.token_roles import encode_prompts

SIZES = (Size(60, 40), Size(40, 60))
made = lru_cache(maxsize=1)(family)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[PictureFile]:
    folder, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    files = [PictureFile(folder / f"{size.width}.png", size) for size in SIZES]
    for file, size in files:
        shown = noise.integers(0, 255, (size.height, size.width, 3), dtype=np.uint8)
        Image.fromarray(shown).save(file)
    return files


def shelf_of(of: Family, folder: Path, most_bytes: float = 1e9) -> PictureShelf:
    maker = PromptMaker(of.processor, SUFFIX)
    return PictureShelf(Vlm(of.model, of.processor), maker, FeatureStore(folder, most_bytes))


def levels(shelf: PictureShelf, pictures: list[PictureFile]) -> tuple[torch.Tensor, ...]:
    lacking = shelf.lacking(pictures)
    made = shelf.maker.make(PromptJob(("?",) * len(pictures), tuple(pictures), lacking))
    return shelf.features(pictures, made.lacking).levels


def shapes(features: object) -> object:
    if isinstance(features, torch.Tensor):
        return features.shape
    return [shapes(one) for one in features]


@pytest.mark.parametrize("name", TRIED)
@torch.no_grad()
def test_prompts_are_those_of_the_whole_batch(
    name: str, pictures: list[PictureFile], tmp_path: Path
) -> None:
    of = made(name)
    opened = [Image.open(picture.file) for picture in pictures]
    plain = encode_prompts(of.processor, QUESTIONS, opened, suffix=SUFFIX)
    expected = image_features(of.model, plain)
    shelf = shelf_of(of, tmp_path)
    job = PromptJob(tuple(QUESTIONS), tuple(pictures), shelf.lacking(pictures))

    batch, lacking = shelf.maker.make(job)
    found = shelf.features(pictures, lacking)

    assert all(torch.equal(*pair) for pair in zip(batch[:3], plain[:3], strict=True))
    without = {n: t for n, t in plain.processed.items() if not n.startswith("pixel_")}
    assert set(batch.processed) == set(without)
    assert all(torch.equal(batch.processed[n], t) for n, t in without.items())
    for its, own in zip(found.levels, expected.levels, strict=True):
        torch.testing.assert_close(its, own, rtol=1e-5, atol=1e-5)
    assert shapes(found.output.pooler_output) == shapes(expected.output.pooler_output)
    said = with_reply(of.model, batch._replace(features=found), 3)
    assert torch.equal(said.input_ids, with_reply(of.model, plain, 3).input_ids)


@pytest.mark.parametrize("name", TRIED)
def test_a_worker_gets_the_whole_processor(name: str, pictures: list[PictureFile]) -> None:
    maker = PromptMaker(made(name).processor, SUFFIX)
    job = PromptJob(tuple(QUESTIONS), tuple(pictures), with_pixels=True)
    maker.make(job._replace(with_pixels=False))  # remembers something, which stays at home

    found, own = pickle.loads(pickle.dumps(maker)).make(job).batch, maker.make(job).batch

    assert all(torch.equal(*pair) for pair in zip(found[:3], own[:3], strict=True))
    assert all(torch.equal(found.processed[name], t) for name, t in own.processed.items())


@pytest.mark.parametrize("name", ["llava_next", "qwen3_vl"])
def test_what_is_read_is_what_was_computed(
    name: str, pictures: list[PictureFile], tmp_path: Path
) -> None:
    of = made(name)
    first = shelf_of(of, tmp_path)
    computed = levels(first, pictures)
    assert not any(tmp_path.rglob("*.safetensors"))  # nobody asked again
    levels(first, pictures)

    again = shelf_of(of, tmp_path)  # as in another process
    again.example = first.example
    again.model = SimpleNamespace(device=torch.device("cpu"))  # computes nothing
    assert again.lacking(pictures) == ()

    read = levels(again, pictures)

    assert all(torch.equal(*pair) for pair in zip(read, computed, strict=True))


def wide_in_bfloat16() -> Family:
    """With a tower so wide that sums over ten pictures are added up in another order."""
    of = family("llava")
    tower = hf.CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=3, num_attention_heads=16,
        image_size=56, patch_size=14,
    )  # fmt: skip
    config = copy.deepcopy(of.model.config)
    config.vision_config, config.image_seq_length = tower, 16
    pixels = of.processor.image_processor
    pixels.size, pixels.crop_size = {"shortest_edge": 56}, {"height": 56, "width": 56}
    model = hf.LlavaForConditionalGeneration(config).to(torch.bfloat16)
    return Family(freeze(model), of.processor)


@torch.no_grad()
def test_features_do_not_depend_on_what_else_is_in_a_batch(tmp_path: Path) -> None:
    of, files = wide_in_bfloat16(), [PictureFile(tmp_path / f"{i}.png") for i in range(10)]
    for i, picture in enumerate(files):
        noise = np.random.default_rng(i).integers(0, 255, (56, 56, 3), dtype=np.uint8)
        Image.fromarray(noise).save(picture.file)

    (together,) = levels(shelf_of(of, tmp_path / "1"), files)
    alone = [levels(shelf_of(of, tmp_path / "2"), [picture])[0] for picture in files]
    opened = [Image.open(picture.file) for picture in files]
    of_batch = image_features(of.model, encode_prompts(of.processor, ["?"] * 10, opened)).levels[0]

    assert torch.equal(together, torch.cat(alone))
    distance = (together.float() - of_batch.float()).norm(dim=-1) / of_batch.float().norm(dim=-1)
    assert distance.max() < 2**-5  # on most processors not 0


def test_the_disk_holds_no_more_than_it_may(tmp_path: Path) -> None:
    features = (torch.arange(250.0).reshape(25, 10),)  # 1000 bytes, and a header
    store = FeatureStore(tmp_path, most_bytes=2500, memory_bytes=0)
    for key in ("aa", "bb", "cc") * 2:
        if store.find(key) is None:
            store.add(key, features)

    kept = sorted(file.stem for file in tmp_path.rglob("*.safetensors"))

    assert kept == ["aa", "bb"]
    assert store.find("cc") is not None  # the newest, in memory
    assert all(torch.equal(store.find(key)[0], features[0]) for key in kept)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.*")) <= 2500


def test_a_torn_file_is_computed_anew(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, most_bytes=1e6, memory_bytes=0)
    for _ in range(2):
        store.add("aa", (torch.ones(3, 2),))
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:20])

    assert FeatureStore(tmp_path, most_bytes=1e6).find("aa") is None
    assert "aa" not in FeatureStore(tmp_path, most_bytes=1e6)
