"""Parquet files that are not what they say."""

import struct
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelship_lab.records.errors import InvalidData
from modelship_lab.server.tracking import parquet_rows

ROWS = 500_000
TABLE = pa.table({"zero": [0] * ROWS, "none": pa.array([None] * ROWS, pa.list_(pa.int64()))})


def number(value, length=0):
    """A number in Thrift's compact protocol, made longer by nothing where `length` bytes are wanted."""
    value <<= 1
    found = []
    while value or len(found) < max(length, 1):
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found[:-1], found[-1] & 127])


@pytest.fixture
def lying(tmp_path):
    """Four megabytes that say to be a hundred bytes."""
    path = tmp_path / "lying.parquet"
    pq.write_table(TABLE, path, compression="zstd", use_dictionary=False, row_group_size=ROWS)
    group = pq.ParquetFile(path).metadata.row_group(0)
    content = path.read_bytes()
    (length,) = struct.unpack("<I", content[-8:-4])
    footer = content[-8 - length : -8]
    for size in (group.total_byte_size, *(group.column(at).total_uncompressed_size for at in range(2))):
        said = number(size)
        assert said in footer
        footer = footer.replace(said, number(100, len(said)))
    path.write_bytes(content[: -8 - length] + footer + content[-8:])
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size == 100
    return path


def test_what_pages_become_counts_and_not_what_the_footer_says(lying, monkeypatch):
    assert parquet_rows.parquet_rows(lying, 1, ROWS - 1).rows == ((0, None),)
    monkeypatch.setattr(parquet_rows, "MAX_GROUP_BYTES", 3_000_000)
    with pytest.raises(InvalidData, match="too large"):
        parquet_rows.parquet_rows(lying, 1, 0)


@pytest.mark.parametrize("position", range(4, 40))
def test_pages_that_are_damaged_are_no_rows(lying, position):
    content = bytearray(lying.read_bytes())
    content[position] ^= 255
    lying.write_bytes(content)
    with suppress(InvalidData):
        assert len(parquet_rows.parquet_rows(lying, 1, 0).rows) <= 1


def test_values_in_lists_count(tmp_path, monkeypatch):
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"list": [[0] * 1000, [1]]}), path, compression="zstd")
    assert parquet_rows.parquet_rows(path, 2, 1).rows == (("[1]",),)
    monkeypatch.setattr(parquet_rows, "MAX_GROUP_VALUES", 900)
    with pytest.raises(InvalidData, match="too large"):
        parquet_rows.parquet_rows(path, 2, 1)
