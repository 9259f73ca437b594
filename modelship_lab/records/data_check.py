"""A file of data before anything is learned from it: whether it can be used, and what is in it."""

from typing import Literal

from modelship_lab.records.base import Record, UtcTime

DataFormat = Literal["json", "jsonl", "csv", "parquet"]

TEXT_COLUMN, LABEL_COLUMN = "text", "label"
"""What columns are called if nothing else is said."""


class DataProblem(Record):
    """Something in a file of data that a person should know of."""

    code: Literal[
        "missing_column",
        "no_rows",
        "one_class",
        "rare_class",
        "empty_texts",
        "missing_labels",
        "not_texts",
        "duplicates",
        "contradictions",
    ]
    is_error: bool
    """Whether nothing can be learned as long as it is so."""
    column: str | None
    message: str
    """What is wrong, and what to do."""
    count: int = 0
    rows: tuple[int, ...] = ()
    """The first rows in which it is so, counted from 1."""


class DataCheck(Record):
    """Whether a file of data can be learned from."""

    path: str
    format: DataFormat
    valid: bool
    rows: int
    columns: tuple[str, ...]
    text_column: str
    label_column: str
    classes: dict[str, int]
    """Rows of each class, the commonest first."""
    problems: tuple[DataProblem, ...]


class DataReport(Record):
    """What a report of a file of data has found; the report itself is the page at `output`."""

    check: DataCheck
    output: str
    duplicates: int
    """Rows that repeat an earlier text."""
    near_duplicates: int
    """Rows that nearly repeat another text, without those that repeat one."""
    contradictions: int
    """Texts that stand there with several classes."""
    leaking: int | None
    """Rows of a test or validation part that are (nearly) in the training part, too; None: there are no parts."""
    languages: dict[str, int]
    """Rows of each language, the commonest first; empty: they could not be told."""
    likely_label_errors: int | None
    """None: they were not looked for; the report says why."""
    created_at: UtcTime


class DataQuestion(Record):
    """What is to be found out about a file of data, in a process of its own."""

    file: str
    shown: str
    """The file as it is told to people."""
    format: str | None = None
    text_column: str = TEXT_COLUMN
    label_column: str = LABEL_COLUMN
    output: str | None = None
    """Where a report is to be written."""
    shown_output: str = ""
    rows: bool = False
    """Whether the rows are to be left as a file to import."""
