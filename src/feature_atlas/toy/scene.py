"""A scene of the tiny world: coloured things, and sometimes a sign, in the cells of a 4 x 4 grid.

Colours are distinct within a scene, so that a colour names one thing. Cells are numbered in raster
order: cell = 4 * row + column, both counted from 0.
"""

from dataclasses import dataclass
from random import Random

GRID = 4
N_CELLS = GRID * GRID
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "black")
# No w, x, y, z: those name the columns.
LETTERS = ("k", "m", "o", "s", "t", "v")
FEWEST_THINGS, MOST_THINGS = 3, 5
SIGN_RATE = 0.4


@dataclass(frozen=True)
class Thing:
    """One coloured shape in one cell."""

    colour: str
    shape: str
    cell: int


@dataclass(frozen=True)
class Sign:
    """A white board with one letter in one cell."""

    letter: str
    cell: int


@dataclass(frozen=True)
class Scene:
    """Things in raster order, and a sign in a cell of its own, or None."""

    things: tuple[Thing, ...]
    sign: Sign | None = None


def random_scene(random: Random) -> Scene:
    """A scene of 3 to 5 things of different colours; with a sign in 4 of 10."""
    n_things = random.randint(FEWEST_THINGS, MOST_THINGS)
    *cells, sign_cell = random.sample(range(N_CELLS), n_things + 1)
    colours = random.sample(COLOURS, n_things)
    things = [
        Thing(colour, random.choice(SHAPES), cell)
        for colour, cell in zip(colours, sorted(cells), strict=True)
    ]
    has_sign = random.random() < SIGN_RATE
    sign = Sign(random.choice(LETTERS), sign_cell) if has_sign else None
    return Scene(tuple(things), sign)


def row_of(cell: int) -> int:
    """0 at the top, 3 at the bottom."""
    return cell // GRID


def column_of(cell: int) -> int:
    """0 at the left, 3 at the right."""
    return cell % GRID
