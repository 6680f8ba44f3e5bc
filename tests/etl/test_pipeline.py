"""The flow, end to end, on the shipped tiny world and a real Postgres.

All tests of the tiny run are here: it takes a minute, and a file's tests run on one worker.
"""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fact_checksums import run_facts
from rich.console import Console
from sqlalchemy import text
from stage_runs.plain_output_score import plain_output_score

from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.etl.build import Share, build_and_publish, build_share, publish_built
from feature_atlas.etl.commands.summary import print_summary
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.run_folder.artifacts import read_json, read_rows, read_table
from feature_atlas.etl.run_folder.patience import NotDone
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import open_study
from feature_atlas.vlm.token_roles import encode_prompts

pytestmark = pytest.mark.slow
LOST = ("steering", "group_ablation", "head_knockout")

FILLED = (
    *("image", "sample", "training_curve", "decoder_cosine", "visual_energy", "firing_shift"),
    *("selection", "role_energy", "example", "patch_activation", "activation_histogram"),
    *("logit_effect", "nearest_feature", "latent_scaling", "seed_stability", "seed_set"),
    *("head_estimate", "head_stability", "candidate", "neutral_prompt", "auto_interp"),
    *("chance_score", "intruder", "output_score", "feature_record", "measurement"),
    *("published_result", "forward_check", "gate_check"),
)


def scalar(tiny_run, sql):
    with tiny_run.engine.connect() as connection:
        return connection.execute(text(sql)).scalar()


@pytest.mark.parametrize("table", FILLED)
def test_the_flow_fills_the_table(tiny_run, table):
    assert scalar(tiny_run, f"select count(*) from atlas.{table}") > 0


def test_there_is_one_feature_per_layer_and_dictionary_row(tiny_run):
    shape = read_json(tiny_run.folder / "inputs.json")["sae_set"]

    n_features = scalar(tiny_run, "select count(*) from atlas.feature")

    assert n_features == len(shape["layers"]) * shape["d_sae"]


def test_the_cosines_in_the_database_are_those_of_the_saved_dictionaries(tiny_run):
    from sae_lens import SAE

    base = SAE.load_from_disk(tiny_run.config.sae.path.format(layer=2)).W_dec.detach().double()
    adapted_folder = tiny_run.folder / "adapt-prompts" / "sae" / "text" / "layer_2"
    adapted = SAE.load_from_disk(adapted_folder).W_dec.detach().double()
    by_hand = (base * adapted).sum(1) / base.norm(dim=1) / adapted.norm(dim=1)

    with tiny_run.engine.connect() as connection:
        stored = connection.execute(
            text("select cosine from atlas.feature where layer = 2 order by feature")
        )
        cosines = np.array([row.cosine for row in stored])

    np.testing.assert_allclose(cosines, by_hand.numpy(), atol=1e-5)


def test_the_adapted_set_is_that_of_its_definition(tiny_run):
    with tiny_run.engine.connect() as connection:
        rows = connection.execute(
            text("select cosine, visual_energy, is_adapted from atlas.feature")
        ).all()
    cosine, energy, adapted = (np.array(column) for column in zip(*rows, strict=True))
    turned = cosine < np.quantile(cosine, tiny_run.config.selection.cosine_quantile)

    assert (adapted == (turned & (energy > tiny_run.config.selection.epsilon))).mean() > 0.999


def test_firing_rates_add_up_to_the_features_that_fire_on_a_token(tiny_run):
    k = read_json(tiny_run.folder / "inputs.json")["sae_set"]["k"]

    per_layer = scalar(
        tiny_run,
        "select max(total) from "
        "(select sum(firing_rate) as total from atlas.feature group by layer) as layers",
    )

    assert 0.5 * k < per_layer <= k + 1e-3


