"""Importing a file, frame or folder into a project, with its progress."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypedDict, get_args

from modelship_lab.client import packing
from modelship_lab.client.checked import checked
from modelship_lab.client.connection import Connection
from modelship_lab.records.errors import InvalidData, InvalidInput, Unavailable
from modelship_lab.records.labeling import (
    PART_SIZE,
    Existing,
    Import,
    ImportFormat,
    ImportOptions,
    Match,
    NewPartialUpload,
    PartialUpload,
)

_CHUNK = 1 << 20
_UPLOAD_TIMEOUT_S = 600.0
_UPLOADS = 5
"""So often a file is sent whose upload breaks off, unless it goes in parts."""
_PATIENCE_S = 120.0
"""How long a part waits for a server that is away."""

FORMATS: dict[str, ImportFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
    ".zip": "zip",
}
"""The format of a file by its suffix."""


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is: first bytes are sent, then the server reads rows. An export goes the other way."""

    bytes_sent: int
    bytes_total: int
    rows_read: int


OnProgress = Callable[[ImportProgress], None]


class ImportColumns(TypedDict, total=False):
    """Which columns of a table hold what."""

    text: str | None
    """The text of a text project."""
    image: str | None
    """The encoded images of an image project."""
    features: Sequence[str] | str | None
    """The columns of a tabular project; default: all that are not named otherwise."""
    label: str | None
    """Known labels: the name of a class; a list of classes, spans or boxes."""
    prediction: str | None
    """What somebody thinks that the label is: it becomes a suggestion."""
    confidence: str | None
    """How sure the prediction is, from 0 to 1."""
    group: str | None
    """What belongs together."""
    name: str | None
    split: str | None
    existing: Existing
    """What becomes of rows whose sample is there already: `leave` them out; take their `label` over where nobody has
    labeled the sample otherwise; or `replace` what it was labeled with."""
    match: Match
    """What tells that a sample is there already: its `content`, or its `name`."""
    separator: str
    """What stands between several classes in one cell; default: a bar."""
    selection: str | None
    """Name under which all samples of the file are remembered, also those that were there already."""


def options(format: ImportFormat, filename: str, encoding: str, columns: ImportColumns) -> dict[str, Any]:
    """The fields of `records.labeling.ImportOptions`.

    Raises:
        InvalidInput: one is not valid.
    """
    named: dict[str, Any] = {**columns, "features": columns_of(columns.get("features"))}
    return checked(ImportOptions, format=format, encoding=encoding, filename=filename, **named).model_dump()


def silent(_: ImportProgress) -> None:
    """Tell nobody."""


def format_of(path: Path) -> ImportFormat:
    """The format that a file's name says.

    Raises:
        InvalidInput: the suffix is not a known one.
    """
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise InvalidInput(
            f"The format of {path.name} is not known by its name. "
            f"Say it with --format: {', '.join(get_args(ImportFormat))}."
        )
    return known


