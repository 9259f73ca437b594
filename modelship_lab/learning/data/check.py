"""Whether a file of data can be learned from."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelship_lab.learning.data.file import format_of, read_data
from modelship_lab.learning.split import LEAST_OF_A_CLASS
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck, DataProblem

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_file", "check_table", "usable"]

_FIRST_ROWS = 5


def check_file(
    path: Path,
    format: str | None = None,
    *,
    text_column: str = TEXT_COLUMN,
    label_column: str = LABEL_COLUMN,
    shown: str | None = None,
) -> DataCheck:
    """Look whether a file can be learned from, and what is wrong with it, all at once.

    Args:
        format: default: by the file's name.
        shown: the path as it is told. Default: the file's name.

    Raises:
        InvalidInput: the format is none.
        InvalidData: the file cannot be read at all.
    """
    found = format_of(path, format)
    table = read_data(path, found)
    problems = check_table(table, text_column, label_column)
    return DataCheck(
        path=shown or path.name,
        format=found,
        valid=not any(problem.is_error for problem in problems),
        rows=table.height,
        columns=tuple(table.columns),
        text_column=text_column,
        label_column=label_column,
        classes=_classes(table, label_column),
        problems=tuple(problems),
    )


def check_table(table: "pl.DataFrame", text_column: str, label_column: str) -> list[DataProblem]:
    """What is wrong with a table of texts and labels, what matters most first."""
    import polars as pl

    if not table.height:
        return [_problem("no_rows", True, None, "There are no rows.")]
    problems = []
    for column in (text_column, label_column):
        if column not in table.columns:
            known = ", ".join(repr(one) for one in table.columns[:20]) or "none"
            reason = (
                f"Column {column!r} not found in dataset. Its columns are {known}: say which one is meant."
            )
            problems.append(_problem("missing_column", True, column, reason))
    if text_column in table.columns:
        texts = table[text_column]
        if texts.dtype != pl.String and texts.dtype != pl.Null:
            reason = f"Column {text_column!r} holds {texts.dtype}, no texts."
            problems.append(_problem("not_texts", True, text_column, reason))
        else:
            empty = texts.cast(pl.String).fill_null("").str.strip_chars() == ""
            if empty.any():
                told = (
                    "every text is empty"
                    if empty.all()
                    else f"{empty.sum():,} of {table.height:,} texts are empty"
                )
                reason = f"{told[0].upper()}{told[1:]}: nothing is learned from these rows; take them out or fill them."
                problems.append(_where("empty_texts", bool(empty.all()), text_column, reason, empty))
    if label_column in table.columns:
        problems += _labels(table, label_column)
    if not any(problem.is_error for problem in problems):
        problems += _repeated(table, text_column, label_column)
    return sorted(problems, key=lambda problem: not problem.is_error)


def usable(table: "pl.DataFrame", text_column: str, label_column: str) -> "pl.DataFrame":
    """The rows that have a text and a label, as text, with their number in column `row` (from 1)."""
    import polars as pl

    return (
        table.with_row_index("row", offset=1)
        .with_columns(
            pl.col(text_column).cast(pl.String).alias("text"), _as_label(table, label_column).alias("label")
        )
        .filter(
            pl.col("text").is_not_null()
            & (pl.col("text").str.strip_chars() != "")
            & pl.col("label").is_not_null()
        )
    )


def _labels(table: "pl.DataFrame", column: str) -> list[DataProblem]:
    labels = _as_label(table, column)
    problems = []
    missing = labels.is_null()
    if missing.any():
        reason = (
            f"Rows without a label: {missing.sum():,} of {table.height:,}. They are imported to be labeled."
        )
        problems.append(_where("missing_labels", bool(missing.all()), column, reason, missing))
    classes = _classes(table, column)
    if len(classes) == 1:
        only = next(iter(classes))
        reason = f"All labels are {only!r}: a model needs at least two classes to tell apart. Add rows of another class."
        problems.append(_problem("one_class", True, column, reason))
    rare = {name: count for name, count in classes.items() if count < LEAST_OF_A_CLASS}
    if rare and len(classes) > 1:
        names = ", ".join(f"{name!r} ({count})" for name, count in list(rare.items())[:10])
        too_few = len(classes) - len(rare) < 2
        reason = (
            f"Fewer than {LEAST_OF_A_CLASS} rows have the class {names}: that is too few to train, validate and test. "
            "Add rows of it, or take it out."
        )
        problems.append(_problem("rare_class", too_few, column, reason, sum(rare.values())))
    return problems


def _repeated(table: "pl.DataFrame", text_column: str, label_column: str) -> list[DataProblem]:
    import polars as pl

    rows = usable(table, text_column, label_column)
    problems = []
    again = rows.filter(~pl.col("text").is_first_distinct())
    if again.height:
        reason = f"Rows that repeat the text of an earlier one: {again.height:,}. Each text is imported once."
        problems.append(_numbered("duplicates", text_column, reason, again))
    torn = rows.filter(pl.col("label").n_unique().over("text") > 1)
    if torn.height:
        texts = torn["text"].n_unique()
        reason = (
            f"Texts with several classes: {texts:,} (in {torn.height:,} rows). Decide which one is right."
        )
        problems.append(_numbered("contradictions", label_column, reason, torn))
    return problems


def _as_label(table: "pl.DataFrame", column: str) -> "pl.Series":
    """Labels as text; blank is none."""
    import polars as pl

    labels = table[column]
    if (
        labels.dtype in (pl.Float32, pl.Float64)
        and (labels.drop_nulls() == labels.drop_nulls().round()).all()
    ):
        # Whole numbers that became others because some are missing.
        labels = labels.cast(pl.Int64, strict=False)
    if labels.dtype.is_nested():
        labels = pl.Series(column, [None if one is None else str(one) for one in labels.to_list()], pl.String)
    texts = labels.cast(pl.String).str.strip_chars()
    return texts.set(texts == "", None)


def _classes(table: "pl.DataFrame", column: str) -> dict[str, int]:
    if column not in table.columns or not table.height:
        return {}
    counts = _as_label(table, column).drop_nulls().alias("label").value_counts(sort=True)
    return dict(sorted(counts.iter_rows(), key=lambda one: (-one[1], one[0])))


def _problem(code: str, is_error: bool, column: str | None, message: str, count: int = 0) -> DataProblem:
    return DataProblem.model_validate(
        {"code": code, "is_error": is_error, "column": column, "message": message, "count": count}
    )


def _where(code: str, is_error: bool, column: str, message: str, where: "pl.Series") -> DataProblem:
    places = where.arg_true()
    return _problem(code, is_error, column, message, len(places)).model_copy(
        update={"rows": tuple(place + 1 for place in places[:_FIRST_ROWS])}
    )


def _numbered(code: str, column: str, message: str, rows: "pl.DataFrame") -> DataProblem:
    return _problem(code, False, column, message, rows.height).model_copy(
        update={"rows": tuple(rows["row"][:_FIRST_ROWS])}
    )
