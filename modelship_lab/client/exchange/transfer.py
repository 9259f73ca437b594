"""What runs are while they are carried from one system to another, and what is said of the journey."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelship_lab.records.artifacts import MAX_ARTIFACT_NAME, ArtifactKind
from modelship_lab.records.metrics import context_text
from modelship_lab.records.tracking import Run, RunStatus

if TYPE_CHECKING:
    import pyarrow as pa

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle

ORIGIN = "imported_from"
"""The key of a run's environment below which its source is described."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_PROBLEMS = 100
_LONGEST_NAME = MAX_ARTIFACT_NAME - 10
"""Room for a suffix."""


@dataclass(frozen=True)
class Problem:
    """Something that could not be read or written."""

    place: str
    """The file, and where in it."""
    reason: str


@dataclass(frozen=True)
class Transfer:
    """What was carried, and what was not."""

    source: str
    target: str
    runs: int
    """Carried now."""
    unchanged: int
    """Runs that were there already and had nothing new."""
    points: int
    artifacts: int
    left_out: dict[str, int]
    """What the other side cannot hold, and how often that was so."""
    problems: tuple[Problem, ...]
    """The first of them."""
    problem_count: int


@dataclass(frozen=True)
class Moved:
    """How far a transfer is."""

    points: int
    points_total: int
    """0: not known."""
    runs: int


OnMoved = Callable[[Moved], None]


def silent(_: Moved) -> None:
    """Tell nobody."""


@dataclass
class Tally:
    """Counts while runs are carried."""

    runs: int = 0
    unchanged: int = 0
    points: int = 0
    points_total: int = 0
    artifacts: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    def leave_out(self, what: str, count: int = 1) -> None:
        """Note something that the other side cannot hold."""
        if count:
            self.left_out[what] += count

    def problem(self, place: str, reason: str) -> None:
        """Note something that could not be read or written."""
        self.problem_count += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(place, reason))

    def moved(self) -> Moved:
        return Moved(self.points, max(self.points_total, self.points), self.runs + self.unchanged)

    def transfer(self, source: str, target: str) -> Transfer:
        """The counts as they are now."""
        return Transfer(
            source,
            target,
            self.runs,
            self.unchanged,
            self.points,
            self.artifacts,
            dict(self.left_out),
            tuple(self.problems),
            self.problem_count,
        )


@dataclass(frozen=True)
class SourceFile:
    """A file that belongs to a run, as the lab names and shows it."""

    name: str
    content: Path | memoryview
    """The file, or what it would hold."""
    content_type: str | None = None
    kind: ArtifactKind = "file"
    step: int | None = None
    caption: str = ""


def _nothing() -> Iterator[Any]:
    return iter(())


@dataclass(frozen=True)
class SourceRun:
    """A run as its source describes it.

    Args:
        id: names the run in its source, wherever that lies; the lab's key of it is made from this.
        alias: another name by which its source means it.
        origin: where it comes from, as JSON, with all that the lab has no field for.
        parent: the id or alias of the run that it is a part of.
        points: reads its points, as tables of `SCHEMA`; each metric's points always in the same order,
            later ones behind those that were there before.
        files: its artifacts.
        bundle: its exported model, as an uncompressed tar.
    """

    id: str
    name: str
    origin: dict[str, Any]
    alias: str = ""
    parent: str = ""
    project: str | None = None
    group: str = ""
    recipe: str = ""
    status: RunStatus = "finished"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    params: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    notes: str = ""
    summary: dict[str, float] = field(default_factory=dict)
    error: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    points: Callable[[], Iterable["pa.Table"]] = _nothing
    files: Callable[[], Iterable[SourceFile]] = _nothing
    bundle: Path | None = None


class Source(Protocol):
    """Somewhere that runs come from."""

    kind: str
    """How it is called in a run's key and origin."""

    def runs(self) -> Iterator[SourceRun]:
        """Its runs, the oldest first.

        Raises:
            InvalidData: nothing of it can be read.
        """


def lab_origin(environment: dict[str, Any]) -> tuple[str, int] | None:
    """The lab and number that a run had first, if it came from another lab: it is the same run wherever it goes."""
    origin = environment.get(ORIGIN)
    if not isinstance(origin, dict) or origin.get("kind") != "lab":
        return None
    lab_id, number = origin.get("lab"), origin.get("run")
    return (lab_id, number) if isinstance(lab_id, str) and isinstance(number, int) else None


def identity_of(lab: "Lab", run: Run) -> str:
    """A run of the lab by the lab and number that it had first."""
    lab_id, number = lab_origin(run.environment) or (lab.info.lab_id, run.id)
    return f"{lab_id}/{number}"


def parent_identity(lab: "Lab", run: Run) -> str:
    """The same of the run that it is a part of, also if that has never come to this lab; "" for none."""
    if run.parent_id is not None:
        return identity_of(lab, lab.run(run.parent_id).record)
    origin = run.environment.get(ORIGIN)
    return str(origin.get("parent", "")) if isinstance(origin, dict) else ""


def schema() -> "pa.Schema":
    """The columns of metric points; a context is JSON as `context_text` writes it."""
    import pyarrow as pa

    return pa.schema(
        [
            ("name", pa.string()),
            ("context", pa.string()),
            ("step", pa.int64()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("value", pa.float64()),
        ]
    )


def points_table(names: Any, steps: Any, times_us: Any, values: Any) -> "pa.Table":
    """Metric points of no context.

    Args:
        names: of the metrics, or the one name of all.
        steps: whole numbers.
        times_us: microseconds since the epoch.
        values: numbers, NaN and infinities too.
    """
    import numpy as np
    import pyarrow as pa

    value = pa.array(np.asarray(values, dtype=np.float64), from_pandas=False)
    name = pa.repeat(names, len(value)) if isinstance(names, str) else pa.array(names, pa.string())
    time = pa.array(np.asarray(times_us, dtype=np.int64)).cast(pa.timestamp("us", tz="UTC"))
    step = pa.array(np.asarray(steps, dtype=np.int64))
    context = pa.repeat(context_text({}), len(value))
    return pa.Table.from_arrays([name, context, step, time, value], schema=schema())


def points_of(run: "RunHandle") -> "pa.Table":
    """Every point of a run of the lab."""
    import polars as pl

    frame = run.metrics_frame().select(schema().names)
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema())


def artifact_name(text: str) -> str:
    """A text as the name of an artifact, whose slashes make folders."""
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:_LONGEST_NAME] or "_"


def moment_of(milliseconds: float | None) -> datetime | None:
    """The time that is so many milliseconds after the epoch; None for none, or one that is out of range."""
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        return None


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
