"""How to cite an edition, and what one may do with it: CITATION.cff."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from feature_atlas.etl.bridges.exported_run import ExportedRun

LICENCE = "CC-BY-4.0"
MAKERS = ("the makers of this atlas",)


class Credit(NamedTuple):
    """Who made the data, and under which licence they give it."""

    authors: tuple[str, ...] = MAKERS
    licence: str = LICENCE
    """SPDX's name of it."""

    @property
    def licence_url(self) -> str:
        """Where its text is."""
        return f"https://spdx.org/licenses/{self.licence}"


def credit(authors: list[str], licence: str) -> Credit:
    """The credit that somebody asks for; ValueError: no such name can be."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence):
        raise ValueError(
            f"--licence {licence!r}: expected SPDX's short name of a licence, e.g. CC-BY-4.0, "
            "CC0-1.0 or ODbL-1.0 (https://spdx.org/licenses)."
        )
    if any(not author.strip() for author in authors):
        raise ValueError("--author is empty: expected the name of a person or group.")
    return Credit(tuple(authors) or MAKERS, licence)


def title(run: ExportedRun) -> str:
    """What an edition is called."""
    return f"Feature atlas of {run.vlm}, run {run.slug}"


def write_citation(folder: Path, run: ExportedRun, said: Credit) -> None:
    """The file that GitHub, Zenodo and Zotero read."""
    citation = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": title(run),
        "authors": [{"name": author} for author in said.authors],
        "version": run.slug,
        "date-released": run.published_at[:10],
        "license": said.licence,
    }
    text = yaml.safe_dump(citation, sort_keys=False, allow_unicode=True)
    (folder / "CITATION.cff").write_text(text, encoding="utf-8")