def import_file(
    connection: Connection,
    project: str,
    path: Path,
    options: dict[str, Any],
    on_progress: OnProgress = silent,
) -> Import:
    """Stream a file to the server and wait until it is imported.

    A large one goes in parts of `PART_SIZE`: when the connection breaks or the server is killed meanwhile, it goes on from
    the last one that arrived.

    Args:
        project: quoted name or id.
        options: fields of `records.labeling.ImportOptions`.

    Raises:
        InvalidData: the file cannot be read, here or by the server; nothing of it was imported.
        Unavailable: the upload broke off again and again.
    """
    try:
        total = path.stat().st_size
        # The server must not see a file that is replaced meanwhile half.
        source = path.open("rb")
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror}.") from error

    sent = 0

    def tell() -> None:
        on_progress(ImportProgress(sent, total, 0))

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        source.seek(0)
        sent = 0
        while piece := source.read(_CHUNK):
            yield piece
            sent += len(piece)
            tell()

    def send_parts() -> str:
        nonlocal sent
        new = NewPartialUpload(size=total)
        upload_id = connection.record(PartialUpload, "POST", "uploads", json=new, repeatable=True).id
        while sent < total:
            part = source.read(PART_SIZE)
            if not part:
                raise InvalidData(f"{path.name} has become shorter while it was sent: import it again.")
            arrived = connection.record(
                PartialUpload,
                "PUT",
                f"uploads/{upload_id}",
                params={"offset": sent},
                content=part,
                headers={"Content-Type": "application/octet-stream"},
                timeout_s=_UPLOAD_TIMEOUT_S,
                patience_s=_PATIENCE_S,
            )
            sent = arrived.received
            tell()
        return upload_id

    def begin(uploaded: str | None, content: Callable[[], Iterator[bytes]] | None, length: int) -> Import:
        asked = {name: value for name, value in options.items() if value not in (None, "", ())}
        return connection.record(
            Import,
            "POST",
            f"projects/{project}/imports",
            params={**asked, "uploaded": uploaded},
            content=content,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(length)},
            timeout_s=_UPLOAD_TIMEOUT_S,
        )

    with source:
        for attempt in count(1):
            try:
                running = begin(send_parts(), None, 0) if total > PART_SIZE else begin(None, pieces, total)
                break
            except Unavailable as error:
                # What did not arrive whole, the server keeps nothing of; parts have been waited for already.
                if sent < total <= PART_SIZE and attempt < _UPLOADS:
                    continue
                arrived = "It may be imported all the same." if sent == total else "Nothing was imported."
                raise Unavailable(
                    f"{error.message} {sent:,} of {total:,} bytes were sent. {arrived}"
                ) from error
    while running.status == "running":
        running = connection.record(Import, "GET", f"imports/{running.id}", params={"wait_s": 1})
        on_progress(ImportProgress(total, total, running.rows_read))
    if running.status == "failed":
        raise InvalidData(
            running.error or f"{path.name} could not be imported.",
            [problem.model_dump() for problem in running.problems],
        )
    return running


def import_frame(
    connection: Connection,
    project: str,
    frame: Any,
    options: dict[str, Any],
    on_progress: OnProgress = silent,
) -> Import:
    """Import a polars, pandas or Arrow frame.

    Raises:
        InvalidData: it is no frame, or a column mixes types.
    """
    import pyarrow as pa

    table = as_table(frame)
    with tempfile.TemporaryDirectory(prefix="mlship-") as folder:
        path = Path(folder) / "frame.arrow"
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
        options = {"filename": "frame", **options, "format": "arrow"}
        return import_file(connection, project, path, options, on_progress)


def import_folder(
    connection: Connection,
    project: str,
    folder: Path,
    options: dict[str, Any],
    on_progress: OnProgress = silent,
) -> Import:
    """Import a folder, which travels as a zip file."""
    with tempfile.TemporaryDirectory(prefix="mlship-") as temporary:
        path = Path(temporary) / "folder.zip"
        packing.pack(folder, path)
        return import_file(connection, project, path, options, on_progress)


def as_table(frame: Any) -> Any:
    """A polars, pandas or Arrow frame as `pyarrow.Table`.

    Raises:
        InvalidData: it is no frame, or a column mixes types.
    """
    import pyarrow as pa

    if hasattr(frame, "collect_schema") and hasattr(frame, "collect"):
        frame = frame.collect()
    module = type(frame).__module__.split(".")[0]
    try:
        if module == "polars":
            import polars as pl

            # Without string views, which not every reader of Arrow knows.
            return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if module == "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False)
        if isinstance(frame, pa.Table):
            return frame
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidData(f"The frame cannot be imported: {error}") from error
    raise InvalidData(f"A {type(frame).__name__} is no frame; give one of polars, pandas or Arrow.")


def columns_of(options: Sequence[str] | str | None) -> tuple[str, ...]:
    """Names of columns, given as a sequence or separated by commas."""
    if isinstance(options, str):
        return tuple(name.strip() for name in options.split(",") if name.strip())
    return tuple(options or ())
