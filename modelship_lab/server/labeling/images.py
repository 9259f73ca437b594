"""Encoded images: checked before they are stored, and shown as what they are."""

import io
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image

from modelship_lab.bundles.preprocessing import decode_image
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidInput

_SMALL = ImageScaling(width=8, height=8, channels=3)

_ON_ITS_SIDE = 5

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}


class CheckedImage(NamedTuple):
    """An encoded image that can be decoded, with its size as it is shown, in pixels."""

    data: bytes
    width: int
    height: int


def checked_image(value: Any) -> CheckedImage:
    """The encoded image in a cell: bytes, or a mapping with `bytes` as Hugging Face writes them.

    It is decoded as training and serving will do it: what is stored can be learned from.

    Raises:
        InvalidInput: there is none, it is damaged, or it has too many pixels.
    """
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None or value == b"":
        raise InvalidInput("the image is missing")
    if not isinstance(value, bytes):
        raise InvalidInput(f"the bytes of an encoded image are expected, not {type(value).__name__}")
    decode_image(_SMALL, value)
    return CheckedImage(value, *image_size(value))


def image_size(data: bytes | Path) -> tuple[int, int]:
    """Width and height of an encoded image as it is shown, in pixels.

    Raises:
        InvalidInput: it is no image.
    """
    try:
        with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as image:
            width, height = image.size
            # From this on it lies on its side, see `ImageOps.exif_transpose`.
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= _ON_ITS_SIDE
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidInput("it is not an image that can be read") from None
    return (height, width) if turned else (width, height)


def content_type(path: Path) -> str | None:
    """The type of an image file by its first bytes; None if it is none that browsers show."""
    with path.open("rb") as file:
        start = file.read(16)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
