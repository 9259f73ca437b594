"""Parquet and Arrow IPC files, batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modelship_lab.records.errors import InvalidData
from modelship_lab.server.labeling.formats.outgoing import FILE_NAME, LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import BATCH_BYTES, NO_ROLES, Batch, Problems
from modelship_lab.server.storage.arrow_streams import weights

BATCH_ROWS = 1000
"""Fewer than of text files: a row may be an image."""


MAX_ROWS = 100_000_000
"""Imports wait for each other, and a file of a few bytes can say to have any number of rows."""

MAX_UNPACKED = 4 << 30
"""Bytes of one compressed record batch when it is unpacked, which it is as a whole."""

PIECE_BYTES = 32 << 20
"""Images that are written at once."""

_MAGIC = b"ARROW1"


class ParquetReader:
    """A Parquet file.

    Raises:
        InvalidData: it is not one, or it is damaged.
    """

    untyped = False
    roles = NO_ROLES

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, buffer_size=1 << 20)
        except (pa.ArrowException, OSError) as error:
            raise _damaged("Parquet", error) from None
        _require_rows(self._file.metadata.num_rows)
        self.columns = list(self._file.schema_arrow.names)

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        groups = (self._file.metadata.row_group(number) for number in range(self._file.num_row_groups))
        heaviest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
        return _numbered("Parquet", self._file.iter_batches(_rows(heaviest), columns=list(wanted)), wanted)


class ArrowReader:
    """An Arrow IPC file or stream.

    Raises:
        InvalidData: it is neither, or it is damaged.
    """

    untyped = False
    roles = NO_ROLES

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with pa.memory_map(str(path)) as source:
                self.columns = list(self._open(source).schema.names)
                # A file is a stream between two marks.
                source.seek(8 if source.read_at(6, 0) == _MAGIC else 0)
                rows = 0
                for of_batch, unpacked in weights(source):
                    rows += of_batch
                    _require_rows(rows)
                    if unpacked > MAX_UNPACKED:
                        raise InvalidData(
                            f"A record batch of the file unpacks to more than {MAX_UNPACKED >> 30} GiB: "
                            "write it in smaller ones."
                        )
        except (pa.ArrowException, OSError) as error:
            raise _damaged("Arrow", error) from None

    def _open(
        self, source: pa.MemoryMappedFile
    ) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
        is_file = source.read_at(6, 0) == _MAGIC
        return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        with pa.memory_map(str(self._path)) as source:
            yield from _numbered("Arrow", self._checked(source), wanted)

    def _checked(self, source: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
        reader = self._open(source)
        whole = (
            reader
            if isinstance(reader, pa.ipc.RecordBatchStreamReader)
            else (reader.get_batch(number) for number in range(reader.num_record_batches))
        )
        for batch in whole:
            # Lengths and offsets of a hostile file must not lead outside of it.
            batch.validate(full=True)
            yield batch


class TableWriter:
    """A Parquet file, or an Arrow IPC file; images stand in the column `image` as they are encoded."""

    def __init__(self, path: Path, outgoing: Outgoing, *, parquet: bool) -> None:
        self._outgoing = outgoing
        self._schema = outgoing.schema
        if outgoing.content == "image":
            self._schema = self._schema.set(
                self._schema.get_field_index(FILE_NAME), pa.field("image", pa.binary())
            )
        self._writer = (
            pq.ParquetWriter(path, self._schema, compression="zstd")
            if parquet
            else pa.ipc.new_file(str(path), self._schema)
        )

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for some in in_pieces(samples, self._outgoing):
            rows = [self._outgoing.row(sample) for sample, _ in some]
            columns = [
                pa.array(
                    [image for _, image in some]
                    if field.name == "image" and self._outgoing.content == "image"
                    else [row[field.name] for row in rows],
                    field.type,
                )
                for field in self._schema
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def write_table(self, samples: pa.Table) -> None:
        """`write` for a table with the columns of `Outgoing.schema`."""
        self._writer.write_table(samples)

    def close(self) -> None:
        self._writer.close()


def in_pieces(
    samples: Sequence[LabeledSample], outgoing: Outgoing
) -> Iterator[list[tuple[LabeledSample, bytes | None]]]:
    """Samples with their images, as many at a time as memory should hold."""
    if outgoing.content != "image":
        yield [(sample, None) for sample in samples]
        return
    piece: list[tuple[LabeledSample, bytes | None]] = []
    size = 0
    for sample in samples:
        data = outgoing.image(sample.image or "")
        piece.append((sample, data))
        size += len(data)
        if size > PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _numbered(kind: str, batches: Iterator[pa.RecordBatch], wanted: Sequence[str]) -> Iterator[Batch]:
    read = 0
    try:
        for batch in _in_slices(batches):
            rows = list(range(read + 1, read + batch.num_rows + 1))
            read += batch.num_rows
            yield Batch(rows, {name: batch.column(name).to_pylist() for name in wanted}, read)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(kind, error) from None


def _in_slices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches that Python can hold: what a file packs well may be large."""
    for batch in batches:
        rows = _rows(batch.nbytes // max(batch.num_rows, 1))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _rows(row_bytes: int) -> int:
    """How many rows of so many bytes are read at once."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)))


def _require_rows(rows: int) -> None:
    if rows > MAX_ROWS:
        raise InvalidData(f"The file has more than {MAX_ROWS} rows: import it in parts.")


def _damaged(kind: str, error: Exception) -> InvalidData:
    # Only the first line and none of the path that it may name.
    reason = str(error).splitlines()[0][:200].split("'")[0].strip() if str(error) else type(error).__name__
    return InvalidData(f"The file is not {kind}, or it is damaged: {reason}")
