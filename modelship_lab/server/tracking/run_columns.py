"""The columns of the table of runs: how they are written, and where their values stand."""

import json
import re
import unicodedata
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, Literal

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import context_text
from modelship_lab.records.run_table import RunColumnKind

KINDS: dict[str, RunColumnKind] = {"params": "param", "metrics": "metric", "summary": "summary"}
"""What a column's name begins with, and what it is then."""

STATS = ("last", "min", "max", "mean", "count")
"""What of a metric is told; `last` when nothing is said."""

OwnType = Literal["number", "text", "time", "tags"]

OWN: dict[str, tuple[str, OwnType]] = {
    "id": ("r.id", "number"),
    "name": ("r.name", "text"),
    "status": ("r.status", "text"),
    "project": ("p.name", "text"),
    "recipe": ("r.recipe", "text"),
    "group": ("r.run_group", "text"),
    "notes": ("r.notes", "text"),
    "parent_id": ("r.parent_id", "number"),
    "tags": ("r.tags", "tags"),
    "started_at": ("r.started_at", "time"),
    "ended_at": ("r.ended_at", "time"),
    "duration_s": (
        "(CASE WHEN r.ended_at IS NOT NULL THEN epoch_us(r.ended_at) WHEN r.status = 'unreachable' "
        "THEN epoch_us(r.heartbeat_at) ELSE epoch_us(now()) END - epoch_us(r.started_at)) / 1e6",
        "number",
    ),
}
"""What every run has: the SQL expression over runs `r` and projects `p`, and its type."""

SERIES = """
    SELECT run_id, name, context, last_value AS last, min, max,
           CASE WHEN finite > 0 THEN sum / finite END AS mean, points AS count
    FROM metric_series
"""
"""What became of each series of each run."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_NAME = rf'\.(?P<plain>[^\[\]{{}}"]+)|\[(?P<quoted>{_QUOTED})\]'
_CONTEXT = rf'\{{(?P<context>(?:[^{{}}"]|{_QUOTED})*)\}}'
_COLUMN = re.compile(
    rf"(?P<kind>{'|'.join(KINDS)})(?:{_NAME})(?:{_CONTEXT})?(?:\.(?P<stat>{'|'.join(STATS)}))?"
)
_PAIRS = re.compile(rf"(?:{_QUOTED}|[^,])+")
_PAIR = re.compile(rf"\s*(?P<key>{_QUOTED}|[^=]*?)\s*=\s*(?P<value>.*?)\s*", re.DOTALL)
_PLAIN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PLAIN_WORD = re.compile(r'[^{}",=\\]*')


@dataclass(frozen=True)
class Column:
    """A parameter, metric or final figure of runs."""

    kind: RunColumnKind
    name: str
    context: tuple[tuple[str, str], ...] = ()
    """Of a metric, sorted."""
    stat: str = "last"

    @property
    def source(self) -> tuple[str, list[Any]]:
        """Rows `run_id, type, number, text` of the runs that have it, as SQL with its parameters."""
        if self.kind == "metric":
            return (
                f"SELECT run_id, 'number' AS type, {self.stat}::DOUBLE AS number, NULL::VARCHAR AS text "
                f"FROM ({SERIES}) WHERE name = ? AND context = ?",
                [self.name, context_text(dict(self.context))],
            )
        return (
            "SELECT run_id, type, number, text FROM run_values WHERE kind = ? AND name = ?",
            [self.kind, self.name],
        )


def column_of(text: str, field: str = "columns") -> Column:
    """The column that a text names, e.g. `params.lr`, `metrics["val/loss"].min`, `metrics.loss{subset=val}`.

    Raises:
        InvalidInput: it names none.
    """
    found = _COLUMN.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"There is no column {text[:100]!r}: columns are written as params.lr, metrics.loss, "
            'metrics["val/loss"].min, metrics.loss{subset=val} or summary.accuracy.',
            [{"field": field, "reason": f"no column: {text[:100]}"}],
        )
    kind, name, stat = KINDS[found["kind"]], found["plain"], found["stat"]
    if name is None:
        name = _unquoted(found["quoted"], field)
    elif kind == "metric" and stat is None:
        # A plain name takes all that follows, and the figure with it.
        before, _, after = name.rpartition(".")
        if before and after in STATS:
            name, stat = before, after
    return Column(kind, name, context_pairs(found["context"] or "", field), stat or "last")


def context_pairs(text: str, field: str = "columns") -> tuple[tuple[str, str], ...]:
    """A context as it is written, e.g. `subset=val, rank=0`; what has signs of its own is quoted as in JSON.

    Raises:
        InvalidInput: something is not quoted as a text is in JSON.
    """
    pairs = []
    for part in _PAIRS.findall(text):
        found = _PAIR.fullmatch(part)
        if found is not None or part.strip():
            words = (part.strip(), "") if found is None else (found["key"], found["value"])
            key, value = (_unquoted(word, field) if _is_quoted(word) else word for word in words)
            pairs.append((key, value))
    return tuple(sorted(pairs))


def written(kind: RunColumnKind, name: str, context: dict[str, str]) -> str:
    """How a column is called, so that `column_of` finds it and, but for the context, a filter does."""
    prefix = next(word for word, meant in KINDS.items() if meant == kind)
    called = f"{prefix}.{name}" if _is_plain(name) else f"{prefix}[{_quoted(name)}]"
    words = ", ".join(f"{_word(key)}={_word(value)}" for key, value in sorted(context.items()))
    return f"{called}{{{words}}}" if words else called


def _is_plain(name: str) -> bool:
    """Whether a name can stand behind a dot, also in Python, which has words of its own and reads `ﬁ` as `fi`."""
    parts = name.split(".")
    return (
        _PLAIN.fullmatch(name) is not None
        and parts[-1] not in STATS
        and not any(map(iskeyword, parts))
        and unicodedata.normalize("NFKC", name) == name
    )


def _word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) and text == text.strip() else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def _unquoted(text: str, field: str) -> str:
    try:
        found = str(json.loads(text))
        # JSON can write halves of characters, which are no text.
        found.encode()
        return found
    except ValueError:
        raise InvalidInput(
            f"The name {text[:100]} is not quoted as a text is in JSON.",
            [{"field": field, "reason": f"no text: {text[:100]}"}],
        ) from None
