"""Draw the paper's figures of a run: what `feature-atlas figures` starts."""

import argparse
import sys
from pathlib import Path

import pandas as pd
from sqlalchemy.exc import OperationalError, ProgrammingError

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.figures import FIGURES
from feature_atlas.dashboards.figures.canvas import Undrawable, house_style, save


def main(arguments: list[str] | None = None) -> int:
    """Write every figure that the run has the data of; 1: none, or no such run."""
    asked = _parse(arguments)
    try:
        run = find_run(asked.run)
        written = draw_figures(run, asked.out, asked.format)
    except (ValueError, RuntimeError, OSError, OperationalError, ProgrammingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0 if written else 1


def find_run(named: str | None) -> pd.Series:
    """The row of `queries.runs` of this name or number, by default of the newest published run."""
    runs = queries.runs()
    if runs.empty:
        raise ValueError("no runs yet: `feature-atlas demo` builds the first one")
    if named is None:
        return runs.iloc[0]
    found = runs[(runs.slug == named) | (runs.run_id.astype(str) == named)]
    if found.empty:
        raise ValueError(
            f"no published run is called {named}; there are "
            + ", ".join(f"{run.slug} ({run.run_id})" for run in runs.itertuples())
        )
    return found.iloc[0]


def draw_figures(run: pd.Series, folder: Path, ending: str) -> list[Path]:
    """Write each figure, say which file it is, or why it cannot be drawn. Returns the files."""
    written = []
    sys.stdout.write(f"figures of {run.slug}, n = {run.n_layers * run.d_sae:,} features\n")
    for figure in FIGURES:
        path = folder / f"{figure.name}.{ending}"
        try:
            with house_style():
                save(figure.draw(run), path)
        except Undrawable as reason:
            sys.stdout.write(f"  {figure.name}: not drawn, {reason}\n")
            continue
        written.append(path)
        sys.stdout.write(f"  {path}: {figure.shows}\n")
    return written


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="feature-atlas figures", description=__doc__)
    parser.add_argument("run", nargs="?", help="slug or id; default: the newest published run")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--format", choices=("png", "svg"), default="png")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
