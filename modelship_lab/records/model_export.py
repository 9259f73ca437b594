"""A run's model in the forms that other programs take, and what was found in checking them."""

from collections.abc import Iterable
from typing import Literal, get_args

from modelship_lab.records.base import Id, Record, UtcTime
from modelship_lab.records.errors import InvalidInput

ModelFormat = Literal["onnx", "torchscript", "triton"]
"""onnx: for ONNX Runtime, with all that preprocessing needs: a bundle; torchscript: for PyTorch; triton: a folder that
NVIDIA's Triton Inference Server takes for a model repository."""

BOTH: tuple[ModelFormat, ...] = ("onnx", "torchscript")

REPORT = "export_report.json"


class ExportedFile(Record):
    """One file of an export."""

    path: str
    """Within the export's folder."""
    format: Literal["onnx", "torchscript", "triton", "onnx-optimized", "onnx-int8"]
    bytes: int
    max_difference: float | None = None
    """Of a probability from that of the model that was trained."""
    changed_answers: float | None = None
    """Part of the rows for which the answer is another one."""
    accuracy: float | None = None
    """Share of the right answers for rows that were held out."""
    rows_per_s: float | None = None
    """How fast it is in batches of 64 with one thread, on the machine that has exported it."""


class ModelExport(Record):
    """What an export has made: also the file `export_report.json` of its folder."""

    run_id: Id | None
    formats: tuple[ModelFormat, ...]
    validated: bool
    rows: int
    """Held-out rows that the files were compared on."""
    source_accuracy: float | None
    """Of the model that was trained, for the same rows."""
    files: tuple[ExportedFile, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of it."""
    created_at: UtcTime

    @property
    def main(self) -> ExportedFile:
        """The file of the first form that was wanted."""
        return next(one for one in self.files if one.format == self.formats[0])


def model_formats(words: str | Iterable[str]) -> tuple[ModelFormat, ...]:
    """Forms as people write them: `onnx,torchscript`, or `both` for these two.

    Raises:
        InvalidInput: a word that is none.
    """
    known: dict[str, ModelFormat] = {name: name for name in get_args(ModelFormat)}
    said = words.split(",") if isinstance(words, str) else list(words)
    found: list[ModelFormat] = []
    for word in said:
        name = word.strip().lower()
        if name == "both":
            found += BOTH
        elif name in known:
            found.append(known[name])
        else:
            reason = f"a model cannot be exported as {word.strip()[:50]!r}: choose {', '.join(known)} or both"
            raise InvalidInput(f"{reason[0].upper()}{reason[1:]}.", [{"field": "format", "reason": reason}])
    return tuple(dict.fromkeys(found))


class ModelValidation(Record):
    """What an exported model answers for rows whose labels are known."""

    model: str
    format: Literal["onnx", "torchscript"]
    passed: bool
    """Whether it answers every row, with a probability for each class."""
    rows: int
    accuracy: float
    macro_f1: float
    per_class: dict[str, float]
    """The share of each class's rows that are answered right."""
    rows_per_s: float
    problems: tuple[str, ...]
    created_at: UtcTime
