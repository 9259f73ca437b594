"""The filter language of the table of runs: a Python expression that is never evaluated.

    status == "finished" and metrics.loss < 0.3 and params.lr in (0.1, 0.01) and "baseline" in tags

It is parsed with `ast`, and what is in the grammar below is translated to SQL; everything that was
written, names too, is bound as a parameter.

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
from typing import Any, get_args

from modelship_lab.records.base import as_utc
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.tracking import RunStatus
from modelship_lab.server.tracking.run_columns import KINDS, OWN, STATS, Column, context_pairs

MAX_LENGTH = 4000
MAX_DEPTH = 40
MAX_PARTS = 400
"""Parts of an expression: names, values, operators."""
MAX_COLUMNS = 40
"""Each is a join, and to plan them takes more than to do them."""

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_METHODS = {"contains": "contains", "startswith": "starts_with", "endswith": "ends_with"}
_WORD_OF_PYTHON = re.compile(
    rf"\b(?P<kind>{'|'.join(KINDS)})\.(?P<name>(?:\w+\.)*(?:{'|'.join(kwlist)})\b[\w.]*)"
)
_ALLOWED = (
    "A filter compares columns (status, params.lr, metrics.loss, summary.accuracy) with values by "
    "== != < <= > >= in, and joins that by and, or, not."
)


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

    def __len__(self) -> int:
        return len(self._aliases)

    @property
    def joins(self) -> str:
        return " ".join(self._joins)


@dataclass
class Condition:
    """A filter in SQL, over runs `r`, projects `p` and the joins of its columns."""

    sql: str
    parameters: list[Any]
    used: list[tuple[Column, int]]
    """Which columns it names, and where."""


@dataclass(frozen=True)
class _Operand:
    """One side of a comparison: a value as it is written, a run's own column, or one of `Column`."""

    node: ast.expr
    own: str | None = None
    column: Column | None = None
    value: Any = None

    @property
    def is_value(self) -> bool:
        return self.own is None and self.column is None


def translated(text: str, columns: Columns) -> Condition:
    """A filter in SQL; the columns that it needs are joined in `columns`.

    Raises:
        InvalidInput: what is wrong, with its place as the detail `offset`: how many characters stand before it.
    """
    return _Translation(text, columns).condition()


