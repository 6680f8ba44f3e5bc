"""Every file that a loader may read is in a folder's hash; what people read is not."""

import pytest

from feature_atlas.etl.inputs.fingerprint import fingerprint_folder
from feature_atlas.toy.weights import language_model_path, sae_path, vlm_path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "model.safetensors", "ae.pt", "params.npz", "consolidated.00.pth"),
        *("vocab.txt", "merges.txt", "vocab.bpe", "tokenizer.model", "qwen.tiktoken", "spm.vocab"),
        *("tokenizer.json", "generation_config.json", "chat_template.jinja", "modeling_own.py"),
        *("additional_chat_templates/other.jinja", "checkpoints/final.safetensors", "adapter"),
    ],
)
def test_a_file_that_may_be_read_counts_by_name_and_content(name, folder):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    prints = [fingerprint_folder(folder)]
    for content in ("one", "two!"):
        file.write_text(content)
        prints.append(fingerprint_folder(folder))

    assert len(set(prints)) == 3


@pytest.mark.parametrize("name", ["README.md", "LICENSE.txt", "NOTICE", "a.png", ".cache/x.json"])
def test_what_nothing_is_computed_from_does_not_count(name, folder):
    before = fingerprint_folder(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("words")

    assert fingerprint_folder(folder) == before


def test_a_folder_without_such_files_is_no_checkpoint(tmp_path):
    (tmp_path / "README.md").write_text("words")

    with pytest.raises(FileNotFoundError, match="not a checkpoint"):
        fingerprint_folder(tmp_path)


def test_the_tiny_worlds_hashes_are_what_they_were():
    found = [fingerprint_folder(path) for path in (vlm_path(), language_model_path(), sae_path(0))]

    assert [one[:12] for one in found] == ["ea7a98cecb96", "c28c96a47c3f", "3c496a6503da"]
