"""A picture from outside: bytes that may be anything, made into pixels within limits.

Nothing is opened by name. A few bytes can ask for gigabytes of pixels, and a picture that is a long
line becomes one when a processor brings its short side to a size, so both are looked at in the
first bytes, before anything is decoded.
"""

from io import BytesIO

from PIL import Image

from feature_atlas.etl.inputs.pictures import upright
from feature_atlas.etl.own_prompt.refused import RefusedError

MAX_BYTES = 20 * 10**6
MAX_PIXELS = 25 * 10**6
"""As large telephones and cameras make."""
MAX_STRETCH = 16
"""Times that the long side may be as long as the short one."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def uploaded_picture(content: bytes) -> Image.Image:
    """The picture upright and in RGB, or why not."""
    if not content:
        raise RefusedError(400, "no picture came: send its bytes, or ?sha256= of one of the run's.")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _require_within_limits(*image.size)
            return upright(image)
    except RefusedError:
        raise
    except Image.DecompressionBombError as error:
        raise RefusedError(413, f"the picture is too large: {error}") from error
    except Exception as error:  # decoders raise whatever a broken byte leads to
        said = str(error).split(" <_io.")[0] or type(error).__name__
        raise RefusedError(
            415, f"the upload is no readable picture ({said}): send one JPEG, PNG, WebP or GIF."
        ) from error


def _require_within_limits(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise RefusedError(
            413,
            f"the picture is {width} x {height} pixels, expected at most {MAX_PIXELS:,} in all: "
            "send a smaller copy.",
        )
    if max(width, height) > MAX_STRETCH * min(width, height):
        raise RefusedError(
            413,
            f"the picture is {width} x {height} pixels, expected one side at most {MAX_STRETCH} "
            "times as long as the other: cut it.",
        )
