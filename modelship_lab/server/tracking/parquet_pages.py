"""How large the pages of a Parquet file are, as their own headers say, which is what readers make room for.

The footer tells it, too, but nothing holds it to that: a file of a few kilobytes can have a small footer and
pages that become gigabytes. Nothing is unpacked here. The headers are structs of Thrift's compact protocol:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import mmap
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MAX_PAGES = 100_000
"""Of one row group."""

_LONGEST_HEADER = 1 << 20
_MAX_DEPTH = 8
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
_CONTENTS = (5, 7, 8)
"""Where a header tells of the values of a data page, of a dictionary, of a data page of version 2."""

Header = dict[int, Any]


def weight(path: Path, group: pq.RowGroupMetaData) -> tuple[int, int]:
    """What the pages of a row group become: bytes, and values beyond one for each row and column.

    Raises:
        ValueError: they are damaged, or too many.
    """
    size = repeated = pages = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for index in range(group.num_columns):
            column = group.column(index)
            at = column.data_page_offset
            if column.dictionary_page_offset:
                at = min(at, column.dictionary_page_offset)
            end = at + column.total_compressed_size
            values = 0
            while at < end:
                pages += 1
                if pages > MAX_PAGES:
                    raise ValueError("too many pages")
                unpacked, count, at = _page(data, at)
                size += unpacked
                values += count
            repeated += max(values - group.num_rows, 0)
    return size, repeated


def _page(data: mmap.mmap, at: int) -> tuple[int, int, int]:
    """What the page at this place becomes, in bytes and in values, and where it ends."""
    try:
        header, end = _struct(data[at : at + _LONGEST_HEADER] if at >= 0 else b"", 0, 0)
        packed, unpacked = header[_PACKED_SIZE], header[_UNPACKED_SIZE]
        values = sum(header[field].get(1, 0) for field in _CONTENTS if field in header)
        if min(packed, unpacked, values) < 0:
            raise ValueError("a page of less than nothing")
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("a page without a header") from error
    return unpacked, values, at + end + packed


def _struct(data: bytes, at: int, depth: int) -> tuple[Header, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    found: Header = {}
    number = 0
    while True:
        first, at = data[at], at + 1
        if first == 0:
            return found, at
        if first >> 4:
            number += first >> 4
        else:
            number, at = _integer(data, at)
        # Readers keep 16 bits of it.
        number = (number + 0x8000) % 0x10000 - 0x8000
        value, at = _value(data, at, first & 15, depth)
        if value is not None:
            found[number] = value


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """A number of 32 bits or a struct, and where it ends; None for everything else, as readers pass it over."""
    match kind:
        case 1 | 2:
            return None, at
        case 3:
            return None, at + 1
        case 4 | 6:
            return None, _number(data, at)[1]
        case 5:
            return _integer(data, at)
        case 7:
            return None, at + 8
        case 8:
            length, at = _number(data, at)
            return None, at + length
        case 9 | 10:
            return _list(data, at, depth)
        case 12:
            return _struct(data, at, depth + 1)
    raise ValueError("no header of a page has this")


def _list(data: bytes, at: int, depth: int) -> tuple[None, int]:
    first, at = data[at], at + 1
    count, kind = first >> 4, first & 15
    if count == 15:
        count, at = _number(data, at)
    if kind in (1, 2):
        return None, at + count
    for _ in range(count):
        _, at = _value(data, at, kind, depth + 1)
    return None, at


def _number(data: bytes, at: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        byte, at = data[at], at + 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
    raise ValueError("a number of more than 64 bits")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    found, at = _number(data, at)
    found &= 0xFFFFFFFF
    return found >> 1 ^ -(found & 1), at
