"""Stage `overlay` and custom prompts, on the shipped VLM: transformers' own attention is the truth.

What comes before is written by hand: which features were traced, which samples are their top ones.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bare_run import write_part
from databases import temporary_database
from PIL import Image
from rich.console import Console
from run_folder import write_run_folder
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.own_prompt import custom_overlay, run_model
from feature_atlas.etl.own_prompt.custom_overlay import Asked, overlay_custom
from feature_atlas.etl.run_folder.artifacts import StageOutput, read_rows, read_table, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads import overlay as stage
from feature_atlas.etl.stages.heads.overlay import overlaid_pictures
from feature_atlas.etl.stages.vlm import token_places
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.runs import RunName
from feature_atlas.models.session import make_engine
from feature_atlas.vlm.measured_geometry import UnknownGeometryError
from feature_atlas.vlm.processor_geometry import Box
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role, encode_prompts

FEATURES = (Feature(2, 5), Feature(4, 700))
N_HEADS, N_SAMPLES = 8, 12


@pytest.fixture(scope="module")
def study(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A run of the drawn world after the stage, with top samples and scores drawn by lot."""
    config = demo_config(small_world).model_copy(update={"name": "overlays"})
    attribution = config.head_attribution.model_copy(update={"n_overlay_samples": N_SAMPLES})
    config = config.model_copy(update={"head_attribution": attribution})
    run = open_run(config, tmp_path_factory.mktemp("overlays"))
    study = open_study(run)

    def attributed(output) -> None:
        for layer, feature in FEATURES:
            head_layer, head = np.indices((layer + 1, N_HEADS)).reshape(2, -1)
            n = len(head)
            score = np.random.default_rng(feature).normal(size=n)
            keys = {"layer": [layer] * n, "feature": [feature] * n, "method": ["B"] * n}
            keys["corruption"] = ["mean"] * n
            write_part(
                output,
                "head_attribution",
                keys
                | {"head_layer": head_layer, "head": head, "score": 0 * score, "qk_fix": score},
            )

    run_stage(run, "head_attribution", params={}, reads=[], body=attributed)
    for name in ("exact_patch", "harvest"):
        run_stage(run, name, params={}, reads=[], body=lambda output: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "top_samples", top_samples)
        stage.run_overlay(run)
        yield study


def top_samples(study: Study, feature: Feature, source: str, n: int) -> list[int]:
    first = study.first_number["vqav2-val" if source == "vqav2" else "vsr-train"]
    return [first + 7 * feature.layer + row for row in range(n)]


@pytest.fixture(scope="module")
def overlays(study: Study) -> pd.DataFrame:
    return read_table(study.run, "overlay", "overlay").to_pandas()


def eager_attention(
    study: Study, question: str, picture: Image.Image
) -> tuple[tuple[torch.Tensor, ...], PromptBatch, tuple[torch.Tensor, ...]]:
    """Attention and residuals as transformers itself returns them for one prompt."""
    batch = encode_prompts(study.vlm.processor, [question], [picture])
    model = study.vlm.model
    language_model = model.model.language_model
    before = language_model.config._attn_implementation
    language_model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask,
            **batch.processed, output_attentions=True, output_hidden_states=True,
        )  # fmt: skip
    language_model.set_attn_implementation(before)
    return out.attentions, batch, out.hidden_states


def from_text_to_image(attention: torch.Tensor, batch: PromptBatch, head: int) -> np.ndarray:
    roles = batch.roles[0]
    is_text = torch.isin(roles, torch.tensor(TEXT_ROLES))
    return attention[0, head][is_text][:, roles == Role.IMAGE].mean(0).numpy()


def sample_at(study: Study, number: int) -> Sample:
    for split, first in study.first_number.items():
        if 0 <= number - first < len(study.samples[split]):
            return study.samples[split][number - first]
    raise AssertionError(number)


def test_stored_weights_are_the_eager_attention_of_transformers(
    study: Study, overlays: pd.DataFrame
) -> None:
    of_sample = overlays.groupby(["layer", "sample"])
    for (_, number), maps in list(of_sample)[::7]:
        sample = sample_at(study, int(number))
        attentions, batch, _ = eager_attention(study, sample.question, Image.open(sample.image))
        for one in maps.itertuples():
            truth = from_text_to_image(attentions[one.head_layer], batch, one.head)
            np.testing.assert_allclose(one.weights, truth, rtol=1e-3, atol=1e-6)
            assert one.image_mass == pytest.approx(truth.sum(), rel=1e-3)