def test_random_directions_went_through_the_same_stages(tiny_run):
    of = {r["score"]: r for r in read_rows(tiny_run.folder, "chance_score", "chance_score")}
    assert of["l0"]["random_mean"] == pytest.approx(of["l0"]["mean"], rel=0.02)
    assert of["fvu"]["mean"] < of["fvu"]["random_mean"]
    assert of["F1"]["n_random"] > 0


def test_what_is_written_is_described_and_said_as_plain_passes_say(tiny_run):
    study = open_study(tiny_run.folder)
    for row in read_table(tiny_run.folder, "output_score", "output_score").to_pylist():
        assert row["output_score"] == pytest.approx(plain_output_score(study, row), abs=1e-4)
    rows = read_table(tiny_run.folder, "auto_interp", "auto_interp").to_pylist()
    assert sum(row["description"].startswith('writing "') for row in rows) == len(rows) // 2


def test_an_examples_strongest_token_carries_its_activation(tiny_run):
    rows = read_table(tiny_run.folder, "example", "example").slice(0, 500).to_pylist()

    for row in rows:
        assert row["activations"][row["max_token"]] == pytest.approx(
            row["max_activation"], rel=1e-3
        )
        assert len(row["tokens"]) == len(row["activations"])


def test_patches_are_the_whole_models_own_image_tokens_encoded_by_saelens(tiny_run):
    study = open_study(tiny_run.folder)
    rows = read_table(tiny_run.folder, "patch_activation", "patch_activation").to_pylist()
    shown = [row for row in rows if row["patches"]]
    assert 0.02 < len(shown) / len(rows) <= 1
    for row in shown[:: len(shown) // 12]:
        sae = adapted_sae(study, "text", row["layer"])
        sample, processor = sample_of(study, row["sample"]), study.vlm.processor
        batch = encode_prompts(
            processor,
            [sample.question],
            [open_image(sample.image)],
            suffix=study.config.vlm.suffix,
        )
        with torch.no_grad():
            whole = study.vlm.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                **batch.processed,
                output_hidden_states=True,
            )
            residual = whole.hidden_states[row["layer"] + 1][0]
            codes = to_training_sae(sae).encode(sae.scale * residual).to_dense()
        is_image = batch.input_ids[0] == study.vlm.model.config.image_token_id
        expected = codes[is_image, row["feature"]].numpy()

        assert len(expected) == row["grid_rows"] * row["grid_columns"]
        assert row["max_activation"] == pytest.approx(expected.max(), rel=1e-3)
        found = np.frombuffer(row["patches"], np.uint8) / 255 * row["max_activation"]
        np.testing.assert_allclose(found, expected, atol=row["max_activation"] * 3e-3)


def test_histograms_count_every_token_on_which_a_feature_fires(tiny_run):
    counted = """
        SELECT {names} FROM (
            SELECT layer, feature,
                coalesce(sum(n_tokens) FILTER (WHERE role = 'image'), 0) AS image,
                coalesce(sum(n_tokens) FILTER (WHERE role <> 'image'), 0) AS text,
                max(high) FILTER (WHERE role <> 'image') AS high,
                max(low) FILTER (WHERE role <> 'image') AS low
            FROM atlas.activation_bin GROUP BY layer, feature
        ) AS counted
        FULL JOIN atlas.visual_energy AS energy USING (layer, feature) WHERE {condition}
    """
    fired = "coalesce(image, 0) = fired_image AND coalesce(text, 0) = fired_question"
    strongest = "max_activation >= low AND max_activation < high OR fired_question = 0"

    n = scalar(tiny_run, counted.format(names="count(*)", condition=f"{fired} AND ({strongest})"))

    assert n == scalar(tiny_run, "select count(*) from atlas.feature")
    assert scalar(tiny_run, "select sum(fired_image) from atlas.visual_energy") > 10_000


