"""What a decision says about a sample: one class, a set of classes, spans of a text, boxes in an image, or a number."""

from typing import Annotated, Any, Literal, Self, get_args

import orjson
from pydantic import AfterValidator, Field, model_validator

from modelship_lab.records.base import Record, Task

ClassName = Annotated[str, Field(min_length=1, max_length=200)]

Kind = Literal["label", "labels", "spans", "boxes", "number"]
"""Which field of a `Value` is used; a project has one kind, see `Project.kind`."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda number: number + 0.0)]
"""A finite number. Zero has no sign, so that equal numbers have equal texts."""

MAX_PARTS = 10_000
"""Spans or boxes of one sample."""


class Span(Record):
    """A stretch of a text with its class."""

    start: int = Field(ge=0)
    """The first character, counted in Unicode code points from 0."""
    end: int = Field(ge=1)
    """One past the last character."""
    label: ClassName

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a span ends after it starts")
        return self


class Box(Record):
    """A rectangle in an image with its class. All figures are fractions of the image's width or height."""

    x: Fraction
    """The left edge."""
    y: Fraction
    """The upper edge."""
    width: Fraction
    height: Fraction
    label: ClassName

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.width <= 0 or self.height <= 0:
            raise ValueError("a box has a width and a height")
        # Sums of fractions that were rounded end a little beyond the edge.
        if self.x + self.width > 1 + 1e-6 or self.y + self.height > 1 + 1e-6:
            raise ValueError("a box ends inside the image")
        return self


class Value(Record):
    """What is said about a sample. At most one of these is given: that of the project's kind.

    An empty tuple says that there is none: no class applies, no span, no box.
    """

    label: str | None = None
    labels: tuple[ClassName, ...] | None = Field(default=None, max_length=1000)
    spans: tuple[Span, ...] | None = Field(default=None, max_length=MAX_PARTS)
    boxes: tuple[Box, ...] | None = Field(default=None, max_length=MAX_PARTS)
    number: Number | None = None
    """In the project's unit."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in get_args(Kind) if getattr(self, kind) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not both")
        return self

    @property
    def kind(self) -> Kind | None:
        """Which field is given."""
        given: tuple[Kind, ...] = get_args(Kind)
        return next((kind for kind in given if getattr(self, kind) is not None), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that occur, each once, sorted."""
        if self.label is not None:
            return (self.label,)
        if self.labels is not None:
            return tuple(sorted(set(self.labels)))
        return tuple(sorted({part.label for part in self.spans or self.boxes or ()}))

    @property
    def content(self) -> str | None:
        """Whatever is not a single class, as JSON text that `value_fields` reads; equal values have equal texts."""
        if self.labels is not None:
            return _text({"labels": sorted(set(self.labels))})
        if self.spans is not None:
            ordered = sorted(self.spans, key=lambda one: (one.start, one.end, one.label))
            return _text({"spans": [one.model_dump() for one in ordered]})
        if self.boxes is not None:
            return _text({"boxes": [one.model_dump() for one in self.boxes]})
        if self.number is not None:
            return _text({"number": self.number})
        return None


def value_fields(label: str | None, content: str | None) -> dict[str, Any]:
    """The fields of a `Value` from what is stored: its single class, or its `content`."""
    return {"label": label} if content is None else orjson.loads(content)


def kind_of(task: Task, multilabel: bool) -> Kind:
    """What is said about a sample of a project."""
    if task == "token_classification":
        return "spans"
    if task == "object_detection":
        return "boxes"
    if task.endswith("_regression"):
        return "number"
    return "labels" if multilabel else "label"


def _text(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
