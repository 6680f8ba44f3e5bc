"""A place where SAE runs appear, and a re-ingestion that builds in no time."""

import shutil
from pathlib import Path

from run_folder import write_run_folder
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.reingest.reingest import Outcome, reingest
from feature_atlas.etl.reingest.source_ledger import read_ledger
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.toy.weights import sae_path


class Workshop:
    """A place with SAE runs, an empty atlas, and a builder that takes no time."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.source, self.home, self.engine = folder / "saes", folder / "home", engine
        self.source.mkdir()
        base = demo_config(folder / "world")
        self.config = base.model_copy(
            update={"sae": base.sae.model_copy(update={"layers": (0, 1)})}
        )
        self.built: list[RunConfig] = []

    def build(self, config: RunConfig, home: Path) -> str:
        """A made-up run in place of hours of work; every time another one."""
        self.built.append(config)
        folder = write_run_folder(home / "runs", seed=len(self.built), name="tiny-world")
        return ingest(folder, self.engine).slug

    def look(self, source: str | None = None) -> list[Outcome]:
        return reingest(source or str(self.source), self.config, self.home, build=self.build)

    def add_saes(self, name: str, shift: float = 0.0) -> Path:
        """Two layers of the tiny world's SAEs; another shift is another set."""
        for layer in (0, 1):
            folder = self.source / name / f"layer_{layer}"
            shutil.copytree(sae_path(layer), folder)
            change(folder, "b_dec", lambda weight: weight + shift)
        return self.source / name

    def ledger(self) -> dict[str, str]:
        return {Path(uri).name: entry.state for uri, entry in read_ledger(self.engine).items()}


def change(folder: Path, name: str, how) -> None:
    file = folder / "sae_weights.safetensors"
    weights = load_file(file)
    save_file({**weights, name: how(weights[name]).contiguous()}, file)


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {Path(outcome.uri).name: outcome.status for outcome in outcomes}