def test_what_features_write_and_resemble_is_that_of_the_saved_weights(tiny_run):
    from sae_lens import SAE

    study = open_study(tiny_run.folder)
    adapted = tiny_run.folder / "adapt-prompts" / "sae" / "text" / "layer_2"
    decoder = SAE.load_from_disk(adapted).W_dec.detach().double().numpy()
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    model, tokenizer = study.vlm.model, study.vlm.processor.tokenizer
    head = model.lm_head.weight.detach().double().numpy()[: len(tokenizer)]
    through = head * model.get_decoder().norm.weight.detach().double().numpy()
    effects = unit @ (through - through.mean(0)).T

    rows = read_table(tiny_run.folder, "logit_effect", "logit_effect").to_pylist()
    rows = [row for row in rows if row["layer"] == 2]
    assert len(rows) > 200
    for row in rows[::20]:
        own = np.sort(effects[row["feature"]])
        np.testing.assert_allclose(row["top_effects"], own[::-1][:10], atol=1e-5)
        np.testing.assert_allclose(row["bottom_effects"], own[:10], atol=1e-5)
        written = effects[row["feature"], row["top_token_ids"]]
        np.testing.assert_allclose(written, row["top_effects"], atol=1e-5)
        assert row["top_tokens"] == [tokenizer.decode([i]) for i in row["top_token_ids"]]
    near = read_table(tiny_run.folder, "nearest_feature", "nearest_feature").to_pylist()
    for row in [row for row in near if row["layer"] == 2][::50]:
        cosines = unit @ unit[row["feature"]]
        others = np.delete(cosines, row["feature"])
        np.testing.assert_allclose(row["cosines"], np.sort(others)[::-1][:8], atol=1e-5)
        np.testing.assert_allclose(cosines[row["features"]], row["cosines"], atol=1e-5)


def test_training_lowers_the_error_on_held_out_text(tiny_run):
    rows = read_table(tiny_run.folder, "adapt-prompts", "training_curve").to_pylist()
    rows = [r for r in rows if (r["regime"], r["role"]) == ("text", "all")]
    last = max(r["tokens_seen"] for r in rows)
    start = np.mean([r["fvu"] for r in rows if r["tokens_seen"] == 0])
    end = np.mean([r["fvu"] for r in rows if r["tokens_seen"] == last])

    assert end < start


def test_decoder_norms_are_those_of_training_not_of_the_folded_files(tiny_run):
    rows = read_table(tiny_run.folder, "decoder_cosine", "decoder_cosine").to_pylist()
    text_rows = [r for r in rows if r["regime"] == "text"]

    untouched = [r for r in text_rows if r["n_firings"] == 0]
    assert all(r["adapted_norm"] == pytest.approx(r["base_norm"]) for r in untouched)
    assert np.std([r["adapted_norm"] for r in text_rows if r["n_firings"] > 100]) > 1e-4


def test_the_random_regime_has_nothing_of_the_base_dictionary(tiny_run):
    with tiny_run.engine.connect() as connection:
        rows = connection.execute(
            text(
                "select c.layer, avg(abs(c.cosine)) as turned from atlas.decoder_cosine c "
                "join atlas.regime r on r.id = c.regime_id where r.name = 'random' group by c.layer"
            )
        ).all()

    # |cos| of random directions in 128 dimensions averages sqrt(2 / (pi 128)) = 0.07
    assert all(row.turned < 0.15 for row in rows)


def test_every_number_has_a_measurement_with_its_provenance(tiny_run):
    stages = {p.parent.name for p in tiny_run.folder.glob("*/stage.json")}
    with tiny_run.engine.connect() as connection:
        stored = connection.execute(
            text("select stage from atlas.measurement where input_fingerprint <> ''")
        ).scalars()
        assert set(stored) == stages


