"""Files as rows, and samples as files: one module for each format, all with the same faces.

A new format is a module with a `Reader`, a `Writer` or both, a line in `FORMATS`, and its name in `ImportFormat` and
`ExportFormat`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import ExportFormat, ImportFormat, Kind, Project
from modelship_lab.server.labeling.formats.arrow import ArrowReader, ParquetReader, TableWriter
from modelship_lab.server.labeling.formats.delimited import DelimitedReader, DelimitedWriter
from modelship_lab.server.labeling.formats.intake import prepare
from modelship_lab.server.labeling.formats.json import JsonReader, JsonWriter
from modelship_lab.server.labeling.formats.outgoing import Outgoing, Write, Writer
from modelship_lab.server.labeling.formats.rows import Reader

Read = Callable[[Path], Reader]

ALL_KINDS: frozenset[Kind] = frozenset({"label", "labels", "spans", "boxes"})


@dataclass(frozen=True)
class Format:
    """One way in which files are read, written or both.

    Args:
        suffixes: what names of such files end with; the first one is that of exports.
        is_text: whether it is prepared for reading: unpacked, and in UTF-8.
        kinds: of labels that it can hold when it is written.
        contents: what it can hold when it is written.
    """

    read: Read | None = None
    write: Write | None = None
    suffixes: tuple[str, ...] = ()
    is_text: bool = False
    kinds: frozenset[Kind] = ALL_KINDS
    contents: frozenset[str] = frozenset({"text", "image", "fields"})


FORMATS: dict[ImportFormat | ExportFormat, Format] = {
    "csv": Format(
        partial(DelimitedReader, delimiter=None),
        partial(DelimitedWriter, delimiter=","),
        (".csv",),
        is_text=True,
        contents=frozenset({"text", "fields"}),
    ),
    "tsv": Format(
        partial(DelimitedReader, delimiter="\t"),
        partial(DelimitedWriter, delimiter="\t"),
        (".tsv", ".tab"),
        is_text=True,
        contents=frozenset({"text", "fields"}),
    ),
    "json": Format(
        partial(JsonReader, lines=False),
        partial(JsonWriter, lines=False),
        (".json",),
        is_text=True,
        contents=frozenset({"text", "fields"}),
    ),
    "jsonl": Format(
        partial(JsonReader, lines=True),
        partial(JsonWriter, lines=True),
        (".jsonl", ".ndjson"),
        is_text=True,
        contents=frozenset({"text", "fields"}),
    ),
    "parquet": Format(ParquetReader, partial(TableWriter, parquet=True), (".parquet", ".pq")),
    "arrow": Format(ArrowReader, partial(TableWriter, parquet=False), (".arrow", ".feather", ".ipc")),
}

_BY_SUFFIX = {suffix: name for name, one in FORMATS.items() for suffix in one.suffixes}


def format_of(filename: str) -> ImportFormat:
    """The format that a file's name tells.

    Raises:
        InvalidInput: it tells none.
    """
    suffix = Path(filename.lower().removesuffix(".gz")).suffix
    if suffix not in _BY_SUFFIX:
        raise InvalidInput(
            "The format cannot be told from the file's name: name one with `format`: "
            f"{', '.join(name for name, one in FORMATS.items() if one.read is not None)}.",
            [{"field": "format", "reason": "missing"}],
        )
    return _BY_SUFFIX[suffix]


def open_reader(path: Path, format: ImportFormat, encoding: str) -> Reader:
    """The rows of a file. Files made on the way lie beside `path`, with its name as their beginning.

    Raises:
        InvalidData: the file as a whole is not of this format.
    """
    chosen = FORMATS[format]
    assert chosen.read is not None
    return chosen.read(prepare(path, encoding) if chosen.is_text else path)


def require_writable(format: ExportFormat, project: Project, content: str) -> None:
    """Whether a format can hold the labels of a project.

    Raises:
        InvalidInput: it cannot; the message names those that can.
    """
    kind = project.kind
    if kind not in FORMATS[format].kinds or content not in FORMATS[format].contents:
        fitting = [
            name
            for name, one in FORMATS.items()
            if one.write is not None and kind in one.kinds and content in one.contents
        ]
        raise InvalidInput(
            f"The format {format} has no place for {kind} of project '{project.name}'. "
            f"Those that have: {', '.join(fitting)}.",
            [{"field": "format", "reason": f"has no place for {kind}"}],
        )


def open_writer(path: Path, format: ExportFormat, outgoing: Outgoing) -> Writer:
    """Begin a file of a format."""
    write = FORMATS[format].write
    assert write is not None
    return write(path, outgoing)
