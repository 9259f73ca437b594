"""Runs, their metrics, artifacts and evaluation."""

from typing import Any, Literal

from pydantic import Field, FiniteFloat

from modelship_lab.records.base import Record, Task, UtcTime

RunStatus = Literal["running", "finished", "failed", "stopped", "interrupted"]
"""`stopped`: ended early because the user asked; `interrupted`: its process died."""


class NewRun(Record):
    name: str = Field(default="", max_length=200)
    project: int | str | None = None
    recipe: str = ""
    params: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    snapshot_id: int | None = None
    environment: dict[str, Any] = {}
    """Packages, git commit, device, host and Python of the process that runs it."""
    key: str | None = Field(default=None, min_length=8, max_length=64)
    """Makes creating repeatable: the same key gives the same run."""
    heartbeats: bool = False
    """Whether its process says every few seconds that it lives: only then its silence means that it died."""
    started_at: UtcTime | None = None
    """When it started, if that was elsewhere and earlier; default: now."""


class RunChange(Record):
    """Fields of a run that can be changed; what is left out stays as it is."""

    name: str | None = Field(default=None, max_length=200)
    status: RunStatus | None = None
    tags: tuple[str, ...] | None = None
    params: dict[str, Any] | None = None
    notes: str | None = Field(default=None, max_length=100_000)
    summary: dict[str, FiniteFloat] | None = None
    """Final figures, e.g. `test_accuracy`; merged into those that are there."""
    error: str | None = Field(default=None, max_length=10_000)
    ended_at: UtcTime | None = None
    """When it ended; default: the moment in which its status is changed to one that ends it."""


class Run(Record):
    """One execution of training or of a tracked cell."""

    id: int
    name: str
    project_id: int | None
    project: str | None
    recipe: str
    status: RunStatus
    params: dict[str, Any]
    tags: tuple[str, ...]
    notes: str
    snapshot_id: int | None
    environment: dict[str, Any]
    summary: dict[str, float]
    error: str
    bundle: str | None
    """The digest of the exported bundle, once there is one."""
    stop_requested: bool
    heartbeats: bool
    owner_id: int
    is_public: bool
    """Whether its project is."""
    started_at: UtcTime
    ended_at: UtcTime | None
    heartbeat_at: UtcTime
    updated_at: UtcTime


class MetricPoint(Record):
    name: str = Field(min_length=1, max_length=250)
    value: float = Field(allow_inf_nan=True)
    step: int = Field(default=0, ge=-(1 << 63), lt=1 << 63)
    time: UtcTime | None = None


class MetricPoints(Record):
    points: tuple[MetricPoint, ...] = Field(max_length=100_000)


class LoggedMetrics(Record):
    """The answer to a batch of metrics, given after it is committed."""

    accepted: int
    duplicate: bool
    """True when this batch was stored by an earlier request."""
    stop: bool
    """True when somebody asked the run to stop."""
    first_number: int | None
    """The number of its first point among all points of the run, which count from 1; None if none was stored."""


class NumberedPoint(MetricPoint):
    """A stored point with its number: its place in its run by arrival, from 1."""

    number: int
    time: UtcTime


class MetricSummary(Record):
    """What became of one metric of a run."""

    name: str
    last: float
    min: float | None
    """Of the finite points; None when there are none."""
    max: float | None
    mean: float | None
    count: int
    """Of all points."""


class Series(Record):
    """The points of one metric in order of arrival; `reduced` when not all of them are here."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    times: tuple[float, ...]
    """Seconds since the Unix epoch."""
    reduced: bool


class Metrics(Record):
    series: dict[str, Series]
    sequence: int
    """Number of the newest batch of this run that is in here."""


class Heartbeat(Record):
    stop: bool


class Artifact(Record):
    id: int
    run_id: int
    name: str
    size: int
    digest: str
    content_type: str
    created_at: UtcTime


class ClassReport(Record):
    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Curve(Record):
    """Points of a ROC curve (x false positive rate, y true positive rate) or PR curve (x recall, y precision)."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


class WorstError(Record):
    """A held-out sample that the model got wrong, the most confident first."""

    sample_id: int
    actual: str
    predicted: str
    confidence: float
    preview: str = ""


class Evaluation(Record):
    """How a run's model did on the held-out rows. Stored as the artifact `evaluation.json`."""

    task: Task
    classes: tuple[str, ...]
    rows: int
    accuracy: float
    macro_f1: float
    log_loss: float
    baseline_accuracy: float
    """Accuracy of always predicting the commonest training class."""
    confusion: tuple[tuple[int, ...], ...]
    """Row: actual class, column: predicted class."""
    per_class: tuple[ClassReport, ...]
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    worst: tuple[WorstError, ...]
