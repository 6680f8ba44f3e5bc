"""The embedding model that the environment names (`embedding_choice`), ready to use."""

import json
from pathlib import Path

from feature_atlas.etl.run_folder.artifacts import folder_fingerprint
from feature_atlas.meaning.embedding import Embedder
from feature_atlas.models.meaning.embedding_choice import EmbeddingChoice, embedding_choice

NONE_CHOSEN = (
    "no embedding model is chosen: set ATLAS_EMBEDDING_MODEL and ATLAS_EMBEDDING_URL for an "
    "OpenAI-compatible endpoint, or ATLAS_EMBEDDING_MODEL to a local model's folder"
)


def chosen_embedder() -> Embedder | None:
    """The model at its endpoint or from its folder; None: search has full text alone."""
    choice = embedding_choice()
    if choice is None:
        return None
    if choice.url is not None:
        from feature_atlas.meaning.embedding_openai import OpenAIEmbedder

        return OpenAIEmbedder(choice.url, choice.model, choice.api_key)
    return _from_folder(choice)


def _from_folder(choice: EmbeddingChoice) -> Embedder:
    """A transformers or sentence-transformers folder; nothing is downloaded."""
    folder = Path(choice.model).absolute()
    _require_mean_pooling(folder)
    from transformers import AutoModel, AutoTokenizer

    from feature_atlas.meaning.embedding_local import LocalEmbedder

    try:
        encoder = AutoModel.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"ATLAS_EMBEDDING_MODEL is {folder}, which transformers cannot load: {reason} Expected "
            "a folder with config.json, weights and a tokenizer."
        ) from error
    files = [file for file in folder.rglob("*") if file.is_file()]
    revision = folder_fingerprint(files, folder)
    return LocalEmbedder(encoder, tokenizer, folder.name, revision)


def _require_mean_pooling(folder: Path) -> None:
    """Refuse a sentence-transformers model that wants its tokens combined otherwise."""
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return
    told = json.loads(file.read_text(encoding="utf-8"))
    modes = [name for name, is_used in told.items() if name.startswith("pooling_mode") and is_used]
    if modes not in (["pooling_mode_mean_tokens"], ["pooling_mode"]) or (
        modes == ["pooling_mode"] and told["pooling_mode"] != "mean"
    ):
        raise ValueError(
            f"{file} asks for {', '.join(modes) or 'no pooling'}; only the mean over tokens is "
            "known here. Take another model, or serve this one behind an endpoint."
        )
