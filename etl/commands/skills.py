"""`feature-atlas skills ...`: which skills there are, and whether a filter finds what it should."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feature_atlas.etl.terminal import console, plain_errors

if TYPE_CHECKING:
    from feature_atlas.etl.inputs.samples import Sample

skills = typer.Typer(
    help="Skills: list those that ship, check a filter by eye, score the check.",
    invoke_without_command=True,
)


@skills.callback()
def list_all(context: typer.Context) -> None:
    """Without a command: the skills that ship."""
    if context.invoked_subcommand is not None:
        return
    with plain_errors():
        from feature_atlas.etl.config.skill_files import shipped_skills
        from feature_atlas.etl.printed_rows import print_rows
        from feature_atlas.features.skill import has_skill_word

        rows = [
            {
                "skill": skill.name,
                "patterns": len(skill.patterns),
                "excluded": len(skill.exclude),
                "question types": len(skill.question_types),
                "neutral prompts": len(skill.neutral_prompts),
                "without its words": sum(
                    not has_skill_word(skill, prompt) for prompt in skill.neutral_prompts
                ),
            }
            for skill in shipped_skills().values()
        ]
        print_rows(console, "Skills that ship", rows)


@skills.command()
def check(
    skill: Annotated[str, typer.Argument(help="name of a shipped skill, or its YAML file")],
    config: Annotated[
        Path | None, typer.Option(help="whose questions; default: the current run's")
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="hits, and near misses, at most")] = 200,
    seed: Annotated[int, typer.Option(help="another seed draws others")] = 0,
    out: Annotated[Path | None, typer.Option(help="file; default: skill-NAME.csv here")] = None,
) -> None:
    """Write hits and near misses of a filter to a sheet, to be filled in by eye."""
    with plain_errors():
        from feature_atlas.etl.config.skill_files import find_skill
        from feature_atlas.etl.stages.features.skill_check import HIT, sheet_of, write_sheet

        found = find_skill(skill)
        rows = sheet_of(found, _questions(config, found.dataset), n, seed)
        file = Path(f"skill-{found.name}.csv") if out is None else out
        page = write_sheet(rows, file)
        n_hits = sum(row.kind == HIT for row in rows)
        console.print(f"{n_hits} hits and {len(rows) - n_hits} near misses in {file}, {page}")
        console.print(f"fill in is_right (y or n), then: feature-atlas skills score {file}")


@skills.command()
def score(file: Annotated[Path, typer.Argument(help="the sheet, is_right filled in")]) -> None:
    """Print how often the filter was right, with 95 % intervals."""
    with plain_errors():
        from feature_atlas.etl.stages.features.skill_check import HIT, score_sheet

        for one in score_sheet(file):
            what = "precision, of hits" if one.kind == HIT else "rightly left out, of near misses"
            share = f"{one.n_right / one.n_marked:.1%}" if one.n_marked else "unknown"
            console.print(
                f"{what}: {share} [{one.low:.1%}, {one.high:.1%}], {one.n_right} of "
                f"{one.n_marked} marked, {one.n_open} open",
                highlight=False,
                markup=False,
            )


def _questions(config: Path | None, dataset: str) -> "list[Sample]":
    """The samples among which a skill of this data set looks for its own."""
    from feature_atlas.etl.config.run_config import load_config
    from feature_atlas.etl.inputs.data_sets import read_data_sets
    from feature_atlas.etl.stages.features.skill_check import published_samples
    from feature_atlas.etl.stages.features.skills import asked_among
    from feature_atlas.etl.warehouse.migrate import find_atlas
    from feature_atlas.models.session import make_engine

    if config is not None:
        found = read_data_sets(load_config(config).data).samples
        return list(asked_among(found, dataset))
    with make_engine(find_atlas()).connect() as connection:
        return published_samples(connection, dataset)
