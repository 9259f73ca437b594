"""The filter language of the table of runs: a Python expression that is never evaluated.

    status == "finished" and metrics.loss < 0.3 and params.lr in (0.1, 0.01) and "baseline" in tags

It is parsed with `ast`, and what is in the grammar below becomes a condition in which the types fit;
`run_condition` writes it in SQL.

| what                    | how it is written                                                             |
|-------------------------|-------------------------------------------------------------------------------|
| a run's own             | the names of `run_columns.OWN`                                                |
| parameters, figures     | `params.lr`, `params["net.depth"]`, `summary.accuracy`                        |
| metrics                 | `metrics.loss` (the last), `.min` `.max` `.mean` `.last` `.count` behind it   |
| metrics in a context    | `metrics["loss", "subset=val"].min`                                           |
| comparisons             | `==` `!=` `<` `<=` `>` `>=`, also `0 < x <= 1`; `in (1, 2)`, `not in`         |
| what is missing         | `params.lr is None`, `is not None`                                            |
| texts                   | `name.contains("cnn")`, `.startswith`, `.endswith`; `"cnn" in name`           |
| tags                    | `"baseline" in tags`                                                          |
| yes and no              | `params.pretrained`, `params.pretrained == True`                              |
| times, in UTC           | `started_at > "2026-11-01"`                                                   |
| all of it               | `and`, `or`, `not`, parentheses                                               |

A comparison with what is missing, or with a value of another type, is false.
"""

import ast
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from keyword import kwlist
from typing import get_args

from modelship_lab.records.base import as_utc
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.tracking import RunStatus
from modelship_lab.server.tracking.run_columns import KINDS, OWN, STATS, Column, OwnType, context_pairs
from modelship_lab.server.tracking.run_condition import (
    AllOf,
    AnyColumn,
    AnyOf,
    Comparison,
    Condition,
    Missing,
    Not,
    Operator,
    Typed,
    Value,
)

MAX_LENGTH = 4000
MAX_DEPTH = 40
MAX_PARTS = 400
"""Parts of an expression: names, values, operators."""
MAX_COLUMNS = 40
"""Each is a join, and to plan them takes more than to do them."""

_SIGNS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_METHODS: dict[str, Operator] = {
    "contains": "contains",
    "startswith": "starts_with",
    "endswith": "ends_with",
}
_WORD_OF_PYTHON = re.compile(
    rf"\b(?P<kind>{'|'.join(KINDS)})\.(?P<name>(?:\w+\.)*(?:{'|'.join(kwlist)})\b[\w.]*)"
)
_ALLOWED = (
    "A filter compares columns (status, params.lr, metrics.loss, summary.accuracy) with values by "
    "== != < <= > >= in, and joins that by and, or, not."
)


@dataclass(frozen=True)
class Filter:
    condition: Condition
    used: tuple[tuple[Column, int], ...] = ()
    """Which columns it names, and where."""


@dataclass(frozen=True)
class _Written:
    """A value as it is written."""

    node: ast.expr
    value: str | float | bool | None


@dataclass(frozen=True)
class _Named:
    """A column as it is written."""

    node: ast.expr
    column: AnyColumn


def read(text: str) -> Filter:
    """What a filter says.

    Raises:
        InvalidInput: what is wrong, with its place as the detail `offset`: how many characters stand before it.
    """
    return _Reader(text).filter()


