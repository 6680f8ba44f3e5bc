"""Texts as vectors: from an endpoint that may answer anything, and from a small model here."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from embedding_endpoint import EmbeddingEndpoint, embeddings, running_endpoint, vector_of
from transformers import BertConfig, BertModel

from feature_atlas.meaning.embedding import checked_vectors
from feature_atlas.meaning.embedding_local import LocalEmbedder, mean_pooled
from feature_atlas.meaning.embedding_openai import OpenAIEmbedder
from feature_atlas.meaning.search_words import MAX_CHARACTERS, typed_words


@pytest.fixture
def endpoint() -> Iterator[EmbeddingEndpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def embedder(endpoint: EmbeddingEndpoint) -> OpenAIEmbedder:
    return OpenAIEmbedder(endpoint.url, "stub", "no-key")


def test_every_text_gets_its_vector(endpoint: EmbeddingEndpoint, embedder) -> None:
    vectors = embedder.embed(["to the left", "where things are"])

    assert vectors.tolist() == [
        pytest.approx(vector_of("to the left")),
        pytest.approx(vector_of("where things are")),
    ]
    [request] = endpoint.requests
    assert (request["path"], request["model"]) == ("/v1/embeddings", "stub")
    assert request["encoding_format"] == "float"


def test_vectors_may_come_in_any_order(endpoint: EmbeddingEndpoint, embedder) -> None:
    endpoint.replies = [(200, embeddings([[0.0, 2.0], [1.0, 0.0]], numbers=[1, 0]))]

    assert embedder.embed(["first", "second"]).tolist() == [[1, 0], [0, 2]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (embeddings([[1.0, 2.0]]), r"gave 1 vectors for 2 texts"),
        (embeddings([[1.0]] * 3), r"gave 3 vectors for 2 texts"),
        (embeddings([[1.0, 2.0], [1.0]]), r"vectors of 1 and 2 numbers; expected one length"),
        (embeddings([[], []]), r"vectors of 0 numbers"),
        (embeddings([[1.0], [float("nan")]]), r"NaN, infinity or only zeros for text 1 of 2"),
        (embeddings([[1.0], [float("inf")]]), r"NaN, infinity or only zeros for text 1 of 2"),
        (embeddings([[0.0], [1.0]]), r"NaN, infinity or only zeros for text 0 of 2"),
        (embeddings([["a"], ["b"]]), r"not of numbers"),
        (embeddings([[[1.0]], [[1.0, 2.0]]]), r"not of numbers"),
        (embeddings([None, None]), r"vectors of 0 numbers"),
        (embeddings([[1.0], [1.0]], numbers=[0, 0]), r"numbered its vectors 0; expected 0 to 1"),
        (embeddings([[1.0], [1.0]], numbers=[[0], [1]]), r"numbered its vectors \[0\], \[1\]"),
        ('{"data": []}', r"0 vectors for 2 texts|no readable answer"),
        ('{"vectors": [1]}', r"without a list `data`|no readable answer"),
        ("[]", r"without a list `data`|no readable answer"),
        ('{"data": [{"ind', r"no readable answer"),
    ],
)
def test_a_malformed_answer_is_refused(endpoint, embedder, body: str, message: str) -> None:
    endpoint.replies = [(200, body)]

    with pytest.raises((ValueError, RuntimeError), match=message) as refused:
        embedder.embed(["first", "second"])
    assert "embedding model 'stub'" in str(refused.value)


def test_a_busy_endpoint_is_asked_again(endpoint: EmbeddingEndpoint, embedder) -> None:
    endpoint.replies = [(429, "{}"), (503, "{}")]

    assert embedder.embed(["left"]).shape == (1, 3)
    assert len(endpoint.requests) == 3


def test_a_refused_key_says_what_to_check(endpoint: EmbeddingEndpoint, embedder) -> None:
    endpoint.replies = [(401, '{"error": {"message": "bad key"}}')]

    with pytest.raises(RuntimeError, match=r"refused: .*bad key.* Check the key"):
        embedder.embed(["left"])
    assert "no-key" not in repr(embedder)


def test_an_error_in_the_body_of_a_200_is_asked_again(endpoint: EmbeddingEndpoint, embedder):
    endpoint.replies = [(200, '{"error": {"code": 503, "message": "busy"}}')]

    assert embedder.embed(["left"]).shape == (1, 3)
    endpoint.replies = [(200, '{"error": {"code": 401, "message": "bad key"}}')]
    with pytest.raises(RuntimeError, match=r"bad key.* Check the key"):
        embedder.embed(["left"])


def test_a_wrong_address_is_told_of(endpoint: EmbeddingEndpoint) -> None:
    endpoint.replies = [(404, '{"detail": "Not Found"}')]
    bare = endpoint.url.removesuffix("/v1")

    with pytest.raises(RuntimeError, match=r"ATLAS_EMBEDDING_URL: .*try http://127.0.0.1:\d+/v1"):
        OpenAIEmbedder(bare, "stub", "no-key").embed(["left"])
    with pytest.raises(ValueError, match="the address of one call"):
        OpenAIEmbedder(f"{endpoint.url}/embeddings", "stub", "no-key")


def test_an_absent_endpoint_says_so() -> None:
    embedder = OpenAIEmbedder("http://127.0.0.1:9/v1", "stub", "no-key", max_retries=0)

    with pytest.raises(ConnectionError, match="did not answer in 1 attempts"):
        embedder.embed(["left"])


def test_padding_does_not_count_in_the_mean() -> None:
    hidden = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[0.0, 2.0], [7.0, 7.0], [7, 7]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])

    pooled = mean_pooled(hidden, mask)

    # mean (1.5, 2) of length 2.5; (0, 2) of length 2
    torch.testing.assert_close(pooled, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))


class Letters:
    """A tokenizer of letters, with padding."""

    pad_token, eos_token = None, "."

    def __call__(self, texts, *, max_length: int, **_: object) -> dict[str, torch.Tensor]:
        ids = [[ord(letter) % 32 for letter in text][:max_length] for text in texts]
        longest = max(map(len, ids))
        rows = [row + [0] * (longest - len(row)) for row in ids]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
        return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}


def test_a_local_model_gives_a_text_the_same_vector_in_any_company() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40,
    )  # fmt: skip
    embedder = LocalEmbedder(BertModel(config), Letters(), "tiny", "f00")

    alone, [long, beside] = embedder.embed(["left"]), embedder.embed(["x" * 99, "left"])

    np.testing.assert_allclose(alone[0], beside, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm([long, beside], axis=1), 1, atol=1e-5)


def test_an_array_is_checked_like_lists() -> None:
    with pytest.raises(ValueError, match="for text 0 of 1"):
        checked_vectors(np.full((1, 3), np.nan, np.float32), 1, "the model")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("  left \n of ", "left of"),
        ("a\0b", "a b"),
        ("\ud800x", "?x"),
        ("x" * 5000, "x" * MAX_CHARACTERS),
        ("", ""),
    ],
)
def test_typed_words_are_made_sendable(typed: str, words: str) -> None:
    assert typed_words(typed) == words
