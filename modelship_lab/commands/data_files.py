"""Verbs of files before anything is learned from them, and of models that have left the lab."""

from pathlib import Path
from typing import get_args

import click

from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck, DataFormat, DataReport
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.model_export import ModelValidation

FILE = click.Path(path_type=Path)
FORMAT = click.option(
    "--format", "-f", type=click.Choice(get_args(DataFormat)), help="Default: by the file's name."
)
TEXT = click.option("--text-column", default=TEXT_COLUMN, show_default=True, help="Where the texts are.")
LABEL = click.option(
    "--label-column", default=LABEL_COLUMN, show_default=True, help="Where their classes are."
)


@click.command("validate-data")
@click.argument("file", type=FILE)
@FORMAT
@TEXT
@LABEL
def validate_data(file: Path, format: str | None, text_column: str, label_column: str) -> DataCheck:
    """Look whether FILE (JSON, JSONL, CSV or Parquet) can be learned from, and what is wrong with it."""
    from modelship_lab.learning.data.check import check_file

    return check_file(file, format, text_column=text_column, label_column=label_column, shown=str(file))


@click.command("data-report")
@click.argument("file", type=FILE)
@click.option(
    "--output",
    "-o",
    type=FILE,
    default=Path("data_report.html"),
    show_default=True,
    help="The page that is written.",
)
@FORMAT
@TEXT
@LABEL
@click.option(
    "--split-column", help="Which part of the data a row belongs to. Default: `split`, if there is one."
)
def data_report(
    file: Path,
    output: Path,
    format: str | None,
    text_column: str,
    label_column: str,
    split_column: str | None,
) -> DataReport:
    """Write a page about FILE: classes, lengths, repetitions, languages, leakage, labels that may be wrong."""
    from modelship_lab.learning.data.report import report_file

    return report_file(
        file,
        output,
        format,
        text_column=text_column,
        label_column=label_column,
        split_column=split_column,
        shown=str(file),
    )


@click.command("validate-model")
@click.argument("model", type=FILE)
@click.option("--test-data", type=FILE, required=True, help="A file of texts and labels.")
@click.option("--output", "-o", type=FILE, help="A JSON file for the report.")
@FORMAT
@TEXT
@LABEL
def validate_model(
    model: Path,
    test_data: Path,
    output: Path | None,
    format: str | None,
    text_column: str,
    label_column: str,
) -> ModelValidation:
    """Have MODEL, a file that `export` has written, answer the texts of a file, and compare that with their labels."""
    from modelship_lab.learning import validate

    found = validate.validate_model(
        model, test_data, format, text_column=text_column, label_column=label_column
    )
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(found.model_dump_json(indent=2), "utf-8")
        except OSError as error:
            raise InvalidData(f"The report cannot be written to {output}: {error.strerror}.") from error
    return found


VERBS = (validate_data, data_report, validate_model)
