"""What the rows of a file say about their samples, as values of the project's kind."""

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from modelship_lab.bundles.preprocessing import category_name
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import Box, Project, Span, Value
from modelship_lab.server.labeling.formats.tokens import spans_of
from modelship_lab.server.labeling.labels import listed

_PARTS: dict[str, tuple[type[Span] | type[Box], tuple[str, ...]]] = {
    "spans": (Span, ("start", "end", "label")),
    "boxes": (Box, ("x", "y", "width", "height", "label")),
}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

MAX_OVERHANG = 0.01
"""Boxes that end beyond the image by less than this share of it are cut: somebody has rounded."""


class Answer(NamedTuple):
    """A value as it is stored."""

    label: str | None
    content: str | None
    classes: list[str] | None


class Answers:
    """Cells made into answers.

    Args:
        separator: what stands between several classes in a text.
    """

    def __init__(self, project: Project, separator: str) -> None:
        self._kind = project.kind
        self._settings = project.settings
        self._separator = separator
        self._single = {name: Answer(name, None, None) for name in project.classes}
        self._listed = listed(project.classes)

    def plain(self, cells: Sequence[Any]) -> list[str | None] | None:
        """The classes of cells if all of them are names of one or empty, which is quickly said; else None."""
        if self._kind != "label" or any(type(cell) is not str for cell in cells):
            return None
        known: dict[str, str | None] = {name: name for name in self._single}
        known[""] = None
        return [known[cell] for cell in cells] if known.keys() >= set(cells) else None

    def read(self, cell: Any, text: str | Sequence[str] | None = None) -> Answer | None:
        """What a cell says; None when it is empty.

        Args:
            text: what spans lie in; the tokens of it where the cell has a tag for each.

        Raises:
            InvalidInput: it says nothing that this project knows.
        """
        if self._kind == "label":
            return self._one(cell)
        if self._kind == "number":
            return self._number(cell)
        if isinstance(cell, str):
            cell = cell.strip()
            if not cell:
                return None
            cell = self._unfolded(cell)
        if cell is None:
            return None
        if self._kind == "labels":
            names = cell if isinstance(cell, list | tuple) else [cell]
            return self._answer(Value(labels=tuple(self._known(_name(name)) for name in names)))
        if isinstance(text, Sequence) and not isinstance(text, str):
            cell = spans_of(text, cell)
            text = " ".join(text)
        if not isinstance(cell, list | tuple):
            raise InvalidInput(f"a list of {self._kind} is expected, not {_shown(cell)}")
        return self._answer(self._parts(cell, text))

    def _one(self, cell: Any) -> Answer | None:
        found = self._single.get(cell) if isinstance(cell, str) else None
        if found is not None:
            return found
        if isinstance(cell, list | tuple):
            if len(cell) > 1:
                raise InvalidInput("there are several, and a sample of this project has one class")
            cell = cell[0] if cell else None
        name = (category_name(cell) or "").strip()
        return self._single[self._known(name)] if name else None

    def _number(self, cell: Any) -> Answer | None:
        if isinstance(cell, str):
            cell = cell.strip()
        # A frame of numbers has no other way to say that there is none than by one that is none.
        if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
            return None
        if isinstance(cell, str):
            is_number = _NUMBER.fullmatch(cell) is not None
        else:
            is_number = isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)
        number = float(cell) if is_number else math.nan
        if not math.isfinite(number):
            raise InvalidInput(f"{_shown(cell)} is not a number")
        if problem := self._settings.number_problem(number):
            raise InvalidInput(problem)
        return self._answer(Value(number=number))

    def _unfolded(self, text: str) -> Any:
        if text[0] in "[{" or self._kind != "labels":
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError:
                if self._kind != "labels":
                    raise InvalidInput(f"{_shown(text)} is not a list of {self._kind} as JSON") from None
        return [name for part in text.split(self._separator) if (name := part.strip())]

    def _parts(self, cells: Iterable[Any], text: str | None) -> Value:
        record, names = _PARTS[self._kind]
        found = []
        for cell in cells:
            if isinstance(cell, dict):
                fields = {name: cell.get(name) for name in names}
            elif isinstance(cell, list | tuple) and len(cell) == len(names):
                fields = dict(zip(names, cell, strict=True))
            else:
                raise InvalidInput(f"{_shown(cell)} has not {', '.join(names)}")
            fields["label"] = self._known(_name(fields["label"]))
            if record is Box:
                _cut(fields)
            try:
                part = record.model_validate(fields)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(map(str, first["loc"]))
                raise InvalidInput(
                    f"{where}{': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
                ) from None
            if isinstance(part, Span) and text is not None and part.end > len(text):
                raise InvalidInput(f"a span ends at {part.end}, and the text has {len(text)} characters")
            found.append(part)
        try:
            return Value.model_validate({self._kind: found})
        except ValidationError:
            raise InvalidInput(f"there are more than 10,000 {self._kind}") from None

    def _known(self, name: str) -> str:
        if name not in self._single:
            raise InvalidInput(f"'{name[:100]}' is not a class of this project; classes: {self._listed}")
        return name

    def _answer(self, value: Value) -> Answer:
        return Answer(None, value.content, list(value.classes))


def _name(cell: Any) -> str:
    name = (category_name(cell) or "").strip()
    if not name:
        raise InvalidInput("the name of a class is missing")
    return name


def _cut(box: dict[str, Any]) -> None:
    for place, size in (("x", "width"), ("y", "height")):
        start, length = box[place], box[size]
        if not isinstance(start, int | float) or not isinstance(length, int | float):
            continue
        end = start + length
        if -MAX_OVERHANG <= start < 0:
            box[place], box[size] = 0.0, end
        if 1 < end <= 1 + MAX_OVERHANG:
            box[size] = 1.0 - box[place]


def _shown(cell: Any) -> str:
    text = cell if isinstance(cell, str) else str(cell)
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"
