"""Pictures of every kind: the same colours as another way to read them, or refused by name."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from feature_atlas.etl.inputs import pictures
from feature_atlas.etl.inputs.pictures import open_image, require_pictures, upright_size
from feature_atlas.etl.inputs.samples import Sample

WIDTH, HEIGHT = 16, 12


def colours(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(open_image(path)).astype(int)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
    grey[0, :2] = 0, 65535
    for ending in ("png", "tif"):
        Image.fromarray(grey).save(tmp_path / f"deep.{ending}")

        found = pixels(tmp_path / f"deep.{ending}")

        assert found[0, :2].tolist() == [[0] * 3, [255] * 3]
        np.testing.assert_array_equal(found, np.round(grey[..., None] / 65535 * 255).repeat(3, 2))


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    shown, alpha = colours(), np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 1))
    Image.fromarray(np.concatenate([shown, alpha.astype(np.uint8)], 2)).save(tmp_path / "a.png")
    share = alpha / 255

    expected = shown * share + 255 * (1 - share)

    np.testing.assert_allclose(pixels(tmp_path / "a.png"), expected, atol=1)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_colour_that_stands_for_transparent_is_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).convert(mode)
    picture.putpixel((3, 2), picture.getpixel((0, 0)) if mode == "P" else _other(mode))
    ground = picture.getpixel((0, 0))
    picture.save(tmp_path / "a.png", transparency=ground)

    assert pixels(tmp_path / "a.png")[0, 0].tolist() == [255] * 3
    assert mode == "P" or pixels(tmp_path / "a.png")[2, 3].tolist() == [50] * 3


def _other(mode: str) -> int | tuple[int, int, int]:
    return 50 if mode == "L" else (50, 50, 50)


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("1", "png"), ("L", "png"), ("P", "gif"), ("P", "png"), ("CMYK", "jpg"), ("CMYK", "tif"),
     ("YCbCr", "jpg"), ("RGB", "webp"), ("LA", "png"), ("RGBA", "png")],
)  # fmt: skip
def test_other_modes_keep_their_colours(tmp_path: Path, mode: str, ending: str) -> None:
    smooth = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    smooth = Image.merge("RGB", (smooth, smooth.rotate(180), smooth.rotate(90)))
    before = smooth.convert(mode)
    before.save(tmp_path / f"a.{ending}", **({} if ending == "png" else {"quality": 95}))

    difference = np.abs(pixels(tmp_path / f"a.{ending}") - np.asarray(before.convert("RGB")))

    assert difference.mean() < 8
    assert upright_size(tmp_path / f"a.{ending}") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 300])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_rotated_pictures_are_turned_as_pillow_does(
    tmp_path: Path, orientation: int, ending: str
) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    Image.fromarray(colours(orientation)).save(tmp_path / f"a.{ending}", exif=exif)

    with Image.open(tmp_path / f"a.{ending}") as stored:
        expected = ImageOps.exif_transpose(stored)

    np.testing.assert_array_equal(pixels(tmp_path / f"a.{ending}"), np.asarray(expected))
    assert upright_size(tmp_path / f"a.{ending}") == expected.size


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_data_of_any_bytes_is_read_or_refused_by_name(tmp_path: Path) -> None:
    dice, n_read = random.Random(4), 0
    for number in range(60):
        exif = b"Exif\0\0" + dice.choice([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""])
        file = tmp_path / f"{number}.jpg"
        Image.fromarray(colours()).save(file, exif=exif + dice.randbytes(dice.randrange(60)))
        for read in (open_image, upright_size):
            try:
                read(file)
                n_read += 1
            except ValueError as error:
                assert str(file) in str(error)  # noqa: PT017
    assert n_read > 60


def huge(width: int, height: int) -> bytes:
    """A PNG that says it is large."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def film(file: Path) -> None:
    frames = [Image.fromarray(colours(seed)) for seed in range(3)]
    frames[0].save(file, save_all=True, append_images=frames[1:])


REFUSED = {
    "a.gif": (film, "it is a film or has several pages"),
    "a.webp": (film, "it is a film or has several pages"),
    "pages.tif": (film, "it is a film or has several pages"),
    "huge.png": (lambda f: f.write_bytes(huge(20_000, 10_000)), r"200000000 pixels"),
    "integer.tif": (
        lambda f: Image.fromarray(colours()[..., 0] * np.int32(1)).save(f),
        "mode is I",
    ),
    "float.tif": (lambda f: Image.fromarray(colours()[..., 0] / np.float32(255)).save(f), "is F"),
    "lab.tif": (lambda f: Image.new("LAB", (WIDTH, HEIGHT)).save(f), "mode is LAB"),
    "low.png": (lambda f: Image.new("RGB", (40, 3)).save(f), "40 x 3 pixels, too low"),
    "none.jpg": (lambda f: f.write_bytes(b"not a picture"), "cannot identify"),
    "empty.jpg": (lambda f: f.write_bytes(b""), "cannot identify"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_one_picture_is_refused_before_a_run(tmp_path: Path, name: str) -> None:
    write, said = REFUSED[name]
    write(tmp_path / name)
    sample = Sample("vsr-test", "test:8", tmp_path / name, "Is it?", "yes")

    with pytest.raises(ValueError, match=said) as refused:
        require_pictures([sample])

    assert str(tmp_path / name) in str(refused.value)
    assert "of vsr-test entry test:8" in str(refused.value)
    with pytest.raises(ValueError, match=said):
        open_image(tmp_path / name)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp"])
def test_a_picture_cut_short_is_named_when_it_is_used(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"cut.{ending}"
    Image.fromarray(colours()).save(file)
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])

    with pytest.raises(ValueError, match=rf"cut\.{ending} is not a readable image"):
        open_image(file)


def test_a_phones_picture_with_a_preview_is_its_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])

    assert pixels(tmp_path / "a.mpo")[5, 5].tolist() == pytest.approx([255, 0, 0], abs=3)


def test_pictures_are_looked_at_once_and_without_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.jpg")
    samples = [Sample("d", str(n), tmp_path / "a.jpg", "Is it?", "yes") for n in range(5)]
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    monkeypatch.setattr(pictures, "MANY", 1)

    assert require_pictures(samples) == {tmp_path / "a.jpg": (WIDTH, HEIGHT)}
