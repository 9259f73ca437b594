"""Labels of a project as a file or folder, with its progress, going on where a broken download was."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from modelship_lab.client import packing
from modelship_lab.client.connection import Connection
from modelship_lab.client.imports import ImportProgress, OnProgress, silent
from modelship_lab.records.errors import ExportFailed, InvalidInput, NotFound, Unavailable
from modelship_lab.records.labeling import Export, ExportFormat, NewExport

FORMATS: dict[str, ExportFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".conll": "conll",
    ".tfrecord": "tfrecord",
}
"""The format of a file by its suffix."""

_PATIENCE_S = 60.0
"""For how long a download is tried again without a byte coming."""
_PAUSE_S = 0.5


def format_of(path: Path) -> ExportFormat:
    """The format that a file's name says.

    Raises:
        InvalidInput: the suffix is not a known one.
    """
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise InvalidInput(
            f"The format of {path.name} is not known by its name. Say it with --format, e.g. coco, yolo or hf."
        )
    return known


def export(
    connection: Connection, project: str, path: Path, new: NewExport, on_progress: OnProgress = silent
) -> Export:
    """Have a file made and fetch it; it appears under its name when it is complete.

    Args:
        project: quoted name or id.
        path: of the file. What is a folder comes as a zip file, and is unpacked unless the name ends with `.zip`.

    Raises:
        InvalidInput: the format has no place for the labels, or there is a file or full folder already.
        Unavailable: the server could not be reached for too long.
    """
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInput(f"{path} is a folder with something in it. Name a new one.")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"There is no folder {path.absolute().parent}.")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    os.close(handle)
    temporary = Path(name)
    try:
        made = _fetch(connection, project, new, temporary, on_progress)
        if made.filename.endswith(".zip") and path.suffix.lower() != ".zip":
            packing.unpack(temporary, path)
        else:
            temporary.chmod(0o644)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return made


def _fetch(
    connection: Connection, project: str, new: NewExport, target: Path, on_progress: OnProgress
) -> Export:
    while True:
        made = connection.record(Export, "POST", f"projects/{project}/exports", json=new)
        try:
            while made.status == "running":
                made = connection.record(Export, "GET", f"exports/{made.id}", params={"wait_s": 1})
                on_progress(ImportProgress(0, 1, made.rows_written))
            if made.status == "failed":
                raise ExportFailed(made.error)
            _download(connection, made, target, on_progress)
            return made
        except NotFound:
            # The server was started anew meanwhile, and made files are gone with that; if the project is gone,
            # the next turn says so.
            continue


def _download(connection: Connection, made: Export, target: Path, on_progress: OnProgress) -> None:
    with target.open("wb") as file:
        last = time.monotonic()
        while file.tell() < made.bytes:
            try:
                for piece in _pieces(connection, made, file.tell()):
                    file.write(piece)
                    last = time.monotonic()
                    on_progress(ImportProgress(file.tell(), made.bytes, made.rows_written))
            except Unavailable:
                if time.monotonic() - last > _PATIENCE_S:
                    raise
                time.sleep(_PAUSE_S)


def _pieces(connection: Connection, made: Export, start: int) -> Iterator[bytes]:
    with connection.stream(f"exports/{made.id}/data", headers={"Range": f"bytes={start}-"}) as pieces:
        yield from pieces