def test_building_again_changes_nothing(tiny_run, monkeypatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", tiny_run.url)
    before = scalar(tiny_run, "select max(published_at) from atlas.run")
    said = Console(record=True, file=io.StringIO())

    build_and_publish(tiny_run.config, tiny_run.home, said)

    assert "published already: nothing changed" in said.export_text()
    assert scalar(tiny_run, "select max(published_at) from atlas.run") == before


def test_the_summary_shows_layers_and_times(tiny_run, monkeypatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", tiny_run.url)
    said = Console(record=True, width=200, file=io.StringIO())

    print_summary(tiny_run.folder.name, said)

    shown = said.export_text()
    assert "spatial survivors" in shown
    assert "adapt-prompts" in shown


def test_a_run_folder_moved_elsewhere_loads_there(tiny_run, engine, tmp_path):
    from feature_atlas.etl.warehouse.load import ingest

    moved = shutil.copytree(tiny_run.folder, tmp_path / tiny_run.folder.name)

    report = ingest(moved, engine)

    assert report.status == "published"
    with engine.connect() as connection:
        n_features = connection.execute(text("select count(*) from atlas.feature")).scalar()
    assert n_features == scalar(tiny_run, "select count(*) from atlas.feature")


def test_a_prompt_of_the_run_fires_as_the_harvest_has_stored(tiny_run):
    from feature_atlas.etl.own_prompt.prompt_activations import Asked, prompt_activations
    from feature_atlas.etl.own_prompt.run_model import RunModel, run_study
    from feature_atlas.etl.stages.features.feature_choice import Feature
    from feature_atlas.etl.warehouse.runs import published_run

    with tiny_run.engine.connect() as connection:
        model = RunModel(run_study(tiny_run.home, published_run(connection, None)))
        stored = connection.execute(text(STRONGEST)).all()
    assert len(stored) > 5
    for layer, feature, tokens, activations, question, sha256 in stored:
        asked = Asked(model.picture(sha256), question, (layer,), also=(Feature(layer, feature),))
        found = prompt_activations(model, asked)

        words = [place for place, token in enumerate(found.tokens) if token.role != "image"]
        assert [found.tokens[place].text for place in words] == tokens
        (one,) = (one for one in found.features if one.feature == feature)
        on = dict(zip(one.tokens, one.activations, strict=True))
        laid = [on.get(place, 0.0) for place in words]
        np.testing.assert_allclose(laid, activations, rtol=1e-4, atol=1e-4)


STRONGEST = """
select e.layer, e.feature, e.tokens, e.activations, s.question, i.sha256 from atlas.example e
join atlas.sample s on s.id = e.sample_id join atlas.image i on i.id = s.image_id
where e.rank = 0 and e.feature % 101 = 3 order by e.layer, e.feature limit 12
"""


@pytest.fixture
def half_built(tiny_run, tmp_path, fresh_url, monkeypatch) -> Path:
    """The small run as others left it, before some of its stages, and an empty database."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    copy = tmp_path / "runs" / tiny_run.folder.name
    shutil.copytree(tiny_run.folder, copy)
    (copy / "manifest.json").unlink()
    for stage in LOST:
        shutil.rmtree(copy / stage)
    yield tmp_path
    open_study.cache_clear()


def test_what_is_missing_is_built_and_the_same_facts_are_published(tiny_run, half_built, fresh_url):
    said = Console(record=True, width=200, file=io.StringIO())
    with pytest.raises(NotDone, match="stage group_ablation has not finished"):
        publish_built(tiny_run.config, half_built, said)

    build_share(tiny_run.config, half_built, said, Share.said("2/3"))
    slug = publish_built(tiny_run.config, half_built, said)

    assert run_facts(fresh_url, slug) == run_facts(tiny_run.url, slug)
    shown = said.export_text()
    assert f"process 2 of 3 builds {slug}, with all others that do" in shown
    assert f"every stage of {slug} is done. Publish it with --merge" in shown
    assert f"run {slug} published" in shown


def test_what_nobody_began_is_not_published(tiny_run, tmp_path):
    with pytest.raises(RuntimeError, match="has not been begun: build it with --shard first"):
        publish_built(tiny_run.config, tmp_path, Console(file=io.StringIO()))
