"""A report of a file of data, for people."""

from pathlib import Path

from modelship_lab.learning.data.check import check_file, usable
from modelship_lab.learning.data.file import format_of, read_data
from modelship_lab.learning.data.findings import look
from modelship_lab.learning.data.page import page
from modelship_lab.records.base import utc_now
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataReport

__all__ = ["report_file"]


def report_file(
    path: Path,
    output: Path,
    format: str | None = None,
    *,
    text_column: str = TEXT_COLUMN,
    label_column: str = LABEL_COLUMN,
    split_column: str | None = None,
    shown: str | None = None,
    shown_output: str | None = None,
) -> DataReport:
    """Write a page about a file: its classes, lengths, repetitions, leakage, languages, labels that may be wrong.

    A file that cannot be learned from gets its page, too: it says why.

    Args:
        output: the page; folders above it are made.
        shown, shown_output: the paths as they are told.

    Raises:
        InvalidInput: the format is none.
        InvalidData: the file cannot be read at all.
    """
    check = check_file(path, format, text_column=text_column, label_column=label_column, shown=shown)
    found = None
    if check.valid:
        table = read_data(path, format_of(path, format))
        found = look(usable(table, text_column, label_column), split_column)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.new")
    draft.write_text(page(check, found), "utf-8")
    draft.replace(output)
    return DataReport(
        check=check,
        output=shown_output or str(output),
        duplicates=0 if found is None else found.duplicates,
        near_duplicates=0 if found is None else found.near_duplicates,
        contradictions=0 if found is None else len(found.contradictions),
        leaking=None if found is None else found.leaking,
        languages={} if found is None else found.languages,
        likely_label_errors=None if found is None else found.error_count,
        created_at=utc_now(),
    )
