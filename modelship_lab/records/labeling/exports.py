"""Labels on their way out of a project."""

from typing import Literal

from modelship_lab.records.base import Record, UtcTime
from modelship_lab.records.labeling.imports import ImportStatus, RowProblem
from modelship_lab.records.labeling.samples import SampleFilter

ExportFormat = Literal[
    "csv",
    "tsv",
    "json",
    "jsonl",
    "parquet",
    "arrow",
    "label_studio",
    "conll",
    "coco",
    "yolo",
    "voc",
    "image_folder",
    "hf",
    "tfrecord",
]


class NewExport(Record):
    """What is to be exported, and how."""

    format: ExportFormat
    samples: SampleFilter = SampleFilter(status=("labeled",))
    """By default what people have labeled; what models and rules have labeled is `auto`, and has to be asked for."""
    suggestions: bool = False
    """With what is suggested for each sample, where the format has a place for it."""


class Export(Record):
    """One export: a file that is made once, and can then be fetched in parts for an hour or so.

    It ends with the lab server: after a restart it is begun again, which is said by whoever asks for it.
    """

    id: str
    project_id: int
    format: ExportFormat
    status: ImportStatus
    filename: str
    rows_total: int
    rows_written: int
    bytes: int
    """Of the file as far as it is made."""
    left_out: int
    """Samples or parts of labels that the format cannot hold."""
    problems: tuple[RowProblem, ...]
    """The first 100 of them; `row` is the id of the sample."""
    error: str
    created_at: UtcTime
