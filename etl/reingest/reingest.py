"""Look into a folder or URL for SAE runs that are new or changed; build and publish them.

    look       list the place, fingerprint what lies there, compare with the ledger
    inspect    a set of SAEs that cannot be read, or does not fit the model, is broken
    build      the base configuration with these SAEs (or ingest a finished run folder)
    drift      what changed against the run before, kept with the new run

Nothing new: nothing is loaded, built or started. One that is broken is written down and left
alone until its content changes; the others go on. A build that fails is tried again next time.
"""

import logging
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.etl.config.run_config import (
    DRIFT,
    DriftConfig,
    RunConfig,
    hashed_config,
    stable_hash,
)
from feature_atlas.etl.reingest.drift import Drift, headline, run_before, write_drift
from feature_atlas.etl.reingest.sae_sources import SaeSource, find_sources
from feature_atlas.etl.reingest.source_files import Place, fetch, forget_older, open_place
from feature_atlas.etl.reingest.source_ledger import (
    Entry,
    note,
    note_seen,
    note_waiting,
    read_ledger,
    reingestion_lock,
)
from feature_atlas.etl.run_folder.artifacts import file_sha256
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import open_atlas

log = logging.getLogger(__name__)

Build = Callable[[RunConfig, Path], str]
"""Builds and publishes a configuration in a home folder; returns the run's slug."""


class Found(NamedTuple):
    """An SAE run or run folder, looked at but not touched."""

    place: Place
    """Where it was found."""
    source: SaeSource
    """What it is made of."""
    folder: Path
    """Where its files are on this machine; of an unfinished one, where they would be."""
    entry: Entry
    """What the ledger will say of it."""
    status: str
    """new, unchanged, still broken, waiting, or failed: it could not even be read."""
    config: RunConfig | None
    """How it is built; None for a finished run folder."""


class Outcome(NamedTuple):
    """What became of one SAE run or run folder."""

    uri: str
    """Where it lies."""
    status: str
    """published, unchanged, waiting, still broken; now tried in vain: broken or failed."""
    detail: str
    """The run's slug, or what is wrong."""
    drift: Drift | None = None
    """How the new run differs from the one before it; None: nothing new, or nothing before."""


class BrokenSource(Exception):
    """What lies there cannot be used, whenever it is tried."""


def build_sae_run(config: RunConfig, home: Path) -> str:
    """The flow of any other build."""
    from feature_atlas.etl.build import build_and_publish  # torch takes seconds to import

    return build_and_publish(config, home, Console())


def look(source: str, config: RunConfig | None, home: Path, engine: Engine) -> list[Found]:
    """Everything that lies at a place; remote files are fetched into the home folder's cache."""
    place, known = open_place(source), read_ledger(engine)
    return [
        _examine(place, found, config, home, known) for found in find_sources(place.names, config)
    ]


def any_new(found: list[Found]) -> bool:
    """Whether there is something to do; reading on costs seconds to minutes."""
    return any(one.status == "new" for one in found)


def reingest(
    source: str,
    config: RunConfig | None,
    home: Path,
    *,
    drift: DriftConfig = DRIFT,
    build: Build = build_sae_run,
) -> list[Outcome]:
    """Publish what is new at a place; one outcome for everything that lies there."""
    engine = open_atlas()
    with reingestion_lock(engine):
        return [
            _take(one, engine, home, drift, build) for one in look(source, config, home, engine)
        ]


def leave(one: Found, engine: Engine) -> Outcome:
    """What is not new is only noted."""
    if one.status in ("waiting", "failed"):
        note_waiting(engine, one.entry)
    else:
        note_seen(engine, one.entry.uri)
    return Outcome(one.entry.uri, one.status, one.entry.error or "")


