"""Content hashes of what a run reads: the models, the dictionaries, the questions, the text."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from feature_atlas.etl.config.run_config import RunConfig, stable_hash
from feature_atlas.etl.inputs.checkpoints import base_model_folder, instruct_folder
from feature_atlas.etl.inputs.saes import sae_folder
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.inputs.vqav2 import pairs_file, vqav2_files
from feature_atlas.etl.run_folder.artifacts import file_sha256, folder_fingerprint

FOR_PEOPLE = {
    *(".md", ".rst", ".pdf", ".html"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4"),
}
LEGAL = ("license", "licence", "notice")


def fingerprint_base(config: RunConfig) -> dict[str, str]:
    """Of the base model and its text; nothing without them."""
    base = config.base_model
    if base is None:
        return {}
    if not base.text.is_file():
        raise FileNotFoundError(
            f"no text at {base.text}: set base_model.text to a .txt or .jsonl file."
        )
    return {
        "base_model": fingerprint_folder(base_model_folder(base)),
        "base_text": file_sha256(base.text),
    }


def fingerprint_instruct(config: RunConfig) -> dict[str, str]:
    """Of the model of the regime instruct; nothing without it."""
    if config.instruct is None:
        return {}
    return {"instruct": fingerprint_folder(instruct_folder(config.instruct))}


def fingerprint_instances(config: RunConfig) -> dict[str, str]:
    """Of what is known of the pictures; nothing without it."""
    files = config.data.instances
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"no {missing[0]}: data.instances names COCO's instances_*.json; correct it."
        )
    return {"instances": stable_hash([file_sha256(file) for file in files])} if files else {}


def fingerprint_pairs(config: RunConfig) -> dict[str, str]:
    """Of what chooses pictures with the opposite answer, where they are asked for.

    That is all of val, not only the questions drawn, and its official pairs.
    """
    if "opposite" not in config.head_attribution.corruption:
        return {}
    folder = config.data.vqa_folder
    files = [*vqav2_files(folder, "val"), pairs_file(folder, "val")]
    return {"pairs": stable_hash([file_sha256(file) for file in files if file.is_file()])}


def fingerprint_folder(folder: Path) -> str:
    """Of a model or SAE: every file that may be read; not what only people read."""
    files = [file for file in folder.rglob("*") if file.is_file() and _is_read(file, folder)]
    if not files:
        raise FileNotFoundError(f"{folder} holds no weights and no settings: not a checkpoint.")
    return folder_fingerprint(files, folder)


def _is_read(file: Path, folder: Path) -> bool:
    """Anything but papers, pictures, licences and what lies hidden: a loader decides by names."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    is_for_people = file.suffix.lower() in FOR_PEOPLE or file.name.lower().startswith(LEGAL)
    return not is_hidden and not is_for_people


def fingerprint_saes(config: RunConfig) -> str:
    """Of the dictionaries of all layers; of a release only its name."""
    if config.sae.source == "sae_lens_release":
        return stable_hash([config.sae.path, config.sae.sae_id, config.sae.layers])
    folders = [sae_folder(config.sae, layer) for layer in config.sae.layers]
    missing = [str(f) for f in folders if not f.is_dir()]
    if missing:
        raise FileNotFoundError(
            f"no base SAE at {missing[0]}: sae.path is {config.sae.path!r}, expected a folder per "
            "layer with {layer} in the path."
        )
    return stable_hash([fingerprint_folder(folder) for folder in folders])


def fingerprint_samples(samples: Sequence[Sample]) -> str:
    """Questions, answers and the pictures' contents; where they lie does not matter."""
    digest = hashlib.sha256()
    pictures: dict[Path, str] = {}
    for sample in samples:
        if sample.image not in pictures:
            pictures[sample.image] = file_sha256(sample.image)
        digest.update(repr((*sample._replace(image=Path(pictures[sample.image])),)).encode())
    return digest.hexdigest()