@dataclass
class _Translation:
    text: str
    columns: Columns
    parameters: list[Any] = field(default_factory=list)
    used: list[tuple[Column, int]] = field(default_factory=list)

    def condition(self) -> Condition:
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
        sql = self.truth(tree)
        if len(self.columns) > MAX_COLUMNS:
            raise self.wrong(f"A filter names at most {MAX_COLUMNS} parameters, metrics and final figures.")
        return Condition(sql, self.parameters, self.used)

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
            raise self.wrong(
                "A half of a character (\\ud800 to \\udfff) is no text.", self.place(node)
            ) from None

    def place(self, node: ast.expr) -> int:
        return self.lead + len(self.bytes[: node.col_offset].decode("utf-8", "surrogatepass"))

    def wrong(self, reason: str, place: int | None = None) -> InvalidInput:
        where = "" if place is None else f" (at character {place + 1})"
        return InvalidInput(
            f"The filter is not valid{where}: {reason}",
            [{"field": "filter", "reason": reason, "offset": place}],
        )

    # What is true or false

    def truth(self, node: ast.expr) -> str:
        match node:
            case ast.BoolOp(op=ast.And()):
                return "(" + " AND ".join(map(self.truth, node.values)) + ")"
            case ast.BoolOp(op=ast.Or()):
                return "(" + " OR ".join(map(self.truth, node.values)) + ")"
            case ast.UnaryOp(op=ast.Not()):
                return f"(NOT {self.truth(node.operand)})"
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
            case ast.Constant(value=bool(value)):
                return "true" if value else "false"
            case ast.Attribute() | ast.Subscript() | ast.Name():
                found = self.operand(node)
                if found.column is not None:
                    return self.sure(f"{self.as_bool(found.column)}")
        raise self.wrong(f"This is neither true nor false. {_ALLOWED}", self.place(node))

    def sure(self, sql: str) -> str:
        """What is missing compares as false."""
        return f"coalesce({sql}, false)"

    def comparison(self, node: ast.Compare) -> str:
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return "(" + " AND ".join(self.pair(left, op, right) for left, op, right in pairs) + ")"

    def pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        if isinstance(op, ast.In | ast.NotIn):
            found = self.membership(left, right)
            if isinstance(op, ast.NotIn):
                return f"({self.there(left)}{self.there(right)}NOT {found})"
            return found
        one, other = self.operand(left), self.operand(right)
        if one.is_value and other.is_value:
            raise self.wrong("Two values are compared; one side is a column.", self.place(left))
        mirrored = False
        if one.is_value:
            one, other, mirrored = other, one, True
        if isinstance(op, ast.Is | ast.IsNot) or (other.is_value and other.value is None):
            return self.missing(one, op, other)
        operator = _OPERATORS[type(op)]
        if mirrored:
            operator = _MIRRORED[operator]
        if not other.is_value:
            left_sql = self.as_number(one)
            return self.sure(f"{left_sql} {operator} {self.as_number(other)}")
        return self.with_value(one, operator, other)

    def with_value(self, one: _Operand, operator: str, other: _Operand) -> str:
        """A column compared with a value as it is written."""
        value = other.value
        if one.own is not None:
            expression, kind = OWN[one.own]
            if kind == "tags":
                raise self.wrong('Tags are asked for by "baseline" in tags.', self.place(one.node))
            return self.sure(f"{expression} {operator} {self.own_value(one.own, kind, other)}")
        assert one.column is not None
        if isinstance(value, bool):
            expression = self.as_bool(one.column)
        elif isinstance(value, str):
            if one.column.kind == "metric":
                raise self.wrong("A metric is compared with numbers.", self.place(other.node))
            expression = self.as_text(one)
        else:
            expression = self.as_number(one)
        return self.sure(f"{expression} {operator} {self.bound(value)}")

    def own_value(self, name: str, kind: str, other: _Operand) -> str:
        value = other.value
        if kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.wrong(f"'{name}' is a number.", self.place(other.node))
        if kind in ("text", "time") and not isinstance(value, str):
            raise self.wrong(f"'{name}' is compared with a text in quotes.", self.place(other.node))
        if name == "status" and value not in get_args(RunStatus):
            raise self.wrong(
                f"There is no status {value[:50]!r}{nearest(value, get_args(RunStatus))}. "
                f"There are: {', '.join(get_args(RunStatus))}.",
                self.place(other.node),
            )
        if kind == "time":
            try:
                value = as_utc(datetime.fromisoformat(value)).replace(tzinfo=None)
            except ValueError:
                raise self.wrong(
                    f"'{name}' is compared with a time as 2026-11-30 or 2026-11-30T12:00:00, in UTC.",
                    self.place(other.node),
                ) from None
        return self.bound(value)

    def missing(self, one: _Operand, op: ast.cmpop, other: _Operand) -> str:
        if not (other.is_value and other.value is None):
            raise self.wrong("`is` asks whether something is None; use == for values.", self.place(one.node))
        if isinstance(op, ast.Is | ast.Eq):
            word = "IS NULL"
        elif isinstance(op, ast.IsNot | ast.NotEq):
            word = "IS NOT NULL"
        else:
            raise self.wrong("None is neither smaller nor larger than anything.", self.place(other.node))
        if one.own is not None:
            return f"({OWN[one.own][0]} {word})"
        assert one.column is not None
        return f"({self.columns.alias(one.column)}.run_id {word})"

    def there(self, node: ast.expr) -> str:
        """So that `not in` is false, too, for what is missing."""
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return ""
        found = self.operand(node)
        if found.is_value:
            return ""
        if found.own is not None:
            return f"{OWN[found.own][0]} IS NOT NULL AND "
        assert found.column is not None
        return f"{self.columns.alias(found.column)}.run_id IS NOT NULL AND "

    def membership(self, left: ast.expr, right: ast.expr) -> str:
        one = self.operand(left)
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            if one.is_value:
                raise self.wrong("What stands before `in (...)` is a column.", self.place(left))
            values = [self.operand(item) for item in right.elts]
            if any(not value.is_value or value.value is None for value in values):
                raise self.wrong("A list after `in` holds numbers and texts.", self.place(right))
            return "(" + (" OR ".join(self.with_value(one, "=", value) for value in values) or "false") + ")"
        if not (one.is_value and isinstance(one.value, str)):
            raise self.wrong(
                'Write "text" in tags, "text" in name, or params.lr in (0.1, 0.01).', self.place(left)
            )
        other = self.operand(right)
        if other.is_value:
            raise self.wrong("A list after `in` stands in parentheses.", self.place(right))
        if other.own == "tags":
            return self.sure(f"list_contains(r.tags, {self.bound(one.value)})")
        return self.sure(f"contains({self.as_text(other)}, {self.bound(one.value)})")

    def call(self, node: ast.Call) -> str:
        called = node.func
        if not isinstance(called, ast.Attribute) or called.attr not in _METHODS:
            raise self.wrong(
                f"Nothing is called in a filter but {', '.join(f'.{name}' for name in _METHODS)}.",
                self.place(node),
            )
        if node.keywords or len(node.args) != 1:
            raise self.wrong(f".{called.attr} takes one text.", self.place(node))
        argument = self.operand(node.args[0])
        if not isinstance(argument.value, str):
            raise self.wrong(f".{called.attr} takes one text.", self.place(node.args[0]))
        found = self.operand(called.value)
        if found.is_value:
            raise self.wrong("A text is looked for in a column.", self.place(called.value))
        if found.own == "tags" and called.attr == "contains":
            return self.sure(f"list_contains(r.tags, {self.bound(argument.value)})")
        return self.sure(f"{_METHODS[called.attr]}({self.as_text(found)}, {self.bound(argument.value)})")

    # What is compared

    def operand(self, node: ast.expr) -> _Operand:
        match node:
            case ast.Constant(value=str() | bool() | None):
                return _Operand(node, value=node.value)
            case ast.Constant(value=int() | float() as value):
                return _Operand(node, value=self.number(node, value))
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as value)
            ):
                negative = isinstance(node.op, ast.USub)
                return _Operand(node, value=self.number(node, -value if negative else value))
            case ast.Name():
                if node.id in OWN:
                    return _Operand(node, own=node.id)
                if node.id in KINDS:
                    raise self.wrong(
                        f"'{node.id}' has a name behind it, as in {node.id}.name.", self.place(node)
                    )
                raise self.wrong(
                    f"There is no column '{node.id[:100]}'{nearest(node.id, [*OWN, *KINDS])}. There are: "
                    f"{', '.join(OWN)}, and params., metrics. and summary. with a name.",
                    self.place(node),
                )
            case ast.Attribute() | ast.Subscript():
                return _Operand(node, column=self.column(node))
        raise self.wrong(f"This is neither a column nor a value. {_ALLOWED}", self.place(node))

    def number(self, node: ast.expr, value: float) -> float:
        try:
            found = float(value)
        except OverflowError:
            found = float("inf")
        if found - found != 0:
            raise self.wrong("The number is too large.", self.place(node))
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
            raise self.wrong(f"{what} params., metrics. and summary. have.", self.place(node))
        kind = KINDS[inner.id]
        stat = "last"
        if kind == "metric" and names and names[-1] in STATS and (quoted is not None or len(names) > 1):
            stat = names.pop()
        if quoted is not None and names:
            allowed = f" Behind it stands one of {', '.join(STATS)}." if kind == "metric" else ""
            raise self.wrong(f"'.{names[-1][:100]}' is not there.{allowed}", self.place(node))
        if context and kind != "metric":
            raise self.wrong("Only metrics have a context.", self.place(node))
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
                self.place(node),
            )
        return texts[0], ",".join(texts[1:])

    def as_number(self, one: _Operand) -> str:
        if one.column is not None:
            alias = self.columns.alias(one.column)
            # One that is not a number is greater than all others to the database, and nothing to us.
            return f"CASE WHEN {alias}.type = 'number' AND NOT isnan({alias}.number) THEN {alias}.number END"
        assert one.own is not None
        expression, kind = OWN[one.own]
        if kind not in ("number", "time"):
            raise self.wrong(f"'{one.own}' is no number.", self.place(one.node))
        return expression if kind == "number" else f"epoch({expression})"

    def as_text(self, one: _Operand) -> str:
        if one.column is not None:
            if one.column.kind == "metric":
                raise self.wrong("A metric is no text.", self.place(one.node))
            alias = self.columns.alias(one.column)
            return f"CASE WHEN {alias}.type = 'text' THEN {alias}.text END"
        assert one.own is not None
        expression, kind = OWN[one.own]
        if kind != "text":
            raise self.wrong(f"'{one.own}' is no text.", self.place(one.node))
        return expression

    def as_bool(self, column: Column) -> str:
        alias = self.columns.alias(column)
        return f"CASE WHEN {alias}.type = 'bool' THEN {alias}.number <> 0 END"

    def bound(self, value: Any) -> str:
        self.parameters.append(value)
        return "?"


def nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""