def print_outcomes(outcomes: list[Outcome], console: Console) -> None:
    """One line for each, and the headline of its drift."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.status}: {outcome.uri} {outcome.detail}".rstrip())
        if outcome.drift is not None:
            lines.append(f"  {headline(outcome.drift)}")
    for line in lines or ["no SAE runs and no run folders there"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def require_all_taken(outcomes: list[Outcome]) -> None:
    """An error that names what was tried in vain; the others are published by now."""
    bad = [outcome for outcome in outcomes if outcome.status in ("broken", "failed")]
    if bad:
        named = "\n".join(f"  {o.status}: {o.uri}: {o.detail}" for o in bad)
        raise RuntimeError(f"{len(bad)} of {len(outcomes)} could not be taken:\n{named}")


def _examine(
    place: Place, source: SaeSource, config: RunConfig | None, home: Path, known: dict[str, Entry]
) -> Found:
    uri, cache = place.uri(source.folder), home / "cache" / "sae"
    if source.lacks:
        waits = Entry(uri, source.kind, stable_hash(source.names), "seen", f"lacks {source.lacks}")
        return Found(place, source, cache, waits, "waiting", None)
    built = None
    try:
        folder = fetch(place, source.folder, source.names, cache)
        if config is not None and source.kind != "run_folder":
            built = _config_of(source, folder, PurePosixPath(uri).name, config)
        entry = Entry(uri, source.kind, _fingerprint(source, folder, built), "seen")
    except OSError as error:  # a line that was cut, a file that we may not read
        lost = Entry(uri, source.kind, stable_hash(source.names), "seen", f"cannot read: {error}")
        return Found(place, source, cache, lost, "failed", None)
    before = known.get(uri)
    if before is None or before.fingerprint != entry.fingerprint:
        return Found(place, source, folder, entry, "new", built)
    status = {"published": "unchanged", "broken": "still broken"}.get(before.state, "new")
    return Found(place, source, folder, before, status, built)


def _config_of(source: SaeSource, folder: Path, name: str, base: RunConfig) -> RunConfig:
    """The base configuration with these SAEs; unchanged if they are its own."""
    plain = str(folder).replace("{", "{{").replace("}", "}}")  # only {layer} is filled in later
    path = str(Path(plain, source.layer_folder))
    if path == str(Path(base.sae.path)):
        return base
    changes = {"source": source.kind, "path": path, "release": name}
    return base.model_copy(update={"sae": base.sae.model_copy(update=changes)})


def _fingerprint(source: SaeSource, folder: Path, config: RunConfig | None) -> str:
    """Contents, never times. The SAEs in a run folder are not loaded: their size must do."""
    content = {}
    for name in source.names:
        below = PurePosixPath(name).relative_to(source.folder)
        file = folder / below
        whole = source.kind != "run_folder" or file.suffix in (".json", ".parquet")
        content[str(below)] = file_sha256(file) if whole else file.stat().st_size
    return stable_hash([source.kind, content, config and hashed_config(config)])


def _take(one: Found, engine: Engine, home: Path, drift: DriftConfig, build: Build) -> Outcome:
    """Publish one that is new; whatever goes wrong is its own affair."""
    if one.status != "new":
        return leave(one, engine)
    uri = one.entry.uri
    note(engine, one.entry._replace(state="building", error=None, run_id=None))
    try:
        run_id, slug = _publish(one, engine, home, build)
        found = _drift(engine, run_id, drift)
    except BrokenSource as broken:
        return _gave_up(one, engine, "broken", broken)
    except Exception as error:  # a full disk, no memory, no model: tried again next time
        log.exception("re-ingestion of %s failed", uri)
        return _gave_up(one, engine, "failed", error)
    note(engine, one.entry._replace(state="published", error=None, run_id=run_id))
    forget_older(one.place, one.source.folder, one.folder, home / "cache" / "sae")
    return Outcome(uri, "published", slug, found)


def _gave_up(one: Found, engine: Engine, status: str, error: Exception) -> Outcome:
    said = f"{type(error).__name__}: {error}" if status == "failed" else str(error)
    log.error("%s is %s: %s", one.entry.uri, status, said)
    state = "broken" if status == "broken" else "seen"
    note(engine, one.entry._replace(state=state, error=said, run_id=None))
    return Outcome(one.entry.uri, status, said)


def _publish(one: Found, engine: Engine, home: Path, build: Build) -> tuple[int, str]:
    if one.config is None:
        try:
            report = ingest(one.folder, engine)
        except (ValueError, FileNotFoundError) as error:
            raise BrokenSource(str(error)) from error
        return report.run_id, report.slug
    _inspect(one.config)
    slug = build(one.config, home)
    with engine.connect() as connection:
        run_id = connection.scalar(text("SELECT atlas.run_id(:slug)"), {"slug": slug})
    if run_id is None:
        raise RuntimeError(f"run {slug} was built but is not published: build it again.")
    return int(run_id), slug


def _inspect(config: RunConfig) -> None:
    from feature_atlas.etl.inputs.base_saes import BaseSaes
    from feature_atlas.etl.inputs.checkpoints import vlm_folder
    from feature_atlas.etl.inputs.skeletons import image_text_skeleton

    skeleton = image_text_skeleton(vlm_folder(config.vlm))
    try:
        _ = BaseSaes(config.sae, skeleton.model, "cpu").facts
    except Exception as error:
        raise BrokenSource(str(error)) from error


def _drift(engine: Engine, run_id: int, config: DriftConfig) -> Drift | None:
    with engine.connect() as connection:
        before = run_before(connection, run_id)
    return None if before is None else write_drift(engine, before, run_id, config)
