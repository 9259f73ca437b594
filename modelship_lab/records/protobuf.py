"""Fields of a protobuf message as they lie on the wire, without its description."""

import struct
from collections.abc import Iterator

_FIXED_64 = struct.Struct("<Q")
_FIXED_32 = struct.Struct("<I")

Value = int | memoryview
"""A number as it is stored, or the bytes of a text, message or packed list."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The number and value of each field.

    Raises:
        ValueError: it is not a message.
    """
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        kind = key & 7
        value: Value
        if kind == 0:
            value, position = varint(message, position)
        elif kind in (1, 5):
            layout = _FIXED_64 if kind == 1 else _FIXED_32
            if position + layout.size > len(message):
                raise ValueError("a number is cut off")
            (value,) = layout.unpack_from(message, position)
            position += layout.size
        elif kind == 2:
            length, position = varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is cut off")
            value = message[position : position + length]
            position += length
        else:
            raise ValueError(f"there is no field of kind {kind}")
        yield key >> 3, value


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, and the position behind it.

    Raises:
        ValueError: the message ends before it.
    """
    number = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ValueError("a number is cut off")
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
    raise ValueError("a number is too long")


def signed(number: int) -> int:
    """A 64-bit number with its sign."""
    return number - (1 << 64) if number >= 1 << 63 else number


def float64(bits: int) -> float:
    """The double of these bits."""
    value: float = struct.unpack("<d", _FIXED_64.pack(bits))[0]
    return value


def float32(bits: int) -> float:
    """The float of these bits."""
    value: float = struct.unpack("<f", _FIXED_32.pack(bits))[0]
    return value
