"""The limits of the house: folders, files and functions stay small enough to be read at once."""

import ast
import os
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ("src/feature_atlas", "models", "migrations", "etl", "dashboards")

FILES_IN_A_FOLDER = 30
LINES_OF_A_FILE, LINES_OF_THE_MEDIAN_FILE = 350, 150
LINES_OF_A_FUNCTION = 60


def written(*rooms: str) -> dict[Path, str]:
    """What every Python file of these rooms says, by its path; links are not followed."""
    return {
        Path(folder, name).relative_to(ROOT): Path(folder, name).read_text(encoding="utf-8")
        for room in rooms
        for folder, _, names in os.walk(ROOT / room)
        for name in names
        if name.endswith(".py")
    }


@pytest.fixture(scope="module")
def files() -> dict[Path, str]:
    """Everything that is kept small."""
    found = written(*PACKAGE, "tests", "benchmarks")
    assert len(found) > 500
    return found


def over(limit: int, sizes: dict[str, int]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > limit}


def functions(path: Path, text: str) -> dict[str, int]:
    """Lines of every function by its place, from `def` to the last; a nested one counts in both."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_no_folder_holds_too_many_files(files: dict[Path, str]):
    sizes = Counter(str(path.parent) for path in files)
    del sizes["migrations/versions"]  # a history: what is published is not put together again

    assert over(FILES_IN_A_FOLDER, sizes) == {}


def test_no_file_is_too_long_and_most_are_short(files: dict[Path, str]):
    sizes = {str(path): len(text.splitlines()) for path, text in files.items()}

    assert over(LINES_OF_A_FILE, sizes) == {}
    assert median(sizes.values()) < LINES_OF_THE_MEDIAN_FILE


def test_no_function_is_too_long(files: dict[Path, str]):
    sizes = {place: n for path, text in files.items() for place, n in functions(path, text).items()}

    assert over(LINES_OF_A_FUNCTION, sizes) == {}


def without_encoding(path: Path, text: str) -> list[str]:
    """Calls by which text goes in or out in whatever encoding the user's locale has."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [f"{path}:{call.lineno}" for call in calls if _follows_the_locale(call)]


def _follows_the_locale(call: ast.Call) -> bool:
    named = {word.arg: word.value for word in call.keywords}
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if "encoding" in named or None in named:
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) < ("read_text", "write_text").index(name) + 1
    if name in ("run", "Popen", "check_output"):
        return "text" in named or "universal_newlines" in named
    is_method = isinstance(call.func, ast.Attribute)
    if name in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile"):
        place = 0 if (is_method and name == "open") or name.endswith("File") else 1
        mode = named.get("mode", call.args[place] if len(call.args) > place else None)
        if mode is None:  # a method without one is often not a file's: ruff knows (PLW1514)
            return name == "open" and not is_method
        return isinstance(mode, ast.Constant) and set(str(mode.value)) <= set("rwaxt+")
    return False


def test_text_is_utf_8_whatever_the_locale():
    files = written(*PACKAGE, "benchmarks")
    found = [place for path, text in files.items() for place in without_encoding(path, text)]

    assert found == []


@pytest.mark.parametrize(
    ("call", "n_found"),
    [
        ("path.read_text()", 1),
        ("path.write_text(x)", 1),
        ("path.open('w')", 1),
        ("open(path)", 1),
        ("open(path, 'a')", 1),
        ("subprocess.run(x, text=True)", 1),
        ("NamedTemporaryFile('w+')", 1),
        ("path.read_text('utf-8')", 0),
        ("path.write_text(x, encoding='utf-8')", 0),
        ("path.open('rb')", 0),
        ("open(path, 'wb')", 0),
        ("Image.open(path)", 0),
        ("subprocess.run(x, text=True, encoding='utf-8')", 0),
        ("NamedTemporaryFile()", 0),
    ],
)
def test_a_call_that_follows_the_locale_is_found(call: str, n_found: int):
    assert len(without_encoding(Path("a.py"), call)) == n_found


def test_a_function_is_counted_without_its_decorators_and_with_what_is_nested_in_it():
    text = "@cache(\n    1\n)\ndef outer():\n    def inner():\n        pass\n\n    return inner\n"

    assert functions(Path("a.py"), text) == {"a.py:4 outer": 5, "a.py:5 inner": 2}


def test_every_folder_of_the_package_says_what_it_holds():
    files = written(*PACKAGE)
    first_words = {
        str(folder): ast.get_docstring(ast.parse(files.get(folder / "__init__.py", "")))
        for folder in {path.parent for path in files}
    }

    assert [folder for folder, words in first_words.items() if not words] == []
