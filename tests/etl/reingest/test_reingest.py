"""Scheduled re-ingestion: what is new is published, and the rest stays."""

import os
from pathlib import Path

import pytest
from run_folder import table_file, write_run_folder
from sqlalchemy import text
from workshop import Workshop, change, statuses

from feature_atlas.etl.reingest.reingest import any_new, look
from feature_atlas.etl.reingest.source_ledger import read_ledger, reingestion_lock
from feature_atlas.etl.warehouse.drop import drop_run


def test_a_new_set_of_saes_is_built_with_the_base_configuration(workshop: Workshop):
    folder = workshop.add_saes("second-training")

    (outcome,) = workshop.look()

    (built,) = workshop.built
    assert outcome.status == "published"
    assert built.sae.path == f"{folder}/layer_{{layer}}"
    assert built.sae.release == "second-training"
    assert built.model_copy(update={"sae": workshop.config.sae}) == workshop.config
    entry = read_ledger(workshop.engine)[str(folder)]
    assert (entry.state, entry.kind, entry.run_id) == ("published", "sae_lens_folder", 1)


def test_the_second_run_is_compared_with_the_first(workshop: Workshop):
    workshop.add_saes("a")
    (first,) = workshop.look()
    workshop.add_saes("b", shift=1.0)

    kept, second = workshop.look()

    assert first.drift is None
    assert kept.status == "unchanged"
    assert second.drift is not None
    assert (second.drift.before, second.drift.after) == (first.detail, second.detail)
    with workshop.engine.connect() as connection:
        stored = connection.execute(
            text("SELECT run_id, against_run_id, n_changed FROM atlas.drift_report")
        ).one()
    assert stored == (2, 1, second.drift.n_changed)


def test_looking_again_does_nothing(workshop: Workshop):
    workshop.add_saes("a")
    workshop.look()
    for file in workshop.source.rglob("*.json"):
        os.utime(file, (1, 1))  # another time is no other content

    found = look(str(workshop.source), workshop.config, workshop.home, workshop.engine)
    (outcome,) = workshop.look()

    assert not any_new(found)
    assert outcome.status == "unchanged"
    assert len(workshop.built) == 1


def test_other_content_of_the_same_size_is_new(workshop: Workshop):
    folder = workshop.add_saes("a")
    workshop.look()
    weights = folder / "layer_1" / "sae_weights.safetensors"
    before = weights.stat()
    change(folder / "layer_1", "b_dec", lambda weight: weight + 2)

    (outcome,) = workshop.look()

    assert weights.stat().st_size == before.st_size
    assert outcome.status == "published"
    assert len(workshop.built) == 2


def test_other_settings_are_new_too(workshop: Workshop):
    workshop.add_saes("a")
    workshop.look()
    workshop.config = workshop.config.model_copy(update={"seed": 7})

    (outcome,) = workshop.look()

    assert outcome.status == "published"
    assert [config.seed for config in workshop.built] == [0, 7]


def test_run_folders_are_ingested_and_a_damaged_one_is_set_aside(workshop: Workshop):
    good = write_run_folder(workshop.source, seed=0, name="a-good")
    bad = write_run_folder(workshop.source, seed=0, name="b-bad")
    last = write_run_folder(workshop.source, seed=1, name="a-good")
    file = table_file(bad, "decoder_cosine")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")

    first = statuses(workshop.look())
    second = statuses(workshop.look())
    file.write_bytes(whole)
    third = statuses(workshop.look())

    assert first == {good.name: "published", last.name: "published", bad.name: "broken"}
    assert second == {good.name: "unchanged", last.name: "unchanged", bad.name: "still broken"}
    assert third == {**second, bad.name: "published"}
    assert workshop.built == []


def test_a_run_that_was_dropped_does_not_come_back(workshop: Workshop):
    write_run_folder(workshop.source)
    workshop.look()
    drop_run(workshop.engine, "1", confirmed=True)

    (outcome,) = workshop.look()

    assert outcome.status == "unchanged"
    with workshop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.run")) == 0


def test_a_brace_in_a_path_is_no_placeholder(workshop: Workshop):
    workshop.add_saes("{odd} {layer}")

    (outcome,) = workshop.look()

    assert outcome.status == "published", outcome.detail
    (built,) = workshop.built
    assert Path(built.sae.path.format(layer=1)).is_dir()


def test_one_re_ingestion_at_a_time(workshop: Workshop):
    workshop.add_saes("a")

    with reingestion_lock(workshop.engine):
        with pytest.raises(RuntimeError, match="another re-ingestion is at work"):
            workshop.look()

    assert statuses(workshop.look()) == {"a": "published"}
