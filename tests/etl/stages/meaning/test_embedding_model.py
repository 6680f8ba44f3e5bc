"""Which embedding model the environment names, and what a mistake there says."""

from pathlib import Path

import pytest

from feature_atlas.etl.stages.meaning.embedding_model import chosen_embedder
from feature_atlas.models.meaning.embedding_choice import embedding_choice


@pytest.fixture(autouse=True)
def _nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATLAS_EMBEDDING_MODEL", "ATLAS_EMBEDDING_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_no_model_need_be_chosen():
    assert embedding_choice() is None
    assert chosen_embedder() is None


@pytest.mark.parametrize(
    ("model", "url", "message"),
    [
        ("", "http://127.0.0.1:9/v1", "ATLAS_EMBEDDING_MODEL is not set"),
        ("no-such-folder", "", "'no-such-folder', which is no folder here"),
    ],
)
def test_half_a_choice_says_what_is_missing(monkeypatch, model: str, url: str, message: str):
    monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", model)
    monkeypatch.setenv("ATLAS_EMBEDDING_URL", url)

    with pytest.raises(ValueError, match=message):
        embedding_choice()


def test_a_folder_without_a_model_says_what_was_expected(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')

    with pytest.raises(ValueError, match=r"cannot load: .*no-such-type.* Expected a folder"):
        chosen_embedder()


def test_a_model_that_pools_otherwise_is_refused(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", str(tmp_path))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')

    with pytest.raises(ValueError, match="asks for pooling_mode_cls_token; only the mean"):
        chosen_embedder()
