"""What every record has in common."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Record(BaseModel):
    """An immutable value with named fields.

    Unknown fields are refused, so that a misspelled field is an error and not a silent default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_utc(value: Any) -> Any:
    """DuckDB hands back naive timestamps; the lab stores nothing but UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


UtcTime = Annotated[datetime, BeforeValidator(_as_utc)]
"""A point in time, always with the UTC zone."""

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w][\w .\-]*$")]
"""The name of a project, model or deployment: letters, digits, `_`, `-`, `.` and spaces."""

Id = Annotated[int, Field(ge=0, lt=1 << 63)]
"""A number that a database can hold; for what a client names."""

Task = Literal["text_classification", "image_classification", "tabular_classification"]
"""What a project's samples are and what is predicted for them."""

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
