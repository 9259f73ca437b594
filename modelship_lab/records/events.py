"""The event log: what happened, in the order it was committed."""

from typing import Any, Literal

from modelship_lab.records.base import Record, UtcTime

EventType = Literal[
    "project.created",
    "project.changed",
    "project.deleted",
    "import.progress",
    "import.finished",
    "import.failed",
    "labels.saved",
    "labels.undone",
    "requests.added",
    "requests.withdrawn",
    "suggestions.saved",
    "samples.grouped",
    "selections.saved",
    "selections.deleted",
    "job.created",
    "job.started",
    "job.progress",
    "job.finished",
    "job.failed",
    "job.cancelled",
    "snapshot.created",
    "run.created",
    "run.changed",
    "run.stop_requested",
    "run.deleted",
    "artifact.saved",
    "artifact.deleted",
    "bundle.saved",
    "model.registered",
    "model.stage_changed",
    "model.deleted",
    "deployment.created",
    "deployment.starting",
    "deployment.ready",
    "deployment.failed",
    "deployment.restarted",
    "deployment.deleted",
    "account.created",
    "account.changed",
    "login.succeeded",
    "login.failed",
    "session.revoked",
    "key.created",
    "key.revoked",
    "credits.granted",
    "webhook.created",
    "webhook.deleted",
    "webhook.disabled",
]


class Event(Record):
    """One thing that happened. `topic` is what it is about: `project:3`, `run:12`, `deployment:4`."""

    id: int
    type: EventType
    topic: str
    payload: dict[str, Any]
    author: str
    owner_id: int
    """The account that the thing belongs to."""
    created_at: UtcTime


class LabInfo(Record):
    """Which lab this is, and which account asks."""

    lab_id: str
    account_id: int
    version: str
    url: str
    pid: int | None
    """The process of the server; only administrators are told this and the folder."""
    data_dir: str | None
    database_version: int
    started_at: UtcTime
    refused_rows: int = 0
    """What was saved and is not in its table, because that did not take it: it is in `refused_rows` of the database."""
    lacks_room: bool = False
    """The disk is full: what is saved can be read, though not quickly, and nothing more may be taken."""
