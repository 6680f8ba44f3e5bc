"""Explanations and scores as Delphi leaves them, a file per latent.

    <folder>/run_config.json                            explainer_model, seed, ...
    <folder>/explanations/<hookpoint>_latent<i>.txt     a JSON string
    <folder>/scores/<scorer>/<hookpoint>_latent<i>.txt  a JSON list, one object per scored example:
        str_tokens, activations, distance, activating, prediction, probability, correct

`activating` is whether the latent fires on the example, `prediction` what the scorer said from the
explanation alone; null where its answer could not be read.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from feature_atlas.etl.run_folder.strict_json import parse_strictly
from feature_atlas.models.storable_text import fault_of

SCORERS = ("detection", "fuzz")
"""Scorers whose examples are said to fire or not; others score something else."""

HOOKPOINT = re.compile(r"(?:.*[./]|\.)?(?:layers|blocks|h)\.(\d+)(?:\.hook_resid_post)?")
"""The output of a decoder layer, as Delphi names modules."""


class Latent(NamedTuple):
    """One feature, as the name of its file says."""

    layer: int
    feature: int


class Verdict(NamedTuple):
    """One scored example."""

    is_firing: bool
    """Whether the latent fires on it."""
    answer: bool | None
    """Whether the scorer said so; None if its answer could not be read."""


class Scored(NamedTuple):
    """A latent's examples under one scorer."""

    latent: Latent
    scorer: str
    verdicts: list[Verdict]
    file: Path


def read_config(folder: Path) -> dict[str, Any]:
    """The settings of Delphi's run."""
    file = folder / "run_config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file}: expected a folder of Delphi's results, with run_config.json, "
            "explanations/ and scores/."
        )
    config = _read_strictly(file)
    if not isinstance(config, dict):
        raise refuse(file, f"holds {type(config).__name__}, expected an object of settings")
    if not isinstance(config.get("explainer_model"), str):
        raise refuse(file, "names no explainer_model")
    return config


def read_explanations(folder: Path) -> dict[Latent, str]:
    """What was said of each latent."""
    found: dict[Latent, str] = {}
    for file in _files(folder / "explanations"):
        latent, text = _latent(file), _read_json(file)
        if not isinstance(text, str) or not text.strip():
            raise refuse(file, f"holds {text!r}, expected a text in quotes")
        if fault := fault_of(text):
            raise refuse(file, f"contains {fault}")
        if latent in found:
            raise refuse(file, f"layer {latent.layer}, feature {latent.feature} comes twice")
        found[latent] = text
    return found


def read_scores(folder: Path) -> Iterator[Scored]:
    """The scored examples of each latent, scorer by scorer."""
    for scorer in SCORERS:
        seen: set[Latent] = set()
        for file in _files(folder / "scores" / scorer):
            latent, examples = _latent(file), _read_json(file)
            if not isinstance(examples, list):
                raise refuse(file, f"holds {type(examples).__name__}, expected a list of examples")
            if latent in seen:
                raise refuse(file, f"layer {latent.layer}, feature {latent.feature} comes twice")
            seen.add(latent)
            verdicts = [_verdict(file, n, example) for n, example in enumerate(examples)]
            yield Scored(latent, scorer, verdicts, file)


def file_name(layer: int, feature: int) -> str:
    """Name of a latent's files."""
    return f"layers.{layer}_latent{feature}.txt"


def refuse(file: Path, what: str) -> ValueError:
    """An error about one file."""
    return ValueError(f"{file}: {what}. Nothing was imported.")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in (".txt", ".json"))


def _latent(file: Path) -> Latent:
    """Layer and feature from a file's name; the SAEs here read the outputs of whole layers."""
    hookpoint, _, number = file.stem.rpartition("_latent")
    layer = HOOKPOINT.fullmatch(hookpoint.replace("--", "/"))
    if layer is None or not re.fullmatch(r"\d{1,9}", number):
        raise refuse(
            file,
            f"its name should be <hookpoint>_latent<number>{file.suffix} with the output of a "
            "layer for a hookpoint, e.g. layers.5_latent12.txt",
        )
    return Latent(int(layer[1]), int(number))


def _verdict(file: Path, number: int, example: Any) -> Verdict:
    if not isinstance(example, dict):
        raise refuse(file, f"example {number} is {type(example).__name__}, expected an object")
    missing = [field for field in ("activating", "prediction") if field not in example]
    if missing:
        raise refuse(file, f"example {number} has no {' and no '.join(missing)}")
    firing, answer = example["activating"], example["prediction"]
    if not isinstance(firing, bool):
        raise refuse(file, f"example {number}: activating is {firing!r}, expected true or false")
    if answer is not None and not (isinstance(answer, int | float) and 0 <= answer <= 1):
        raise refuse(
            file,
            f"example {number}: prediction is {answer!r}, expected true, false, 0 to 1 or null",
        )
    return Verdict(firing, None if answer is None else answer >= 0.5)


def _read_strictly(file: Path) -> Any:
    """All of what it says is kept with the run."""
    try:
        return parse_strictly(file.read_bytes())
    except ValueError as error:
        raise refuse(file, str(error)) from None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        what = f"is not whole JSON ({error}): it is truncated or no file of Delphi's"
        raise refuse(file, what) from None
