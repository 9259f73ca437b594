"""What all readers have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelship_lab.records.labeling import RowProblem

BATCH_ROWS = 5000

BATCH_BYTES = 16 << 20
"""Of a file that become one batch, about; a row more may be on top."""

MAX_VALUE_CHARACTERS = 1 << 20
"""Longer texts are refused row by row: nobody labels a book, and a screen cannot show it."""

MAX_LISTED = 100

NO_ROLES: Mapping[str, str] = {}
"""Of a format that says nothing about what its columns hold."""


@dataclass(frozen=True)
class Batch:
    """Consecutive readable rows.

    The numbers in `rows` count from 1, the header not counted; a row that could not be read has
    left a gap.
    """

    rows: list[int]
    columns: dict[str, list[Any]]
    rows_read: int
    """Rows seen so far, unreadable ones included."""


@dataclass
class Problems:
    """Rows that are not imported: all counted, the first ones listed."""

    count: int = 0
    listed: list[RowProblem] = field(default_factory=list)

    def add(self, row: int, reason: str) -> None:
        self.count += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(RowProblem(row=row, reason=reason))

    def extend(self, others: "Problems", before: int) -> None:
        """Add the problems of a file whose rows follow on `before` others."""
        for one in others.listed[: MAX_LISTED - len(self.listed)]:
            self.listed.append(RowProblem(row=one.row + before, reason=one.reason))
        self.count += others.count


class Reader(Protocol):
    """A file as rows. Reading can be done again from the start."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, in the order of the file."""
        ...

    @property
    def untyped(self) -> bool:
        """Whether all values are texts, because the format knows nothing else."""
        ...

    @property
    def roles(self) -> Mapping[str, str]:
        """What columns hold, where the format says it: options of an import, and the column of each."""
        ...

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        """The rows with these columns, a missing value as None; what cannot be read goes to `problems`.

        Raises:
            InvalidData: the file is damaged from here on.
        """
        ...