def test_each_feature_has_heads_of_three_kinds_on_all_its_samples(overlays: pd.DataFrame) -> None:
    heads = overlays[["layer", "feature", "kind", "head_layer", "head"]].drop_duplicates()
    assert heads.groupby(["feature", "kind"]).size().tolist() == [2] * 3 * len(FEATURES)
    assert not heads.duplicated(["feature", "head_layer", "head"]).any()
    for layer, feature in FEATURES:
        score = np.abs(np.random.default_rng(feature).normal(size=(layer + 1) * N_HEADS))
        own = heads[heads.feature == feature]
        place = (own.head_layer * N_HEADS + own["head"]).to_numpy()
        assert set(place[own.kind == "top"]) == set(score.argsort()[-2:])
        assert set(place[own.kind == "bottom"]) == set(score.argsort()[:2])
    assert (overlays.groupby(["feature", "sample"]).size() == 6).all()


def test_the_share_on_objects_is_the_attention_on_the_cells_of_the_truth(
    study: Study, overlays: pd.DataFrame, small_world: Path
) -> None:
    by_id = truth_by_question(small_world / "vqa" / "truth.jsonl")
    n_scored = 0
    first, n = study.first_number["vqav2-val"], len(study.samples["vqav2-val"])
    for one in overlays[overlays["sample"].between(first, first + n - 1)].itertuples():
        sample = sample_at(study, one.sample)
        known = by_id[int(sample.external_id)]
        if known["kind"] in ("describe", "positions", "count"):
            assert np.isnan(one.object_share)
        elif not np.isnan(one.object_share) and known["kind"] != "attribute":
            on_cells = one.weights[known["cells"]].sum() / one.weights.sum()
            assert one.object_share == pytest.approx(on_cells, rel=1e-5)
            assert one.object_area == len(known["cells"]) / 16
            assert one.lift == pytest.approx(on_cells / one.object_area, rel=1e-5)
            n_scored += 1
    assert n_scored > 30


def truth_by_question(file: Path) -> dict[int, dict]:
    rows = map(json.loads, file.read_text().splitlines())
    return {row["question_id"]: row for row in rows}


def test_the_summary_is_the_mean_over_features_and_samples(
    study: Study, overlays: pd.DataFrame
) -> None:
    found = pd.DataFrame(read_rows(study.run, "overlay", "localisation")).set_index("comparison")

    scored = overlays.dropna(subset="lift")
    for name in ("lift", "object_share"):
        by_pair = scored.pivot_table(index=["feature", "sample"], columns="kind", values=name)
        truth = by_pair.mean().to_dict()
        truth |= {f"top - {k}": (by_pair.top - by_pair[k]).mean() for k in ("bottom", "random")}
        stored = found[name.removeprefix("object_")]
        for comparison, value in truth.items():
            assert stored[comparison] == pytest.approx(value, rel=1e-4), (name, comparison)
    assert set(found.n_pairs) == {len(by_pair)}
    assert set(found.n_features) == {len(FEATURES)}
    assert ((found.lift_low <= found.lift) & (found.lift <= found.lift_high)).all()
    # heads drawn by lot: top ones are not better
    assert found.lift_low["top - random"] < 0.5


def test_patches_of_an_upright_square_cover_it_whole(overlays: pd.DataFrame) -> None:
    edges = overlays[["seen_left", "seen_top", "seen_right", "seen_bottom"]].drop_duplicates()

    assert edges.to_numpy().tolist() == [[0, 0, 64, 64]]


def test_where_places_are_not_known_there_is_no_map_and_one_warning(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise UnknownGeometryError("the picture was mirrored.")

    monkeypatch.setattr(token_places, "token_grid", unknown)
    monkeypatch.setattr(stage, "top_samples", top_samples)
    token_places.tokens_of.cache_clear()
    output = StageOutput(tmp_path)

    stage._write(output, study)

    assert output.files == []
    (warning,) = output.warnings
    assert warning.startswith(f"where heads look is left out for {4 * N_SAMPLES} samples")
    assert warning.endswith("the picture was mirrored.")
    assert list(overlaid_pictures(study, ["is it ?"], [Image.new("RGB", (64, 64))], (0, 0))) == [
        None
    ]


# ---------------------------------------------------------------- custom prompts

QUESTION = "Is the red circle left of the blue square?"
OWN = Feature(1, 2)


@pytest.fixture
def atlas(postgres_url: str, template_database: str, run_folder: Path) -> Iterator[Engine]:
    """A database with a published run that shows heads L0H0 and L0H3 of the feature."""
    with temporary_database(postgres_url, template_database) as url:
        engine = make_engine(url)
        ingest(run_folder, engine)
        yield engine
        engine.dispose()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """96 x 64 pixels, to be turned by a quarter: 64 x 96 upright."""
    pixels = np.random.default_rng(4).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "own.png", exif=exif)
    return tmp_path / "own.png"


