"""Encoded images: checked before they are stored, and shown as what they are."""

from pathlib import Path
from typing import Any

from modelship_lab.bundles.preprocessing import decode_image
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidInput

_SMALL = ImageScaling(width=8, height=8, channels=3)

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}


def image_bytes(value: Any) -> bytes:
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
    return value


def content_type(path: Path) -> str | None:
    """The type of an image file by its first bytes; None if it is none that browsers show."""
    with path.open("rb") as file:
        start = file.read(16)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
