"""Pictures as the model gets them: upright, in RGB, 8 bits a channel; or refused by name.

What cannot be shown in RGB in one way only (a film, numbers without a known white) is refused.
Most of it stands in a file's first bytes, so every picture is looked at before a run begins.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.progress import track

from feature_atlas.etl.inputs.samples import Sample

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an EXIF orientation; another number, or none, is upright."""
ORIENTATION = 0x0112
KNOWN = {
    *("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"),
    *("I;16", "I;16L", "I;16B", "I;16N"),
}
"""Modes of Pillow that become RGB in one way only."""
LEAST_HEIGHT = 4
"""Of 1 or 3 rows processors take the rows for colour channels."""
MANY = 2000
"""Pictures whose check takes long enough to be shown."""


class Size(NamedTuple):
    """Of an upright picture, in pixels."""

    width: int
    height: int


def open_image(path: Path) -> Image.Image:
    """The picture upright and in RGB, or an error that names the file.

    Upright: cameras store a rotation in the EXIF data, and no processor heeds it. What is
    transparent is white.
    """
    _require_file(path)
    try:
        with Image.open(path) as image:
            return upright(image)
    except Exception as error:  # decoders raise whatever a broken byte leads to
        raise _refuse(path, error) from error


def upright(image: Image.Image) -> Image.Image:
    """An opened picture, turned as its camera says and in RGB; whatever a decoder raises."""
    _require_plain(image)
    image.load()
    turn = TURNED.get(image.getexif().get(ORIENTATION, 1))
    return _in_rgb(image if turn is None else image.transpose(turn))


def upright_size(path: Path) -> Size:
    """Of a picture's first bytes alone; an error that names the file where it cannot be used."""
    _require_file(path)
    facts = path.stat()
    return _upright_size(path, facts.st_size, facts.st_mtime_ns)


def require_pictures(samples: Sequence[Sample]) -> dict[Path, Size]:
    """Look at every picture's first bytes, so that none stops the run when work has begun."""
    by_picture = {sample.image: sample for sample in reversed(samples)}
    found: dict[Path, Size] = {}
    for picture in _shown(by_picture):
        try:
            found[picture] = upright_size(picture)
        except (FileNotFoundError, ValueError) as error:
            sample = by_picture[picture]
            where = f"{sample.dataset} entry {sample.external_id}"
            raise type(error)(f"{error} It is the picture of {where}.") from None
    return found


def _shown(pictures: dict[Path, Sample]) -> Iterable[Path]:
    """With a bar where there are many."""
    return track(pictures, "looking at pictures") if len(pictures) >= MANY else pictures


@lru_cache(maxsize=200_000)
def _upright_size(path: Path, _size: int, _time: int) -> Size:
    """Read once per process while size and time stay the same."""
    try:
        with Image.open(path) as image:
            _require_plain(image)
            size = Size(*image.size)
            # a PNG may keep it behind its pixels, which Pillow would read for it
            exif = {} if image.format == "PNG" and "exif" not in image.info else image.getexif()
            return Size(*reversed(size)) if exif.get(ORIENTATION) in (5, 6, 7, 8) else size
    except Exception as error:
        raise _refuse(path, error) from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"missing image {path}: expected it beside the dataset's files; download the images "
            "or remove the entries that refer to it."
        )


def _require_plain(image: Image.Image) -> None:
    if image.mode not in KNOWN:
        raise ValueError(f"its mode is {image.mode}, in which no number is known to be white")
    # a JPEG of several pictures shows the first; the others are previews
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise ValueError("it is a film or has several pages, and a question is about one picture")
    if image.height < LEAST_HEIGHT:
        raise ValueError(f"it is {image.width} x {image.height} pixels, too low for a processor")


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        grey = np.round(np.asarray(image, dtype=np.float64) / 257)  # 65535 is white
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        return Image.alpha_composite(white, shown).convert("RGB")
    return image.convert("RGB")


def _refuse(path: Path, error: Exception) -> ValueError:
    said = str(error) or type(error).__name__
    return ValueError(
        f"{path} is not a readable image ({said}): replace the file by one picture of 8 bits a "
        "channel, or remove the entries that refer to it."
    )
