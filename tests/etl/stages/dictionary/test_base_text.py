"""Plain text becomes residuals of the base model: one BOS each, parts disjoint, errors by line."""

import json
from itertools import islice
from types import SimpleNamespace

import pytest
import torch

from feature_atlas.etl.config.inputs import BaseModelConfig
from feature_atlas.etl.inputs.checkpoints import BaseModel
from feature_atlas.etl.stages.dictionary.base_text import (
    Document,
    TextFile,
    base_text_batches,
    base_text_tokens,
    encode_documents,
    part_of,
    text_epoch,
)
from feature_atlas.toy.networks import new_language_model
from feature_atlas.toy.tokenizer import build_tokenizer
from feature_atlas.vlm.residual_stream import freeze
from feature_atlas.vlm.token_roles import Role

WORDS = ("red", "blue", "green", "circle", "square", "above", "below", "the", "is")


def some_texts(n=60):
    return [
        " ".join(WORDS[i] for i in torch.randint(len(WORDS), (2 + number % 7,)).tolist())
        for number in range(n)
    ]


@pytest.fixture(scope="module")
def base_model():
    return BaseModel(freeze(new_language_model()), build_tokenizer())


@pytest.fixture
def study(tmp_path, base_model):
    """As much of a study as text needs."""
    file = tmp_path / "text.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in some_texts()))
    base = BaseModelConfig(path="p", text=file, context_size=6)
    config = SimpleNamespace(base_model=base, device="cpu", order_seeds=(3,))
    return SimpleNamespace(config=config, base_model=base_model, batch_size=8)


def documents_of(batch):
    """Token ids of each document without padding."""
    rows = zip(batch.input_ids, batch.attention_mask, strict=True)
    return [ids[mask == 1].tolist() for ids, mask in rows]


def texts(file, part, **kwargs):
    return [document.text for document in file.documents(part, **kwargs)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_text_file_is_a_document_a_line_in_either_format(tmp_path, ending):
    lines = [*some_texts(), "", 'a "quoted" é']
    plain, objects = tmp_path / "a.txt", tmp_path / "b.jsonl"
    plain.write_bytes(ending.join(lines).encode())
    objects.write_bytes(ending.join(json.dumps({"text": text}) for text in lines).encode())

    for part in ("train", "held_out"):
        expected = [text for text in lines if text and part_of(text) == part]
        assert texts(TextFile(plain), part) == texts(TextFile(objects), part) == expected


def test_no_document_is_in_both_parts_wherever_and_however_often_it_stands(tmp_path):
    lines = some_texts()
    file, again = tmp_path / "a.txt", tmp_path / "b.txt"
    file.write_text("\n".join(lines))
    again.write_text("\n".join(reversed(lines + lines)))

    train, held_out = (set(texts(TextFile(file), part)) for part in ("train", "held_out"))

    assert not train & held_out
    assert train | held_out == set(lines)
    assert set(texts(TextFile(again), "train")) == train


def test_a_tenth_is_held_out():
    n_held_out = sum(part_of(f"document {i}") == "held_out" for i in range(5000))

    assert 400 < n_held_out < 600


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{not json", r"text\.jsonl, line 3: no JSON"),
        (b'["text"]', r'line 3: expected an object with a "text"'),
        (b'{"txt": "a"}', r'line 3: expected an object with a "text".*it is \{"txt": "a"\}'),
        (b'{"text": 7}', r'line 3: expected an object with a "text"'),
        (b'{"text": "\xff"}', r"line 3: no UTF-8 text"),
        (b'{"text": "a \\ud83d b"}', r"line 3: the text holds half a character, '\\ud83d'"),
    ],
)
def test_a_line_that_is_no_document_is_named(line, said, tmp_path):
    file = tmp_path / "text.jsonl"
    file.write_bytes(b'{"text": "a"}\n{"text": "b"}\n' + line + b"\n")

    with pytest.raises(ValueError, match=said):
        TextFile(file)


def test_a_file_that_is_missing_of_another_kind_or_too_short_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set base_model\.text"):
        TextFile(tmp_path / "none.txt")
    (tmp_path / "text.csv").write_text("a\n")
    with pytest.raises(ValueError, match=r"neither \.txt .* nor \.jsonl"):
        TextFile(tmp_path / "text.csv")
    (tmp_path / "text.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"no document for the part .*some hundred documents"):
        TextFile(tmp_path / "text.txt")


def test_a_document_has_one_bos_and_its_own_tokens_cut_at_the_context(base_model, tmp_path):
    documents = [Document(1, "red circle"), Document(2, "the red circle is above the square")]

    batch = encode_documents(base_model.tokenizer, documents, tmp_path, context_size=6)

    decoded = [base_model.tokenizer.decode(ids) for ids in documents_of(batch)]
    assert decoded == ["<bos> red circle", "<bos> the red circle is above"]
    assert batch.roles.tolist() == [
        [Role.BOS, Role.QUESTION, Role.QUESTION, Role.PAD, Role.PAD, Role.PAD],
        [Role.BOS, *[Role.QUESTION] * 5],
    ]


def test_a_document_that_brings_a_bos_is_named(base_model, tmp_path):
    documents = [Document(1, "red"), Document(9, "<bos> red circle")]

    with pytest.raises(ValueError, match=r"line 9: the text holds the BOS token '<bos>'"):
        encode_documents(base_model.tokenizer, documents, tmp_path, context_size=6)


def test_without_bos_a_documents_first_token_has_its_role(tmp_path):
    bare = build_tokenizer()
    bare.bos_token = None
    documents = [Document(1, "red circle"), Document(2, "the red circle")]

    batch = encode_documents(bare, documents, tmp_path, context_size=6)

    assert [bare.decode(ids) for ids in documents_of(batch)] == ["red circle", "the red circle"]
    assert batch.roles.tolist() == [
        [Role.BOS, Role.QUESTION, Role.PAD],
        [Role.BOS, Role.QUESTION, Role.QUESTION],
    ]


def test_residuals_are_those_of_each_document_alone(study):
    for tokens in islice(base_text_tokens(study, [1, 4], part="held_out"), 1):
        batch = next(base_text_batches(study, "held_out"))
        for row, mask in enumerate(batch.attention_mask):
            ids = batch.input_ids[row][mask == 1][None]
            states = study.base_model.model(ids, output_hidden_states=True).hidden_states
            for layer in (1, 4):
                torch.testing.assert_close(
                    tokens.residuals[layer][tokens.prompt == row],
                    states[layer + 1][0],
                    atol=1e-5,
                    rtol=1e-4,
                )


def test_an_epoch_is_all_training_text_once_and_shuffled_anew(study):
    file = TextFile(study.config.base_model.text)
    first, second = (text_epoch(study, epoch) for epoch in (0, 1))

    def rows(part, order=None):
        batches = base_text_batches(study, part, order)
        return [tuple(ids) for batch in batches for ids in documents_of(batch)]

    held_out, in_order = rows("held_out"), rows("train")

    assert len(held_out) == len(file.places["held_out"])
    assert len(in_order) == len(file.places["train"])
    assert rows("train", first) == [in_order[number] for number in first]
    assert first.tolist() != second.tolist()
    assert sorted(first) == sorted(second) == list(range(len(in_order)))
    assert text_epoch(study, 1).tolist() == second.tolist()


def test_a_run_without_base_model_says_what_to_configure():
    study = SimpleNamespace(config=SimpleNamespace(base_model=None))

    with pytest.raises(ValueError, match="has no base_model"):
        next(base_text_tokens(study, [0], part="train"))