@pytest.fixture
def of_the_run(study: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The drawn world's model stands for the published run's."""
    monkeypatch.setattr(custom_overlay, "run_study", lambda home, run: study)
    return study


def ask(atlas: Engine, home: Path, picture: Path, feature: Feature = OWN, **changed: str):
    asked = Asked(feature, picture, changed.get("question", QUESTION))
    return overlay_custom(atlas, home, "1", asked, Console(quiet=True))


def test_a_prompt_of_ones_own_is_measured_and_kept_with_the_run(
    atlas: Engine, of_the_run: Study, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upright = Image.open(picture).convert("RGB").rotate(-90, expand=True)
    attentions, batch, hidden = eager_attention(of_the_run, QUESTION, upright)
    is_text = torch.isin(batch.roles[0], torch.tensor(TEXT_ROLES))
    sae = of_the_run.base[OWN.layer]
    residual = hidden[OWN.layer + 1][0][is_text].double()
    gate = (residual * sae.scale) @ sae.w_enc.double() + sae.b_enc.double()
    gate *= sae.w_dec.double().norm(dim=1)
    kept = gate >= gate.topk(sae.gate.k, dim=1).values[:, -1:]
    activation = (gate * kept).relu()
    loudest = int(activation.sum(0).argmax())
    order = torch.arange(len(sae.b_enc)).roll(OWN.feature - loudest)  # the loudest is this feature
    monkeypatch.setattr(
        custom_overlay,
        "adapted_sae",
        lambda study, regime, layer: sae._replace(
            w_enc=sae.w_enc[:, order], b_enc=sae.b_enc[order], w_dec=sae.w_dec[order]
        ),
    )

    report = ask(atlas, tmp_path, picture)

    assert (report.status, report.rows) == ("added", {"custom_prompt": 1, "custom_overlay": 2})
    with atlas.connect() as connection:
        own = "JOIN atlas.measurement m ON m.id = measurement_id WHERE added_at IS NOT NULL"
        (said,) = connection.execute(
            text(f"SELECT p.* FROM atlas.custom_prompt p {own}")
        ).mappings()
        maps = connection.execute(
            text(f"SELECT o.* FROM atlas.custom_overlay o {own} ORDER BY head")
        ).mappings().all()  # fmt: skip
    assert (said["question"], said["width"], said["height"]) == (QUESTION, 64, 96)
    np.testing.assert_allclose(said["activations"], activation[:, loudest], rtol=1e-3, atol=1e-5)
    assert said["max_activation"] == pytest.approx(float(activation[:, loudest].max()), rel=1e-3)
    assert "circle" in "".join(said["tokens"])
    assert [(m["kind"], m["head_layer"], m["head"]) for m in maps] == [
        ("top", 0, 0), ("bottom", 0, 3)
    ]  # fmt: skip
    for one in maps:
        truth = from_text_to_image(attentions[0], batch, one["head"])
        np.testing.assert_allclose(one["weights"], truth, rtol=1e-3, atol=1e-6)
        # 64 x 96 upright: the middle is seen
        assert [one[f"seen_{edge}"] for edge in Box._fields] == [0, 16, 64, 80]


def test_the_same_prompt_twice_is_kept_once_and_another_beside_it(
    atlas: Engine, of_the_run: Study, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        custom_overlay, "adapted_sae", lambda study, regime, layer: study.base[layer]
    )

    reports = [ask(atlas, tmp_path, picture) for _ in range(2)]
    other = ask(atlas, tmp_path, picture, question="Where is the star?")

    assert [report.status for report in (*reports, other)] == ["added", "already there", "added"]


def test_a_feature_without_heads_or_a_run_without_its_folder_is_said(
    atlas: Engine, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"shows no heads of layer 1 feature 60: .* layer 0 feat"):
        ask(atlas, tmp_path, picture, Feature(1, 60))
    with pytest.raises(FileNotFoundError, match="needs the folder in which synthetic-"):
        ask(atlas, tmp_path, picture)
    folder = write_run_folder(tmp_path / "runs", seed=3)
    monkeypatch.setenv("ATLAS_DATABASE_URL", atlas.url.render_as_string(hide_password=False))
    options = ["--layer", "1", "--feature", "2", "--image", str(picture), "--question", "Is it?"]
    refused = CliRunner().invoke(app, ["overlay", folder.name, *options])
    assert refused.exit_code == 1
    assert f"no run '{folder.name}'" in " ".join(refused.output.split())


def test_another_model_than_the_runs_is_refused(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunName(1, study.run.name, "published", study.inputs["config_hash"])
    home = study.run.parents[1]

    assert run_model.run_study(home, run) is study
    monkeypatch.setattr(run_model, "fingerprint_folder", lambda folder: "other")
    with pytest.raises(ValueError, match=r"is not the one that overlays-.* was built with"):
        run_model.run_study(home, run)
    with pytest.raises(ValueError, match="not the folder it was built in"):
        run_model.run_study(home, run._replace(config_hash="0" * 64))
