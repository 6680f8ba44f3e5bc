"""The view of the page "Explore" as the words of its address, both ways."""

from collections.abc import Mapping
from math import isfinite

from feature_atlas.dashboards.queries.explore import METRICS, SETS, Between, Place, View
from feature_atlas.dashboards.run_choice import quoted

MAX_WORDS = 200
"""Characters of words that are looked for in labels."""


def view_of(address: Mapping[str, str]) -> View:
    """What an address asks for; ValueError says what is wrong with it."""
    default = View()
    sort = _known(address.get("sort", default.sort), METRICS, "sort")
    order = _known(address.get("order", "up"), ("up", "down"), "order")
    words = address.get("words", "").strip()
    if len(words) > MAX_WORDS or not words.isprintable():
        raise ValueError(f"`words` is at most {MAX_WORDS} printable characters; these are not.")
    asked_sets = filter(None, address.get("is", "").split(","))
    return View(
        between=tuple(_between(part) for part in filter(None, address.get("where", "").split(","))),
        sets=tuple(_known(name, SETS, "is") for name in asked_sets),
        words=words,
        sort=sort,
        descending=order == "down",
    )


def address_of(view: View) -> dict[str, str]:
    """The address of a view: what is not the default."""
    where = ",".join(f"{name}:{_number(low)}..{_number(high)}" for name, low, high in view.between)
    words = {
        "where": where,
        "is": ",".join(view.sets),
        "words": view.words,
        "sort": view.sort if view.sort != View().sort else "",
        "order": "down" if view.descending else "",
    }
    return {name: said for name, said in words.items() if said}


def place_of(said: str) -> Place | None:
    """Where a page begins, as `place_in_words` wrote it."""
    if not said:
        return None
    value, _, where = said.partition("@")
    layer, _, feature = where.partition(".")
    # int4 is what the database takes
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in (layer, feature)):
        raise ValueError(f"`after` is VALUE@LAYER.FEATURE, not {quoted(said)}.")
    return Place(_end(value, said), int(layer), int(feature))


def place_in_words(place: Place) -> str:
    """For the address."""
    return f"{_number(place.value)}@{place.layer}.{place.feature}"


def _between(part: str) -> Between:
    metric, _, ends = part.partition(":")
    low, dots, high = ends.partition("..")
    if not dots:
        raise ValueError(f"A filter of `where` is METRIC:FROM..TO, not {quoted(part)}.")
    return Between(_known(metric, METRICS, "where"), _end(low, part), _end(high, part))


def _end(number: str, part: str) -> float | None:
    if not number:
        return None
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"{quoted(number)} in {quoted(part)} is no number.")
    return value


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _known(name: str, known: tuple[str, ...], where: str) -> str:
    if name not in known:
        raise ValueError(f"`{where}` knows {', '.join(known)}; not {quoted(name)}.")
    return name
