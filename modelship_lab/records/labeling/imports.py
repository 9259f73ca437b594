"""Files on their way into a project."""

from typing import Annotated, Literal

from pydantic import Field

from modelship_lab.records.base import Record, UtcTime
from modelship_lab.records.labeling.samples import SelectionName

ImportFormat = Literal[
    "csv",
    "tsv",
    "json",
    "jsonl",
    "parquet",
    "arrow",
    "label_studio",
    "doccano",
    "conll",
    "coco",
    "yolo",
    "voc",
    "image_folder",
    "hf",
    "tfrecord",
    "zip",
]
"""`zip` is a folder of which nothing is said: what lies in it tells what it is."""

MAX_UPLOAD = 64 << 30
"""Bytes of a file that is sent to the lab."""

PART_SIZE = 8 << 20
"""Bytes of a part of such a file that comes in parts, at most."""


class NewPartialUpload(Record):
    """A file that will come in parts."""

    size: int = Field(gt=0, le=MAX_UPLOAD)
    """Bytes."""


class PartialUpload(Record):
    """A file that comes in parts, and how far it is."""

    id: str
    size: int
    received: int
    """Bytes from its beginning on that are stored."""


Existing = Literal["leave", "label", "replace"]
"""What becomes of a row whose sample the project has already: it is left out; or what it says is taken over where
nobody has labeled the sample otherwise; or it is taken over in any case."""

Match = Literal["content", "name"]
"""What tells that a sample is there already."""

ImportStatus = Literal["running", "finished", "failed"]

SEPARATOR = "|"
"""What stands between the classes of a cell that holds several, unless another one is named."""

Separator = Annotated[str, Field(min_length=1, max_length=10)]


class ImportOptions(Record):
    """How the columns of an import are read.

    Text projects need `text`, image projects `image` (a column of encoded image bytes), tabular
    projects use every column except those named otherwise, or only `features` when given. Labels and
    predictions are of the project's kind: the name of a class; a list of classes, or their names with
    `separator` between them; a list of spans or boxes (`records.labeling.Span`, `Box`), also as JSON text.
    """

    format: ImportFormat
    text: str | None = None
    image: str | None = None
    features: tuple[str, ...] = ()
    label: str | None = None
    prediction: str | None = None
    """What somebody or something thinks the label is: it becomes a suggestion, never a label."""
    confidence: str | None = None
    """How sure the prediction is, from 0 to 1."""
    group: str | None = None
    name: str | None = None
    split: str | None = None
    existing: Existing = "leave"
    match: Match = "content"
    """With `name`, rows need no content when every one of them is to be found by its name."""
    separator: Separator = SEPARATOR
    encoding: str = "utf-8"
    filename: str = ""
    selection: SelectionName | None = None
    """Remember all samples of the file under this name, also those that were there already. It then names these:
    those that an earlier import remembered by it are forgotten."""


class RowProblem(Record):
    """One row that was not imported. Rows count from 1, the header not counted."""

    row: int
    reason: str


class Import(Record):
    """One import: its progress while it runs and its result afterwards."""

    id: int
    project_id: int
    filename: str
    status: ImportStatus
    rows_read: int
    samples_added: int
    labels_added: int
    suggestions_added: int = 0
    auto_added: int = 0
    """Of the suggestions those that were sure enough to become labels by themselves."""
    duplicates: int
    """Rows whose sample is there already, in the project or in an earlier row."""
    labels_changed: int = 0
    """Of these rows those whose label was taken over (`existing`); `undo` of the batch `import-ID` takes that back."""
    labels_kept: int = 0
    """Of these rows those that say otherwise than what the sample was labeled with, which stays; they are listed."""
    bad_rows: int
    problems: tuple[RowProblem, ...]
    """The first 100 bad or duplicate rows."""
    error: str
    bytes_total: int
    created_at: UtcTime
    finished_at: UtcTime | None
