"""What every record has in common."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Record(BaseModel):
    """An immutable value with named fields.

    Unknown fields are refused, so that a misspelled field is an error and not a silent default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def as_utc(value: datetime) -> datetime:
    """The same moment in UTC; one without a zone is in UTC: so DuckDB hands it back, and programs send it."""
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


UtcTime = Annotated[datetime, AfterValidator(as_utc)]
"""A point in time, always with the UTC zone; one that is given without a zone is in UTC."""


def _printable(text: str) -> str:
    # Control characters, halves of characters, and the separators that end a line.
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise ValueError("must not hold control characters")
    return text


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
]
"""A name that people give: one line of printable text, without blanks around it."""


def _no_id(name: str) -> str:
    # Else somebody could give a public thing the id of another one as its name.
    if name.isdecimal():
        raise ValueError("must not consist of digits only, as an id does: add a letter")
    return name


Name = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=r"^[\w][\w .\-]*$"),
    AfterValidator(_no_id),
]
"""The name of a model or deployment: letters, digits, `_`, `-`, `.` and spaces; not digits alone."""

Id = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A number that a database can hold; for what a client names."""

Seconds = Annotated[float, Field(allow_inf_nan=False)]
"""How long a client is ready to wait; a clock knows no "not a number"."""

Task = Literal[
    "text_classification",
    "image_classification",
    "tabular_classification",
    "token_classification",
    "object_detection",
    "text_regression",
    "image_regression",
    "tabular_regression",
]
"""What a project's samples are and what is predicted for them: token classification finds spans in texts, object
detection boxes in images, regression a number."""

Medium = Literal["text", "image", "table"]
"""What the samples of a task are: texts, images, or rows of a table."""


def medium_of(task: Task) -> Medium:
    """What the samples of a task are."""
    if task.startswith("tabular"):
        return "table"
    return "image" if task.startswith("image") or task == "object_detection" else "text"


Item = TypeVar("Item")


class Page(Record, Generic[Item]):
    """One page of a longer list."""

    items: tuple[Item, ...]
    total: int
    limit: int
    offset: int


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def as_id(named: str | int) -> int | None:
    """The id that something is named by in an address, e.g. 12 for `12`; None when it is another name."""
    text = str(named)
    # No id that a database gives has more digits.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
