"""Measurements of before revision 08 get the provenance that it adds."""

import pandas as pd
from sqlalchemy import text

from feature_atlas.models.session import make_engine


def test_old_measurements_get_their_provenance_from_their_run(empty_url: str):
    from feature_atlas.etl.warehouse.migrate import configured, migrate

    engine = make_engine(empty_url)
    with configured(engine) as (connection, config):
        from alembic import command as alembic

        alembic.upgrade(config, "20261122_07_search")
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    migrate(engine)

    found = pd.read_sql("SELECT dirty, inputs, added_at FROM atlas.measurement", engine)
    engine.dispose()
    assert found.to_dict("records") == [
        {"dirty": True, "inputs": {"vlm": "f0", "sae_set": "f1"}, "added_at": None}
    ]


OLD_ROWS = (
    "INSERT INTO atlas.vlm (name, fingerprint, architecture, n_layers, d_model, n_heads,"
    " n_kv_heads, base_name) VALUES ('v', 'f0', 'a', 1, 1, 1, 1, 'b')",
    "INSERT INTO atlas.sae_set (name, release, fingerprint, gate, k, d_sae, d_model, hook_site,"
    " layers, activation_scale) VALUES ('s', 's', 'f1', 'topk', 1, 1, 1, 'h', '{0}', '{1}')",
    "INSERT INTO atlas.run (slug, config, config_hash, vlm_id, sae_set_id, code_version, dirty,"
    " state, published_at, n_layers, d_sae, checksum) SELECT 'r', '{}', repeat('a', 64), vlm.id,"
    " sae_set.id, 'c', true, 'published', now(), 1, 1, 'x' FROM atlas.vlm, atlas.sae_set",
    "INSERT INTO atlas.measurement (run_id, stage, params, params_hash, input_fingerprint, seeds,"
    " device, code_version, libraries, started_at, finished_at, rows, checksum)"
    " SELECT id, 'adapt', '{}', 'p', 'i', '{0}', 'cpu', 'c', '{}', now(), now(), 0, 'x'"
    " FROM atlas.run",
)
