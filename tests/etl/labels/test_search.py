"""The commands `embed` and `search`."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from embedded_labels import LABELS, stored
from embedding_endpoint import EmbeddingEndpoint, embeddings
from sqlalchemy import Engine, text
from transformers import BertConfig, BertModel, BertTokenizerFast
from typer.testing import CliRunner, Result

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.stages.meaning.embedding_model import chosen_embedder


def run(*command: str) -> Result:
    return CliRunner().invoke(app, command)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A tiny random BERT with its tokenizer, as transformers saves them."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = special + sorted({word for label in LABELS for word in label.split()})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(tmp_path)
    return tmp_path


def test_a_local_folder_finds_a_description_by_its_own_words(
    atlas: Engine, pgvector: None, model_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", str(model_folder))
    embedder = chosen_embedder()
    assert embedder is not None
    assert (embedder.model, len(embedder.revision)) == (model_folder.name, 64)

    assert "2 of 2 descriptions embedded" in run("embed").stdout
    rows = json.loads(run("search", "asks where things are", "--format", "json").stdout)

    by_meaning = [row for row in rows if "meaning" in row["matched"]]
    assert len(by_meaning) == 8
    assert by_meaning[0]["snippet"].replace("«", "").replace("»", "") == LABELS[1]


def test_search_without_a_model_finds_words_and_says_so(atlas: Engine):
    done = run("search", "above", "--limit", "2", "--format", "json")

    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [(row["layer"], row["feature"]) for row in rows] == [(0, 2), (1, 2)]
    assert rows[0]["matched"] == ["question"]
    assert rows[0]["snippet"] == "Is the circle «above» the square?"
    assert rows[0]["score"] == pytest.approx(1 / 61)
    assert "full text only" in done.stderr
    assert "ATLAS_EMBEDDING_MODEL" in done.stderr


def test_rows_are_printed_as_csv_and_table(atlas: Engine):
    as_csv = list(csv.DictReader(io.StringIO(run("search", "left of", "--format", "csv").stdout)))
    as_table = run("search", "left of").stdout

    assert len(as_csv) == 12
    assert as_csv[0]["label"] == "asks for left of"
    assert as_csv[0]["matched"] == "description question token"
    assert "asks for «left» «of»" in as_table
    assert "0.80" in as_table


def test_texts_are_printed_as_they_are(atlas: Engine):
    with atlas.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
                " VALUES (1, 1, 7, 'edit', '[red]mallet[/red] [/oops]', 'Ada')"
            )
        )

    assert "[red]mallet[/red] [/oops]" in run("search", "mallet").stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("search", "  "), "nothing to search for"),
        (("search", "left", "--run", "no-such"), "no run 'no-such'. There are: synthetic-"),
        (("embed",), "no embedding model is chosen"),
    ],
)
def test_a_mistake_says_what_to_do(atlas: Engine, command: tuple[str, ...], message: str):
    done = run(*command)

    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())


def test_nothing_found_is_said(atlas: Engine):
    done = run("search", "zebra")

    assert done.exit_code == 0
    assert "nothing found" in done.stderr


def test_embedded_descriptions_are_found_by_meaning(
    atlas: Engine, pgvector: None, endpoint: EmbeddingEndpoint
):
    before = run("search", "objects", "--format", "json")
    assert json.loads(before.stdout) == []
    assert "no pgvector" in " ".join(before.stderr.split())

    done = run("embed")
    assert done.exit_code == 0, done.stderr
    assert "2 of 2 descriptions embedded by stub" in done.stdout

    after = run("search", "objects", "--format", "json")
    rows = json.loads(after.stdout)
    assert len(rows) == 8  # no word in common
    assert {row["snippet"] for row in rows} == {"asks where things are"}
    assert rows[0]["matched"] == ["meaning"]
    assert rows[0]["score"] == pytest.approx(1 / 61)
    assert after.stderr == ""


def test_words_and_meaning_add_up(atlas: Engine, pgvector: None, endpoint: EmbeddingEndpoint):
    run("embed")

    rows = json.loads(run("search", "left of", "--format", "json").stdout)

    best = rows[0]
    assert (best["layer"], best["feature"]) == (0, 0)
    assert best["matched"] == ["description", "meaning", "question", "token"]
    assert best["score"] == pytest.approx(4 / 61)


def test_without_pgvector_vectors_are_kept_and_search_stays_with_words(
    atlas: Engine, endpoint: EmbeddingEndpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feature_atlas.etl.labels.embedding.enable_vector", lambda engine: False)

    done = run("embed")
    found = run("search", "left of", "--format", "json")

    assert done.exit_code == 0
    assert "ask its administrator for `CREATE EXTENSION vector`" in " ".join(done.stdout.split())
    assert len(stored(atlas)) == 2
    assert len(json.loads(found.stdout)) == 12
    assert "this database has no pgvector" in " ".join(found.stderr.split())


def test_new_descriptions_are_missed_until_they_are_embedded(
    atlas: Engine, pgvector: None, endpoint: EmbeddingEndpoint
):
    run("embed")
    with atlas.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
                " VALUES (1, 0, 1, 'edit', 'to port', 'Ada')"
            )
        )

    said = " ".join(run("search", "left of").stderr.split())
    assert "1 of 15 descriptions have no vector of the model stub: `feature-atlas embed`" in said


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, embeddings([[float("nan")]]), "NaN, infinity or only zeros"),
        (200, embeddings([[1.0], [1.0]]), "gave 2 vectors for 1 texts"),
        (404, '{"error": {"message": "no such model"}}', "no such model"),
    ],
)
def test_an_endpoint_that_fails_costs_only_the_meaning(
    atlas: Engine, endpoint: EmbeddingEndpoint, status: int, body: str, message: str
):
    endpoint.replies = [(status, body)]

    done = run("search", "above", "--limit", "1", "--format", "json")

    assert done.exit_code == 0
    assert len(json.loads(done.stdout)) == 1
    assert message in " ".join(done.stderr.split())


def test_a_malformed_answer_stores_nothing(atlas: Engine, endpoint: EmbeddingEndpoint):
    endpoint.replies = [(200, embeddings([[1.0, 2.0], [1.0]]))]

    done = run("embed")

    assert done.exit_code == 1
    assert "vectors of 1 and 2 numbers" in " ".join(done.stderr.split())
    assert stored(atlas) == {}