@dataclass
class _Reader:
    text: str
    used: list[tuple[Column, int]] = field(default_factory=list)

    def filter(self) -> Filter:
        if len(self.text) > MAX_LENGTH:
            raise self.wrong(f"A filter has at most {MAX_LENGTH} characters.")
        # Lines and tabs mean nothing in it, and one character stays one.
        self.text = self.text.translate({9: " ", 10: " ", 12: " ", 13: " "})
        lead = len(self.text) - len(self.text.lstrip(" "))
        try:
            tree = ast.parse(self.text[lead:], mode="eval").body
        except SyntaxError as error:
            reason = f"This is no expression: {error.msg}. {_ALLOWED}"
            if (found := _WORD_OF_PYTHON.search(self.text)) is not None:
                reason = (
                    f'A name with a word of Python stands in brackets: {found["kind"]}["{found["name"]}"].'
                )
            raise self.wrong(reason, lead + max(error.offset or 1, 1) - 1) from None
        except (ValueError, RecursionError, MemoryError):
            raise self.wrong(
                f"This cannot be read: it is nested too deep, or has characters that no text has. {_ALLOWED}"
            ) from None
        self.lead = lead
        self.bytes = self.text[lead:].encode("utf-8", "surrogatepass")
        self._bound(tree)
        condition = self.truth(tree)
        if len({column for column, _ in self.used}) > MAX_COLUMNS:
            raise self.wrong(f"A filter names at most {MAX_COLUMNS} parameters, metrics and final figures.")
        return Filter(condition, tuple(self.used))

    def _bound(self, tree: ast.expr) -> None:
        """Refuse what is too large, before anything walks through it recursively."""
        level: list[ast.AST] = [tree]
        parts = depth = 0
        while level:
            depth, parts = depth + 1, parts + len(level)
            if depth > MAX_DEPTH or parts > MAX_PARTS:
                raise self.wrong(f"A filter has at most {MAX_PARTS} parts, nested at most {MAX_DEPTH} deep.")
            for node in level:
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    self._require_text(node, node.value)
            level = [child for node in level for child in ast.iter_child_nodes(node)]

    def _require_text(self, node: ast.expr, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.wrong("A half of a character (\\ud800 to \\udfff) is no text.", node) from None

    def place(self, node: ast.expr) -> int:
        return self.lead + len(self.bytes[: node.col_offset].decode("utf-8", "surrogatepass"))

    def wrong(self, reason: str, at: ast.expr | int | None = None) -> InvalidInput:
        place = self.place(at) if isinstance(at, ast.expr) else at
        where = "" if place is None else f" (at character {place + 1})"
        return InvalidInput(
            f"The filter is not valid{where}: {reason}",
            [{"field": "filter", "reason": reason, "offset": place}],
        )

    # What is true or false

    def truth(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=ast.And()):
                return AllOf(tuple(map(self.truth, node.values)))
            case ast.BoolOp(op=ast.Or()):
                return AnyOf(tuple(map(self.truth, node.values)))
            case ast.UnaryOp(op=ast.Not()):
                return Not(self.truth(node.operand))
            case ast.Compare():
                sides = [node.left, *node.comparators]
                return AllOf(tuple(map(self.pair, sides, node.ops, sides[1:])))
            case ast.Call():
                return self.call(node)
            case ast.Constant(value=bool(value)):
                return value
            case ast.Attribute() | ast.Subscript():
                return Typed(self.column(node), "bool")
            case ast.Name():
                self.operand(node)
        raise self.wrong(f"This is neither true nor false. {_ALLOWED}", node)

    def pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(op, ast.In | ast.NotIn):
            column, found = self.membership(left, right)
            # What is missing is not in anything, and not "not in" it either.
            return found if isinstance(op, ast.In) else AllOf((Not(Missing(column)), Not(found)))
        one, other = self.operand(left), self.operand(right)
        mirrored = isinstance(one, _Written)
        if isinstance(one, _Written):
            if isinstance(other, _Written):
                raise self.wrong("Two values are compared; one side is a column.", left)
            one, other = other, one
        if isinstance(op, ast.Is | ast.IsNot) or (isinstance(other, _Written) and other.value is None):
            return self.missing(one, op, other)
        operator = _SIGNS[type(op)]
        if mirrored:
            operator = _MIRRORED.get(operator, operator)
        if isinstance(other, _Named):
            return Comparison(self.as_number(one), operator, self.as_number(other))
        return self.with_value(one, operator, other)

    def with_value(self, one: _Named, operator: Operator, other: _Written) -> Comparison:
        """A column compared with a value as it is written."""
        value = other.value
        assert value is not None
        if isinstance(one.column, str):
            kind = OWN[one.column][1]
            if kind == "tags":
                raise self.wrong('Tags are asked for by "baseline" in tags.', one.node)
            return Comparison(Typed(one.column, kind), operator, self.own_value(one.column, kind, other))
        if isinstance(value, bool):
            return Comparison(Typed(one.column, "bool"), operator, value)
        if isinstance(value, str):
            if one.column.kind == "metric":
                raise self.wrong("A metric is compared with numbers.", other.node)
            return Comparison(self.as_text(one), operator, value)
        return Comparison(self.as_number(one), operator, value)

    def own_value(self, name: str, kind: OwnType, other: _Written) -> Value:
        value = other.value
        if kind == "number":
            if isinstance(value, bool) or not isinstance(value, float):
                raise self.wrong(f"'{name}' is a number.", other.node)
            return value
        if not isinstance(value, str):
            raise self.wrong(f"'{name}' is compared with a text in quotes.", other.node)
        if name == "status" and value not in get_args(RunStatus):
            raise self.wrong(
                f"There is no status {value[:50]!r}{nearest(value, get_args(RunStatus))}. "
                f"There are: {', '.join(get_args(RunStatus))}.",
                other.node,
            )
        if kind == "time":
            try:
                return as_utc(datetime.fromisoformat(value)).replace(tzinfo=None)
            except ValueError:
                raise self.wrong(
                    f"'{name}' is compared with a time as 2026-11-30 or 2026-11-30T12:00:00, in UTC.",
                    other.node,
                ) from None
        return value

    def missing(self, one: _Named, op: ast.cmpop, other: _Written | _Named) -> Condition:
        if isinstance(other, _Named) or other.value is not None:
            raise self.wrong("`is` asks whether something is None; use == for values.", one.node)
        if isinstance(op, ast.Is | ast.Eq):
            return Missing(one.column)
        if isinstance(op, ast.IsNot | ast.NotEq):
            return Not(Missing(one.column))
        raise self.wrong("None is neither smaller nor larger than anything.", other.node)

    def membership(self, left: ast.expr, right: ast.expr) -> tuple[AnyColumn, Condition]:
        """The column that is looked at, and whether it is in a list, or a text in it."""
        one = self.operand(left)
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            if isinstance(one, _Written):
                raise self.wrong("What stands before `in (...)` is a column.", left)
            items = [self.operand(item) for item in right.elts]
            values = [item for item in items if isinstance(item, _Written) and item.value is not None]
            if len(values) != len(items):
                raise self.wrong("A list after `in` holds numbers and texts.", right)
            return one.column, AnyOf(tuple(self.with_value(one, "=", value) for value in values))
        if isinstance(one, _Named) or not isinstance(one.value, str):
            raise self.wrong('Write "text" in tags, "text" in name, or params.lr in (0.1, 0.01).', left)
        other = self.operand(right)
        if isinstance(other, _Written):
            raise self.wrong("A list after `in` stands in parentheses.", right)
        return other.column, self.contains(other, "contains", one.value)

    def contains(self, one: _Named, operator: Operator, text: str) -> Comparison:
        if one.column == "tags" and operator == "contains":
            return Comparison(Typed("tags", "tags"), "list_contains", text)
        return Comparison(self.as_text(one), operator, text)

    def call(self, node: ast.Call) -> Comparison:
        called = node.func
        if not isinstance(called, ast.Attribute) or called.attr not in _METHODS:
            raise self.wrong(
                f"Nothing is called in a filter but {', '.join(f'.{name}' for name in _METHODS)}.", node
            )
        if node.keywords or len(node.args) != 1:
            raise self.wrong(f".{called.attr} takes one text.", node)
        argument = self.operand(node.args[0])
        if isinstance(argument, _Named) or not isinstance(argument.value, str):
            raise self.wrong(f".{called.attr} takes one text.", node.args[0])
        found = self.operand(called.value)
        if isinstance(found, _Written):
            raise self.wrong("A text is looked for in a column.", called.value)
        return self.contains(found, _METHODS[called.attr], argument.value)

    def as_number(self, one: _Named) -> Typed:
        if isinstance(one.column, str) and OWN[one.column][1] not in ("number", "time"):
            raise self.wrong(f"'{one.column}' is no number.", one.node)
        return Typed(one.column, "number")

    def as_text(self, one: _Named) -> Typed:
        if isinstance(one.column, str):
            if OWN[one.column][1] != "text":
                raise self.wrong(f"'{one.column}' is no text.", one.node)
        elif one.column.kind == "metric":
            raise self.wrong("A metric is no text.", one.node)
        return Typed(one.column, "text")

    # What is compared

    def operand(self, node: ast.expr) -> _Written | _Named:
        match node:
            case ast.Constant(value=(str() | bool() | None) as value):
                return _Written(node, value)
            case ast.Constant(value=int() | float() as value):
                return _Written(node, self.number(node, value))
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as value)
            ):
                negative = isinstance(node.op, ast.USub)
                return _Written(node, self.number(node, -value if negative else value))
            case ast.Name():
                if node.id in OWN:
                    return _Named(node, node.id)
                if node.id in KINDS:
                    raise self.wrong(f"'{node.id}' has a name behind it, as in {node.id}.name.", node)
                raise self.wrong(
                    f"There is no column '{node.id[:100]}'{nearest(node.id, [*OWN, *KINDS])}. There are: "
                    f"{', '.join(OWN)}, and params., metrics. and summary. with a name.",
                    node,
                )
            case ast.Attribute() | ast.Subscript():
                return _Named(node, self.column(node))
        raise self.wrong(f"This is neither a column nor a value. {_ALLOWED}", node)

    def number(self, node: ast.expr, value: float) -> float:
        try:
            found = float(value)
        except OverflowError:
            found = float("inf")
        if found - found != 0:
            raise self.wrong("The number is too large.", node)
        return found

    def column(self, node: ast.Attribute | ast.Subscript) -> Column:
        names: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        context = ""
        quoted: str | None = None
        if isinstance(inner, ast.Subscript):
            quoted, context = self.subscript(inner)
            inner = inner.value
        if not isinstance(inner, ast.Name) or inner.id not in KINDS:
            known = inner.id if isinstance(inner, ast.Name) else ""
            what = (
                f"'{known[:100]}' has no parts{nearest(known, list(KINDS))}."
                if known
                else "This has no parts."
            )
            raise self.wrong(f"{what} params., metrics. and summary. have.", node)
        kind = KINDS[inner.id]
        stat = "last"
        if kind == "metric" and names and names[-1] in STATS and (quoted is not None or len(names) > 1):
            stat = names.pop()
        if quoted is not None and names:
            allowed = f" Behind it stands one of {', '.join(STATS)}." if kind == "metric" else ""
            raise self.wrong(f"'.{names[-1][:100]}' is not there.{allowed}", node)
        if context and kind != "metric":
            raise self.wrong("Only metrics have a context.", node)
        name = ".".join(names) if quoted is None else quoted
        column = Column(kind, name, context_pairs(context, "filter"), stat)
        self.used.append((column, self.place(node)))
        return column

    def subscript(self, node: ast.Subscript) -> tuple[str, str]:
        index = node.slice
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        texts = [
            part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if len(texts) != len(parts) or not texts or not all("=" in text for text in texts[1:]):
            raise self.wrong(
                'In brackets stands a name in quotes, and behind it a context: metrics["loss", "subset=val"].',
                node,
            )
        return texts[0], ",".join(texts[1:])


def nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""
