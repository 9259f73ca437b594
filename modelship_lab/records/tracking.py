"""Runs: executions of training or of a tracked cell."""

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from modelship_lab.records.base import Id, Record, UtcTime

RunStatus = Literal["running", "unreachable", "finished", "failed", "stopped", "interrupted"]
"""`unreachable`: should be running, but has not been heard of for a while, and nobody can know whether its
process lives; `stopped`: ended early because the user asked; `interrupted`: its process died."""

ENDED: frozenset[RunStatus] = frozenset({"finished", "failed", "stopped", "interrupted"})
"""What a run is that does not go on; one that is `unreachable` may be heard of again."""

MAX_DEPTH = 10
"""How many runs can be nested in each other."""

MLFLOW_TAG = "mlflow:"
"""Begins the tag of a run that is mirrored to an MLflow server: behind it stands that server's id of the run."""


MLFLOW_ORIGIN = "mlship.origin"
"""The tag of a run at an MLflow server that says which one it is here: the lab's id and the run's number."""


def mlflow_id(tags: tuple[str, ...]) -> str | None:
    """The id of a run at the MLflow server that it is mirrored to, by its tags; None: it is not."""
    return next((tag.removeprefix(MLFLOW_TAG) for tag in tags if tag.startswith(MLFLOW_TAG)), None)


Group = Annotated[str, Field(max_length=200)]
"""What runs have in common that are repetitions or parts of one experiment."""

Notes = Annotated[str, Field(max_length=100_000)]


class RunProcess(Record):
    """The process that executes a run, so that somebody on its machine can see whether it lives."""

    machine: str = Field(max_length=500)
    """What tells machines, and their process tables, apart (see `processes.this_machine`)."""
    pid: Id
    started_at: float = Field(allow_inf_nan=False)
    """When it started, in seconds on its machine's own scale: another process may get its number later."""


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
    """Makes creating repeatable: the same key gives the same run. If that has ended and `process` is given,
    it is resumed: a job that is put into the queue again goes on with its run."""
    heartbeats: bool = False
    """Whether its process says every few seconds that it lives: only then its silence means that it died."""
    started_at: UtcTime | None = None
    """When it started, if that was elsewhere and earlier; default: now."""
    parent_id: Id | None = None
    """The run that this one is a part of, e.g. the sweep of a trial; it is in the same project then."""
    group: Group = ""
    notes: Notes = ""
    process: RunProcess | None = None
    """What executes it: on the server's machine, its death is seen at once."""


class RunChange(Record):
    """Fields of a run that can be changed; what is left out stays as it is."""

    name: str | None = Field(default=None, max_length=200)
    recipe: str | None = Field(default=None, max_length=200)
    status: RunStatus | None = None
    tags: tuple[str, ...] | None = None
    params: dict[str, Any] | None = None
    notes: Notes | None = None
    group: Group | None = None
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
    parent_id: int | None
    group: str
    children: int
    """How many runs it is the parent of."""


class WantedRuns(Record):
    """Which runs are asked for; None: whatever they have there."""

    project: int | str | None = None
    status: RunStatus | None = None
    parent_id: int | None = None
    group: str | None = None


class ResumeRun(Record):
    """Who goes on with a run that has ended, or whose process is gone."""

    process: RunProcess | None = None
    environment: dict[str, Any] = {}
    """Of the process that goes on; merged into that of the run."""


class ResumedRun(Record):
    run: Run
    next_step: int
    """One past the greatest step that was logged, from which it goes on; 0 if nothing was."""


class DeletedRuns(Record):
    runs: int
    """How many are gone: the run itself and all that were nested in it."""


class Heartbeat(Record):
    stop: bool
