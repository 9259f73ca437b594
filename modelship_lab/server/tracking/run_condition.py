"""Conditions on runs, and how they are written in SQL: every name and value is bound as a parameter."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from modelship_lab.server.tracking.run_columns import OWN, Column, OwnType

_Sign = Literal["=", "<>", "<", "<=", ">", ">="]
_Function = Literal["contains", "starts_with", "ends_with", "list_contains"]
Operator = _Sign | _Function
"""As SQL calls them."""

AnyColumn = str | Column
"""A run's own by its name in `run_columns.OWN`, or one that only some runs have."""

Value = str | float | bool | datetime

Condition: TypeAlias = "bool | AllOf | AnyOf | Not | Missing | Typed | Comparison"


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    part: Condition


@dataclass(frozen=True)
class Missing:
    column: AnyColumn


@dataclass(frozen=True)
class Typed:
    """The values of a column that are of a type, the others as if missing; of type `bool`, whether it is true."""

    column: AnyColumn
    type: OwnType | Literal["bool"]


@dataclass(frozen=True)
class Comparison:
    """False when one side is missing."""

    left: Typed
    operator: Operator
    right: Typed | Value


class Columns:
    """The columns that a query uses, each joined once.

    Attributes:
        parameters: of the joins, in order.
    """

    def __init__(self) -> None:
        self._aliases: dict[Column, str] = {}
        self.parameters: list[Any] = []
        self._joins: list[str] = []

    def alias(self, column: Column) -> str:
        """The table in which the values of a column stand."""
        if column not in self._aliases:
            alias = self._aliases[column] = f"v{len(self._aliases)}"
            source, parameters = column.source
            self._joins.append(f"LEFT JOIN ({source}) {alias} ON {alias}.run_id = r.id")
            self.parameters += parameters
        return self._aliases[column]

    @property
    def joins(self) -> str:
        return " ".join(self._joins)


def sql_of(condition: Condition, columns: Columns) -> tuple[str, list[Any]]:
    """A condition over runs `r`, projects `p` and what it joins in `columns`, and its parameters."""
    writer = _Writer(columns)
    return writer.truth(condition), writer.parameters


@dataclass
class _Writer:
    columns: Columns
    parameters: list[Any] = field(default_factory=list)

    def truth(self, condition: Condition) -> str:
        match condition:
            case bool():
                return "true" if condition else "false"
            case AllOf(parts):
                return f"({' AND '.join(map(self.truth, parts))})"
            case AnyOf(parts):
                return f"({' OR '.join(map(self.truth, parts)) or 'false'})"
            case Not(part):
                return f"(NOT {self.truth(part)})"
            case Missing(column):
                return f"({self.presence(column)} IS NULL)"
            case Typed():
                return self.sure(self.typed(condition))
            case Comparison(left, operator, right):
                one, other = self.typed(left), self.side(right)
                if operator in get_args(_Function):
                    return self.sure(f"{operator}({one}, {other})")
                return self.sure(f"{one} {operator} {other}")

    def sure(self, sql: str) -> str:
        """What is missing compares as false."""
        return f"coalesce({sql}, false)"

    def presence(self, column: AnyColumn) -> str:
        """What is NULL for runs that do not have a column."""
        return OWN[column][0] if isinstance(column, str) else f"{self.columns.alias(column)}.run_id"

    def side(self, side: Typed | Value) -> str:
        if isinstance(side, Typed):
            return self.typed(side)
        self.parameters.append(side)
        return "?"

    def typed(self, one: Typed) -> str:
        if isinstance(one.column, str):
            expression, kind = OWN[one.column]
            return f"epoch({expression})" if kind == "time" and one.type == "number" else expression
        alias = self.columns.alias(one.column)
        if one.type == "bool":
            return f"CASE WHEN {alias}.type = 'bool' THEN {alias}.number <> 0 END"
        if one.type == "text":
            return f"CASE WHEN {alias}.type = 'text' THEN {alias}.text END"
        # One that is not a number is greater than all others to the database, and nothing to us.
        return f"CASE WHEN {alias}.type = 'number' AND NOT isnan({alias}.number) THEN {alias}.number END"
