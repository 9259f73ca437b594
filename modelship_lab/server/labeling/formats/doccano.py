"""doccano: JSON lines with a text and its labels; a text without any counts as not labeled."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import Project
from modelship_lab.server.labeling.formats.json import JsonReader
from modelship_lab.server.labeling.formats.rows import Batch, Problems

_TEXTS = ("text", "data")
_LABELS = ("label", "labels", "entities", "cats")


class DoccanoReader:
    """A file that doccano has exported, from projects of classification or of sequence labeling.

    Raises:
        InvalidData: no text is in it.
    """

    untyped = False

    def __init__(self, path: Path, project: Project) -> None:
        self._lines = JsonReader(path, lines=True)
        self.columns = self._lines.columns
        text = next((name for name in _TEXTS if name in self.columns), None)
        if text is None:
            raise InvalidData("A file of doccano has its texts in `text` or `data`: there is neither.")
        self._label = next((name for name in _LABELS if name in self.columns), None)
        self.roles = {"text": text}
        if self._label is not None:
            self.roles["label"] = self._label
        if "id" in self.columns:
            self.roles["name"] = "id"

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        for batch in self._lines.batches(wanted, problems):
            if self._label in batch.columns:
                batch.columns[self._label] = [_parts(cell) for cell in batch.columns[self._label]]
            yield batch


def _parts(cell: Any) -> Any:
    if not isinstance(cell, list):
        return cell
    # Entities of projects that have relations, too.
    parts = [
        {"start": one["start_offset"], "end": one["end_offset"], "label": one.get("label")}
        if isinstance(one, dict) and {"start_offset", "end_offset"} <= one.keys()
        else one
        for one in cell
    ]
    return parts or None
