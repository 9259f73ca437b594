"""Arrow IPC streams: those that clients fetch, and those that they send.

The latter are read only when they are about as large as what was sent. A few hundred bytes can say to be a thousand million rows: with compressed buffers, columns that are
nothing but null, and values that are named by many rows.
"""

import os
import struct
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

MAX_UNPACKED = 256 << 20
"""Bytes of a compressed stream when it is unpacked, and of what rows name in dictionaries."""

MIN_ROW_BYTES = 8
"""A row of any use has more."""


def write_stream(
    folder: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch | pa.Table],
    compression: str | None = None,
) -> Path:
    """Write a stream batch by batch to a new file in a folder, which is the caller's to remove.

    A file, because then neither the memory nor a transaction is held while somebody takes their time to fetch it.
    """
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            options = pa.ipc.IpcWriteOptions(compression=compression)
            with pa.ipc.new_stream(file, schema, options=options) as stream:
                for batch in batches:
                    stream.write(batch)
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def read_stream(body: bytes, names: Sequence[str], optional: Collection[str] = ()) -> pa.Table:
    """Columns of a stream, found to be what they say.

    Args:
        names: of the columns.
        optional: which of them may be left out.

    Raises:
        pa.ArrowException: it is none, is damaged, has columns of other types than numbers, times and
            texts, or would become much larger than it is.
        KeyError: a column is missing or there twice.
    """
    found = list(weights(body))
    rows, size = sum(one for one, _ in found), sum(one for _, one in found)
    if size > MAX_UNPACKED or rows * MIN_ROW_BYTES > max(size, len(body)):
        raise pa.ArrowInvalid("it says to be much larger than it is")
    table = pa.ipc.open_stream(body).read_all()
    table = table.select([name for name in names if name not in optional or name in table.column_names])
    for column in table.columns:
        _require_plain(column)
    # Nothing else finds offsets that point out of a buffer, or texts that are not UTF-8.
    table.validate(full=True)
    return table


def weights(source: bytes | pa.NativeFile) -> Iterator[tuple[int, int]]:
    """For each record batch and dictionary of a stream its rows, and the bytes that it is unpacked to.

    Nothing is unpacked for that.

    Raises:
        pa.ArrowException: it is no stream, or it is damaged.
    """
    for message in pa.ipc.MessageReader.open_stream(source):
        if message.type != "schema":
            try:
                yield _weight(message)
            except (struct.error, IndexError):
                raise pa.ArrowInvalid("a message is damaged") from None


def _weight(message: pa.ipc.Message) -> tuple[int, int]:
    """The rows of a record batch or dictionary, and the bytes that its compressed buffers become.

    PyArrow tells neither before it has unpacked all of it, so this reads the message's flatbuffer:
    https://github.com/apache/arrow/blob/main/format/Message.fbs
    """
    metadata, body = message.metadata, message.body

    def number(form: str, position: int) -> int:
        found: int = struct.unpack_from(form, metadata, position)[0]
        return found

    def field(table: int, index: int) -> int:
        """Where a field of a table is; 0: it is not there."""
        vtable, place = table - number("<i", table), 4 + 2 * index
        offset = number("<H", vtable + place) if place < number("<H", vtable) else 0
        return table + offset if offset else 0

    def target(position: int) -> int:
        return position + number("<I", position)

    root = target(0)
    if message.metadata_version != pa.ipc.MetadataVersion.V5 and field(root, 4):
        raise pa.ArrowInvalid("an old way to compress is not read")
    batch = target(field(root, 2))
    is_dictionary = message.type == "dictionary"
    if is_dictionary:
        batch = target(field(batch, 1))
    length, buffers, compression = (field(batch, index) for index in (0, 2, 3))
    unpacked = 0
    if compression and buffers:
        first = target(buffers)
        for place in range(first + 4, first + 4 + 16 * number("<I", first), 16):
            if number("<q", place + 8):
                unpacked += max(struct.unpack_from("<q", body, number("<q", place))[0], 0)
    return 0 if is_dictionary or not length else number("<q", length), unpacked


def _require_plain(column: pa.ChunkedArray) -> None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        named = sum(
            len(chunk) * (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0)
            for chunk in column.chunks
            if pa.types.is_string(kind) or pa.types.is_large_string(kind)
        )
        if named > MAX_UNPACKED:
            raise pa.ArrowInvalid("its rows name texts that are too long")
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (pa.types.is_primitive(kind) or pa.types.is_null(kind) or texts):
        raise pa.ArrowInvalid(f"{kind} is no type of numbers, times or texts")
