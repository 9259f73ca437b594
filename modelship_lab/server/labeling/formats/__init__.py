"""Files as rows, and samples as files: one module for each format, all with the same faces.

A new format is a module with a `Reader`, a `Writer` or both, a line in `FORMATS`, and its name in `ImportFormat` and
`ExportFormat`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args
from zipfile import is_zipfile

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import ExportFormat, ImportFormat, Kind, Project
from modelship_lab.server.labeling.formats import folder
from modelship_lab.server.labeling.formats.archive import Archive
from modelship_lab.server.labeling.formats.arrow import ArrowReader, ParquetReader, TableWriter
from modelship_lab.server.labeling.formats.coco import CocoWriter, read_coco
from modelship_lab.server.labeling.formats.conll import ConllReader, ConllWriter
from modelship_lab.server.labeling.formats.delimited import DelimitedReader, DelimitedWriter
from modelship_lab.server.labeling.formats.doccano import DoccanoReader
from modelship_lab.server.labeling.formats.hugging_face import HuggingFaceWriter, read_hugging_face
from modelship_lab.server.labeling.formats.image_folder import (
    ImageFolderReader,
    ImageFolderWriter,
    ImageTableWriter,
)
from modelship_lab.server.labeling.formats.intake import prepare
from modelship_lab.server.labeling.formats.json import JsonReader, JsonWriter, items_of, starts_with
from modelship_lab.server.labeling.formats.label_studio import (
    LabelStudioReader,
    LabelStudioWriter,
    is_task,
)
from modelship_lab.server.labeling.formats.outgoing import Outgoing, Write, Writer
from modelship_lab.server.labeling.formats.rows import Reader
from modelship_lab.server.labeling.formats.tfrecord import TfRecordReader, TfRecordWriter
from modelship_lab.server.labeling.formats.voc import VocReader, VocWriter
from modelship_lab.server.labeling.formats.yolo import YoloReader, YoloWriter

Read = Callable[[Path, Project], Reader]

ALL_KINDS: frozenset[Kind] = frozenset(get_args(Kind))
BOXES: frozenset[Kind] = frozenset({"boxes"})
TEXTS, IMAGES, TABLES = frozenset({"text"}), frozenset({"image"}), frozenset({"fields"})


@dataclass(frozen=True)
class Format:
    """One way in which files are read, written or both.

    Args:
        suffixes: what names of such files end with; the first one is that of exports.
        is_text: whether it is prepared for reading: unpacked, and in UTF-8.
        kinds: of labels that it can hold when it is written.
        contents: what it can hold when it is written.
        zipped: of these contents a zip file is written.
    """

    read: Read | None = None
    write: Write | None = None
    suffixes: tuple[str, ...] = ()
    is_text: bool = False
    kinds: frozenset[Kind] = ALL_KINDS
    contents: frozenset[str] = TEXTS | IMAGES | TABLES
    zipped: frozenset[str] = frozenset()


def _rows(reader: Callable[..., Reader], **options: Any) -> Read:
    """A reader for which all projects are the same."""
    return lambda path, project: reader(path, **options)


def _archived(read: Callable[[Archive, Project], Reader]) -> Read:
    return lambda path, project: read(Archive(path), project)


def _written(table: Write, *, lines: bool) -> Write:
    """A table, which for images lies beside them."""
    return lambda path, outgoing: (
        ImageTableWriter(path, outgoing, lines=lines)
        if outgoing.content == "image"
        else table(path, outgoing)
    )


FORMATS: dict[ImportFormat | ExportFormat, Format] = {
    "csv": Format(
        _rows(DelimitedReader, delimiter=None),
        _written(partial(DelimitedWriter, delimiter=","), lines=False),
        (".csv",),
        is_text=True,
        zipped=IMAGES,
    ),
    "tsv": Format(
        _rows(DelimitedReader, delimiter="\t"),
        partial(DelimitedWriter, delimiter="\t"),
        (".tsv", ".tab"),
        is_text=True,
        contents=TEXTS | TABLES,
    ),
    "json": Format(
        _rows(JsonReader, lines=False),
        partial(JsonWriter, lines=False),
        (".json",),
        is_text=True,
        contents=TEXTS | TABLES,
    ),
    "jsonl": Format(
        _rows(JsonReader, lines=True),
        _written(partial(JsonWriter, lines=True), lines=True),
        (".jsonl", ".ndjson"),
        is_text=True,
        zipped=IMAGES,
    ),
    "parquet": Format(_rows(ParquetReader), partial(TableWriter, parquet=True), (".parquet", ".pq")),
    "arrow": Format(_rows(ArrowReader), partial(TableWriter, parquet=False), (".arrow", ".feather", ".ipc")),
    "label_studio": Format(LabelStudioReader, LabelStudioWriter, is_text=True, zipped=IMAGES),
    "doccano": Format(DoccanoReader, is_text=True),
    "conll": Format(
        ConllReader,
        ConllWriter,
        (".conll", ".iob", ".iob2", ".bio"),
        is_text=True,
        kinds=frozenset({"spans"}),
        contents=TEXTS,
    ),
    "coco": Format(_archived(read_coco), CocoWriter, kinds=BOXES, contents=IMAGES, zipped=IMAGES),
    "yolo": Format(_archived(YoloReader), YoloWriter, kinds=BOXES, contents=IMAGES, zipped=IMAGES),
    "voc": Format(_archived(VocReader), VocWriter, kinds=BOXES, contents=IMAGES, zipped=IMAGES),
    "image_folder": Format(
        _archived(ImageFolderReader),
        ImageFolderWriter,
        kinds=frozenset({"label"}),
        contents=IMAGES,
        zipped=IMAGES,
    ),
    "hf": Format(_archived(read_hugging_face), HuggingFaceWriter, zipped=TEXTS | IMAGES | TABLES),
    "tfrecord": Format(TfRecordReader, TfRecordWriter, (".tfrecord", ".tfrecords")),
    "zip": Format(folder.read_folder, suffixes=(".zip",)),
}

_BY_SUFFIX: dict[str, ImportFormat] = {
    suffix: name for name in get_args(ImportFormat) for suffix in FORMATS[name].suffixes
}


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


def open_reader(path: Path, format: ImportFormat, encoding: str, project: Project) -> Reader:
    """The rows of a file. Files made on the way lie beside `path`, with its name as their beginning.

    Raises:
        InvalidData: the file as a whole is not of this format.
    """
    chosen = FORMATS[format]
    assert chosen.read is not None
    if format == "zip" or (chosen.is_text and is_zipfile(path)):
        # Also a table beside its images, or in the zip file that it was sent in.
        return folder.read_folder(path, project, encoding)
    if not chosen.is_text:
        return chosen.read(path, project)
    text = prepare(path, encoding)
    if format == "json":
        if starts_with(text) == "start_map":
            raise InvalidData(
                "A list of objects is expected: [{…}, {…}]. If it is a COCO file, import a folder or zip file that "
                "holds it and the images."
            )
        if is_task(next(items_of(text, "item"), None)):
            return LabelStudioReader(text, project)
    return chosen.read(text, project)


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


def file_name(stem: str, format: ExportFormat, content: str) -> str:
    """What the file of an export is called."""
    chosen = FORMATS[format]
    if content in chosen.zipped:
        return f"{stem}-{format}.zip"
    return f"{stem}{chosen.suffixes[0] if chosen.suffixes else f'-{format}.json'}"
