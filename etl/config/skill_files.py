"""Skills as YAML files: those that ship (`skills/*.yaml`) and a user's own.

A file is a mapping of the fields of `feature_atlas.features.skill.Skill`; `skills/spatial.yaml` is
one to copy. A run keeps the definitions themselves, not the files' names, and they are part of its
hash.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from feature_atlas.etl.config.strict_yaml import read_yaml
from feature_atlas.features.skill import Skill

RESERVED = "vsr"
"""The skill that every run has: all VSR statements against all VQA questions."""


def shipped_skills() -> dict[str, Skill]:
    """The skills that come with the package, by name."""
    folder = files("feature_atlas.etl.config") / "skills"
    texts = {
        f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".yaml")
    }
    skills = [_parsed(text, name) for name, text in sorted(texts.items())]
    return {skill.name: skill for skill in skills}


def read_skill(path: Path) -> Skill:
    """The skill that a YAML file defines, or an error that names the file."""
    if not path.is_file():
        raise ValueError(
            f"no skill at {path}: expected the path of a YAML file, or the name of a shipped skill "
            f"({', '.join(shipped_skills())})."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}.") from None
    return _parsed(text, str(path))


def is_path(entry: str) -> bool:
    """Whether an entry of `harvest.skills` is a file rather than a name."""
    return entry.endswith((".yaml", ".yml")) or "/" in entry


def find_skill(entry: str) -> Skill:
    """A skill by name, if it ships, or by its file."""
    if is_path(entry):
        return read_skill(Path(entry))
    shipped = shipped_skills()
    if entry not in shipped:
        raise ValueError(
            f"skill {entry!r} does not ship: expected one of {', '.join(shipped)}, or the path of "
            "a YAML file."
        )
    return shipped[entry]


def skill_from(definition: Mapping[str, Any], where: str) -> Skill:
    """The skill that a mapping defines; ``where`` it stands, for the error."""
    known = [field.name for field in fields(Skill)]
    unknown = sorted(set(definition) - set(known))
    if unknown:
        raise ValueError(
            f"{where} has unknown keys {', '.join(unknown)}; a skill has {', '.join(known)}."
        )
    name = str(definition.get("name", ""))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == RESERVED:
        raise ValueError(
            f"{where} is called {name!r}: expected lower-case letters, digits and _, and not "
            f"{RESERVED!r}, which every run has."
        )
    _require_numbers(definition, where)
    return Skill(**definition)


def definition_of(skill: Skill) -> dict[str, Any]:
    """A skill as JSON has it: `skill.definition`, and a part of the run's configuration."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(skill).items()
    }


def define_skills(
    entries: Iterable[str], definitions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Skill]:
    """The skills that entries of `harvest.skills` name, in their order.

    A name among ``definitions`` is that skill; other entries ship or are files.
    """
    found: dict[str, Skill] = {}
    for entry in map(str, entries):
        known = definitions.get(entry)
        skill = find_skill(entry) if known is None else skill_from(known, f"skill {entry!r}")
        if skill.name in found:
            raise ValueError(f"skill {skill.name!r} comes twice in harvest.skills: name it once.")
        found[skill.name] = skill
    unused = sorted(set(definitions) - set(found))
    if unused:
        raise ValueError(
            f"harvest.definitions has {', '.join(unused)}, which harvest.skills does not name: add "
            "them there, or take them out."
        )
    return found


def _parsed(text: str, where: str) -> Skill:
    try:
        content = read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds {type(content).__name__}, expected a mapping: a skill.")
    return skill_from(content, where)


def _require_numbers(definition: Mapping[str, Any], where: str) -> None:
    for key in ("min_questions", "min_fired"):
        value = definition.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{key} of {where} is {value!r}: expected a whole number from 1.")
