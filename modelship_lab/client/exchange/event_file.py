"""The records of a TensorBoard event file, each checked by its CRC.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these, the data, and the
masked CRC-32C of the data. The checksums of many records are computed side by side, the same byte
of all of them in each turn: as fast as a library in C, and none is needed.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

OnDamage = Callable[[int, str], None]
"""Hears the offset in the file, and what is wrong there."""

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Offsets = NDArray[np.int64]

_HEADER = 12
_CRC = 4
_MASK_DELTA = np.uint32(0xA282EAD8)
_POLYNOMIAL = 0x82F63B78
_LANE = 1024
"""Longer records are computed in pieces of so many bytes."""
_AT_ONCE = 1 << 21
"""Bytes that are computed together."""
_SEARCHED = 1 << 20


def records(content: Any, on_damage: OnDamage) -> Iterator[memoryview]:
    """The intact records of an event file in their order; what is damaged is told and passed over.

    Args:
        content: bytes, or a memory map.
    """
    data: Bytes = np.frombuffer(content, dtype=np.uint8)
    view = memoryview(content)
    position: int | None = 0
    while position is not None:
        begins, position = _walk(data, position, on_damage)
        ends = begins + _HEADER + _lengths(data, begins)
        intact = _crcs(data, begins + _HEADER, ends) == _stored_crcs(data, ends)
        for begin, end, good in zip(begins.tolist(), ends.tolist(), intact.tolist(), strict=True):
            if good:
                yield view[begin + _HEADER : end]
            else:
                on_damage(begin, f"the checksum of a record of {end - begin - _HEADER:,} bytes is wrong")


def _walk(data: Bytes, position: int, on_damage: OnDamage) -> tuple[Offsets, int | None]:
    """Offsets of records one behind the other, and where to go on if the file is damaged behind them."""
    size = len(data)
    begins = []
    lengths = data.data.cast("B")
    while position + _HEADER <= size:
        begins.append(position)
        position += _HEADER + int.from_bytes(lengths[position : position + 8], "little") + _CRC
    found = np.array(begins, dtype=np.int64)
    headers = _crcs(data, found, found + 8) == _stored_crcs(data, found + 8)
    if not headers.all():
        first = int(np.argmin(headers))
        begin = begins[first]
        following = _next_header(data, begin + 1)
        told = "and no other follows" if following is None else f"the next one is at byte {following:,}"
        on_damage(begin, f"the length of a record is damaged; {told}")
        return found[:first], following
    if position > size:
        on_damage(begins[-1], "the file ends in the middle of a record")
        return found[:-1], None
    if position < size:
        on_damage(position, "the file ends in the middle of a record's length")
    return found, None


def _next_header(data: Bytes, position: int) -> int | None:
    """The next offset at which a length and its CRC agree."""
    while position + _HEADER <= len(data):
        tried = np.arange(position, min(position + _SEARCHED, len(data) - _HEADER + 1), dtype=np.int64)
        fits = _crcs(data, tried, tried + 8) == _stored_crcs(data, tried + 8)
        # Zeros are a length of zero, whose CRC is not zero: they do not pass for a record.
        if fits.any():
            return int(tried[np.argmax(fits)])
        position += len(tried)
    return None


def _lengths(data: Bytes, begins: Offsets) -> Offsets:
    return data[begins[:, None] + np.arange(8)].view(np.int64)[:, 0] if len(begins) else begins


def _stored_crcs(data: Bytes, begins: Offsets) -> Words:
    """The checksums that are written at these offsets, without their mask."""
    if not len(begins):
        return np.zeros(0, dtype=np.uint32)
    masked = data[begins[:, None] + np.arange(_CRC)].view(np.uint32)[:, 0] - _MASK_DELTA
    unmasked: Words = (masked >> np.uint32(17)) | (masked << np.uint32(15))
    return unmasked


def _crcs(data: Bytes, begins: Offsets, ends: Offsets) -> Words:
    """CRC-32C of each of these pieces."""
    crcs = np.zeros(len(begins), dtype=np.uint32)
    lengths = ends - begins
    # Pieces of similar length together: shorter ones are filled up with zeros in front.
    widths = np.where(lengths <= 8, 8, -(-lengths // 16) * 16)
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        if width > _LANE:
            for one in chosen.tolist():
                crcs[one] = _long_crc(data[begins[one] : ends[one]])
            continue
        for start in range(0, len(chosen), _AT_ONCE // width):
            some = chosen[start : start + _AT_ONCE // width]
            firsts = width - lengths[some]
            crcs[some] = _crc_of_rows(_inverted(_rows(data, ends[some], width, firsts), firsts))
    return ~crcs


def _rows(data: Bytes, ends: Offsets, width: int, firsts: Offsets) -> Bytes:
    """The `width` bytes before each end, with zeros before the column `firsts`."""
    if ends[0] < width:
        # At the very beginning of a file there is nothing to take for the zeros.
        data, ends = np.concatenate([np.zeros(width, dtype=np.uint8), data[: ends[-1]]]), ends + width
    rows: Bytes = np.lib.stride_tricks.sliding_window_view(data, width)[ends - width]
    rows[np.arange(width, dtype=np.int16) < firsts.astype(np.int16)[:, None]] = 0
    return rows


def _inverted(rows: Bytes, firsts: Offsets) -> Bytes:
    """Start from all ones is the same as to invert the first four bytes and to start from zero.

    Zeros in front then change nothing.
    """
    width = rows.shape[1]
    at = firsts[:, None] + np.arange(4)
    row, column = np.nonzero(at < width)
    rows[row, at[row, column]] ^= np.uint8(255)
    return rows


def _crc_of_rows(rows: Bytes) -> Words:
    table = _table()
    crc = np.zeros(len(rows), dtype=np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = table[crc.astype(np.uint8) ^ column] ^ (crc >> np.uint32(8))
    return crc


def _long_crc(piece: Bytes) -> int:
    """Lanes side by side, put together by what `_LANE` zeros behind it make of a checksum."""
    filled = np.zeros(-(-len(piece) // _LANE) * _LANE, dtype=np.uint8)
    filled[-len(piece) :] = piece
    filled[len(filled) - len(piece) :][:4] ^= 255
    behind = _behind_a_lane()
    crc = 0
    for lane in _crc_of_rows(filled.reshape(-1, _LANE)).tolist():
        crc = (
            behind[0][crc & 255]
            ^ behind[1][crc >> 8 & 255]
            ^ behind[2][crc >> 16 & 255]
            ^ behind[3][crc >> 24]
            ^ lane
        )
    return crc


@cache
def _table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


@cache
def _behind_a_lane() -> list[list[int]]:
    """For each byte of a checksum, what `_LANE` zeros make of it."""
    table = _table()
    crcs = np.concatenate([np.arange(256, dtype=np.uint32) << np.uint32(8 * byte) for byte in range(4)])
    for _ in range(_LANE):
        crcs = table[crcs.astype(np.uint8)] ^ (crcs >> np.uint32(8))
    tables: list[list[int]] = crcs.reshape(4, 256).tolist()
    return tables
