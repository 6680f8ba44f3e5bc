"""The paper's own set-up, from the files as they are released to a published run, at tiny size.

LLaVA-MORE in its original layout, Llama Scope's raw files with whole numbers where the release has
them, the base model with plain text, VQAv2, and VSR with many relations of one or two statements.
"""

from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import torch
import yaml
from databases import create_database
from llama_scope_of import write_llama_scope
from original_llava import (
    FAMILIES,
    settings_of,
    text_model,
    tokenizer_of,
    write_original,
    write_tower,
)
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.pipeline import run_method
from feature_atlas.etl.rehearsal.small_config import rehearsal_config
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.study import open_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine
from feature_atlas.toy.questions import Question
from feature_atlas.toy.vsr_format import statement_row, write_splits
from feature_atlas.toy.world import write_world

pytestmark = pytest.mark.slow

LAYERS, K = (0, 1), 4
RELATIONS = ("above", "across from", "at the edge of", "far from", "near", "off", "with", "within")


class Journey(NamedTuple):
    """What a user saw, and has."""

    converted: Result
    looked: Result
    """At by doctor."""
    slug: str
    engine: Engine

    def rows(self, query: str) -> list:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)))


@pytest.fixture(scope="module")
def journey(tmp_path_factory, postgres_url: str, template_database: str, atlas_home: Path):
    """Convert, doctor, every stage, publication."""
    configure_libraries(atlas_home)
    folder, url = (
        tmp_path_factory.mktemp("paper"),
        create_database(postgres_url, "llava_more", template_database),
    )
    file = write_release(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_DATABASE_URL", url)
        converted = command(
            "convert",
            "llava",
            folder / "release",
            folder / "vlm",
            "--vision-tower",
            folder / "clip",
        )
        looked = command("doctor", file)
    run = open_run(rehearsal_config(load_config(file)), folder / "home")
    run_method(run, lambda stage, *parts: stage(*parts))
    engine = make_engine(url)
    yield Journey(converted, looked, ingest(write_run_manifest(run), engine).slug, engine)
    engine.dispose()


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def write_release(folder: Path) -> Path:
    """Everything that `docs/real_models.md` asks for; returns the configuration."""
    write_world(
        folder, seed=0, n_train_images=12, n_val_images=24, n_vsr_images=8, n_text_scenes=40
    )
    write_rare_relations(folder / "vsr")
    write_tower(folder / "clip", "clip")
    write_original(folder / "release", n_files=2, dtype=torch.float16)
    write_base_model(folder / "base")
    write_llama_scope(folder / "scope", folder / "base", folder / "text.jsonl", LAYERS, K)
    settings = {
        "name": "llava-more",
        "batch_size": 16,
        "vlm": {"path": str(folder / "vlm"), "name": "LLaVA-MORE", "base": "Llama-3.1-8B"},
        "sae": {
            "source": "llama_scope_folder",
            "path": str(folder / "scope" / "Llama3_1-8B-Base-L{layer}R-8x"),
            "release": "llama_scope_lxr_8x",
            "layers": list(LAYERS),
        },
        "base_model": {"path": str(folder / "base"), "text": "text.jsonl"},
        "data": {"vqa_folder": "vqa", "vsr_folder": "vsr"},
        "harvest": {"skills": ["spatial"]},
    }
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def write_rare_relations(vsr: Path) -> None:
    """One or two statements of each relation in either split."""
    random, pictures = Random(0), sorted(int(f.stem) for f in (vsr / "images").iterdir())
    rows: dict[str, list[dict]] = {}
    for at, split in enumerate(("train", "test", "dev")):
        said = [
            Question(f"The {thing} is {relation} the bus.", answer, "statement", relation)
            for i, relation in enumerate(RELATIONS)
            for thing, answer in (("cat", "yes"), ("dog", "no"))[: 1 + (i >> at) % 2]
        ]
        about = pictures[at::3] * len(said)
        rows[split] = [statement_row(*pair, random) for pair in zip(about, said, strict=False)]
    write_splits(vsr, rows)


def write_base_model(folder: Path) -> None:
    """The language model before it learned to see, with the same tokenizer."""
    torch.manual_seed(2)
    family = FAMILIES["llama_3_1"]
    text_model(settings_of(family, "clip"), family).to(torch.bfloat16).save_pretrained(folder)
    tokenizer_of(family).save_pretrained(folder)


def test_the_release_is_converted_and_the_doctor_finds_no_fault(journey: Journey):
    assert journey.converted.exit_code == 0, journey.converted.output
    assert journey.looked.exit_code == 0, journey.looked.output
    assert "FAIL" not in journey.looked.output
    assert " 16 image, " in journey.looked.output


def test_the_run_is_published_with_rows_of_every_section_of_the_paper(journey: Journey):
    slugs = journey.rows("select slug from atlas.current_run")
    tables = (
        *("gate_check", "decoder_cosine", "visual_energy", "candidate", "neutral_prompt"),
        *("example", "ablation", "ablation_group", "head_attribution", "head_exact"),
        *("head_knockout", "overlay", "auto_interp"),
    )

    counts = {t: journey.rows(f"select count(*) from atlas.{t}")[0][0] for t in tables}
    assert slugs == [(journey.slug,)]
    assert all(counts.values()), counts


def test_the_converted_model_is_run_as_it_runs_by_itself(journey: Journey):
    found = journey.rows(
        "select piece, count(*), max(difference) from atlas.forward_check group by piece"
    )

    assert {piece: n for piece, n, _ in found} == {
        "residual": 2,
        "remembered": 2,
        "heads": 2,
        "resumed": 2,
        "answer": 1,
    }
    assert max(difference for *_, difference in found) < 1e-5


def test_whole_numbers_of_llama_scope_are_kept(journey: Journey):
    stated = journey.rows("select stated_l0, l0 from atlas.gate_check order by layer")

    assert stated == [(K, pytest.approx(K, rel=0.01))] * 2


def test_what_few_statements_cannot_tell_is_a_warning_and_not_a_row(journey: Journey):
    warned = journey.rows("select warning from atlas.run_warning")
    scored = journey.rows(
        "select name from atlas.ablation_group "
        "where kind = 'relation' and evaluation = 'vsr_relation'"
    )

    few = {r for r in RELATIONS for (said,) in warned if f"vsr_relation of relation {r!r}" in said}
    assert few
    assert not few & {relation for (relation,) in scored}
