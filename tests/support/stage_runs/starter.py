"""Starts processes that are to be killed: a server imports once, then each starts in an instant."""

import multiprocessing

STARTER = multiprocessing.get_context("forkserver")
STARTER.set_forkserver_preload(
    [
        "feature_atlas.etl.run_folder.artifacts",
        "feature_atlas.etl.warehouse.addition",
        "feature_atlas.etl.warehouse.load",
    ]
)
