"""Runs: executions of training or of a tracked cell."""

from typing import Any, Literal

from pydantic import Field, FiniteFloat

from modelship_lab.records.base import Record, UtcTime

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


class Heartbeat(Record):
    stop: bool
