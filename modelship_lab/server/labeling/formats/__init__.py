"""Files as rows: one reader for each format, all with the same face."""

from pathlib import Path

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import ImportFormat
from modelship_lab.server.labeling.formats.arrow import ArrowReader, ParquetReader
from modelship_lab.server.labeling.formats.delimited import DelimitedReader
from modelship_lab.server.labeling.formats.intake import prepare
from modelship_lab.server.labeling.formats.json import JsonReader
from modelship_lab.server.labeling.formats.rows import Reader

_BY_SUFFIX: dict[str, ImportFormat] = {
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
}


def format_of(filename: str) -> ImportFormat:
    """The format that a file's name tells.

    Raises:
        InvalidInput: it tells none.
    """
    suffix = filename.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in _BY_SUFFIX:
        raise InvalidInput(
            "The format cannot be told from the file's name: name one with `format`: "
            "csv, tsv, json, jsonl, parquet or arrow.",
            [{"field": "format", "reason": "missing"}],
        )
    return _BY_SUFFIX[suffix]


def open_reader(path: Path, format: ImportFormat, encoding: str) -> Reader:
    """The rows of a file. Files made on the way lie beside `path`, with its name as their beginning.

    Raises:
        InvalidData: the file as a whole is not of this format.
    """
    if format == "parquet":
        return ParquetReader(path)
    if format == "arrow":
        return ArrowReader(path)
    text = prepare(path, encoding)
    if format in ("csv", "tsv"):
        return DelimitedReader(text, "\t" if format == "tsv" else None)
    return JsonReader(text, lines=format == "jsonl")
