"""Read a file of data as a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from modelship_lab.records.data_check import DataFormat
from modelship_lab.records.errors import InvalidData, InvalidInput

if TYPE_CHECKING:
    import polars as pl

__all__ = ["format_of", "read_data"]

_SUFFIXES: dict[str, DataFormat] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def format_of(path: Path, format: str | None = None) -> DataFormat:
    """The format of a file: the one that is said, else what its name ends in.

    Raises:
        InvalidInput: it is none that is read here.
    """
    known: dict[str, DataFormat] = {name: name for name in get_args(DataFormat)}
    found = known.get(format.strip().lower()) if format else _SUFFIXES.get(path.suffix.lower())
    if found is None:
        reason = f"{format!r} is no format" if format else f"{path.name!r} does not say its format"
        raise InvalidInput(
            f"{reason[0].upper()}{reason[1:]}: choose {', '.join(known)}.",
            [{"field": "format", "reason": reason}],
        )
    return found


def read_data(path: Path, format: DataFormat) -> "pl.DataFrame":
    """Every row of a file.

    Raises:
        NotFound, InvalidData: it is not there, or not in this format; says where.
    """
    import polars as pl

    try:
        if format == "parquet":
            return pl.read_parquet(path)
        if format == "csv":
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            # As text: a label `1` and a text `2024` are none the less a label and a text.
            return pl.read_csv(path, separator=separator, infer_schema=False, truncate_ragged_lines=False)
        rows = _lines(path) if format == "jsonl" else _objects(path)
        return pl.DataFrame(rows, infer_schema_length=None, strict=False, orient="row")
    except InvalidData:
        raise
    except FileNotFoundError:
        raise InvalidData(f"There is no file {path.name!r}.") from None
    except (OSError, UnicodeDecodeError, ValueError, pl.exceptions.PolarsError) as error:
        said = " ".join(str(error).split())[:300]
        raise InvalidData(
            f"{path.name!r} cannot be read as {format}: {said or type(error).__name__}. "
            "Look whether the file is whole, and say its format if its name says another one."
        ) from error


def _objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON file: a list of them, or the one list within an object."""
    content = json.loads(path.read_bytes().decode("utf-8-sig"))
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise InvalidData(
                f"{path.name!r} holds one JSON object: a list of objects is needed, one for each text, "
                'e.g. [{"text": "…", "label": "…"}].'
            )
        content = lists[0]
    return _checked(path, content)


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise InvalidData(f"Line {number} of {path.name!r} is no JSON: {error}.") from None
    return _checked(path, rows)


def _checked(path: Path, rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list):
        raise InvalidData(f"{path.name!r} holds no list of objects.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InvalidData(f"Row {number} of {path.name!r} is no JSON object but {json.dumps(row)[:100]}.")
    return rows
