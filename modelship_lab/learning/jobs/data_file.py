"""Look at a file of data, or report on it, for the lab server."""

from collections.abc import Callable
from pathlib import Path

import orjson

from modelship_lab.learning.data.check import check_file, usable
from modelship_lab.learning.data.file import format_of, read_data
from modelship_lab.records.data_check import DataQuestion


def run(folder: Path, tell: Callable[[float, str], None]) -> None:
    """Answer the question in `job.json` by `result.json`; of a file to be imported, leave its rows as `rows.jsonl`.

    Raises:
        InvalidInput: the format is none.
        InvalidData: the file cannot be read.
    """
    asked = DataQuestion.model_validate_json((folder / "job.json").read_bytes())
    file = Path(asked.file)
    columns = {"text_column": asked.text_column, "label_column": asked.label_column}
    if asked.output:
        # Loads much that looking whether a file can be learned from does not need.
        from modelship_lab.learning.data.report import report_file

        tell(0.1, "looking through the data")
        report = report_file(
            file,
            Path(asked.output),
            asked.format,
            **columns,
            shown=asked.shown,
            shown_output=asked.shown_output,
        )
        (folder / "result.json").write_text(report.model_dump_json())
        return
    check = check_file(file, asked.format, **columns, shown=asked.shown)
    if check.valid and asked.rows:
        rows = usable(read_data(file, format_of(file, asked.format)), asked.text_column, asked.label_column)
        with (folder / "rows.jsonl").open("wb") as target:
            for text, label in rows.select("text", "label").iter_rows():
                target.write(orjson.dumps({"text": text, "label": label}) + b"\n")
    (folder / "result.json").write_text(check.model_dump_json())
