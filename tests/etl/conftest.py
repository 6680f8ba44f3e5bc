"""One small run of the shipped tiny world through the whole flow, shared by the session."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from databases import create_database
from sqlalchemy import Engine
from stage_runs.some_layers import of_layers

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.models.session import make_engine
from feature_atlas.toy.world import write_world

LAYERS = (1, 2, 4)


class TinyRun(NamedTuple):
    """A published run of the tiny world."""

    config: RunConfig
    folder: Path
    home: Path
    url: str
    engine: Engine


def small(config: RunConfig) -> RunConfig:
    """The demo's configuration with less of everything."""
    return of_layers(config, LAYERS).model_copy(
        update={
            "name": "test-run",
            "adapt": config.adapt.model_copy(
                update={
                    "regimes": (*config.adapt.regimes, "frozen_random"),
                    "n_tokens": 12_288,
                    "n_evaluations": 3,
                    "n_held_out": 500,
                    "seeds": (0, 1),
                }
            ),
            "latent_scaling": config.latent_scaling.model_copy(update={"n_questions": 16}),
            "neutral": config.neutral.model_copy(update={"n_samples": 3, "n_reply_tokens": 12}),
            "selection": config.selection.model_copy(update={"min_odds_ratio": 1.5}),
            "head_attribution": config.head_attribution.model_copy(
                update={"max_features": 4, "n_samples": 4, "n_mean_images": 60}
            ),
            "exact_patch": config.exact_patch.model_copy(
                update={"n_top": 3, "n_random": 3, "n_samples": 4, "n_full_features": 2}
            ),
            "head_knockout": config.head_knockout.model_copy(
                update={"max_features": 2, "n_controls": 1}
            ),
            "auto_interp": config.auto_interp.model_copy(
                update={"max_features": 6, "variants": ("RAW", "OUTPUT")}
            ),
            "intruder": config.intruder.model_copy(update={"n_trials": 5, "max_features": 6}),
            "output_score": config.output_score.model_copy(
                update={"n_pictures": 3, "max_features": 4, "n_controls": 2}
            ),
            "ablation": config.ablation.model_copy(
                update={
                    "max_features": 2,
                    "n_screened": 2,
                    "n_screen": 16,
                    "n_controls": 2,
                    "n_random_controls": 1,
                    "n_direction_controls": 1,
                    "n_other": 30,
                    "n_vqa": 40,
                    "n_compared": 1,
                    "n_bootstrap": 200,
                }
            ),
            "group_ablation": config.group_ablation.model_copy(
                update={"n_statements": 24, "n_vqa": 24, "max_features": 4}
            ),
            "steering": config.steering.model_copy(update={"max_features": 2, "n_statements": 24}),
        }
    )


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred questions in the official formats."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, seed=5, n_train_images=120, n_val_images=120, n_vsr_images=240)
    return folder


@pytest.fixture(scope="session")
def tiny_run(
    small_world: Path, atlas_home: Path, postgres_url: str, template_database: str
) -> Iterator[TinyRun]:
    """Built by the Prefect flow and published into a database of its own."""
    configure_libraries(atlas_home)
    from feature_atlas.etl.pipeline import build_atlas

    url = create_database(postgres_url, "tiny_run", template_database)
    config = small(demo_config(small_world))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_DATABASE_URL", url)
        report = build_atlas(config, atlas_home)
    engine = make_engine(url)
    yield TinyRun(config, atlas_home / "runs" / report.slug, atlas_home, url, engine)
    engine.dispose()
