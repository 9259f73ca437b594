"""Jobs: work that goes on in a process of its own, beside the server."""

from typing import Any, Literal

from modelship_lab.records.base import Record, UtcTime

JobKind = Literal["light_model", "embeddings", "label_errors"]
"""light_model: learns from the labels there are and suggests; embeddings: where samples lie among each other;
label_errors: which labels may be wrong."""

UNDER_WAY = "under way"
"""The reason in a refusal to begin a job of which a project can have one at a time."""

JobStatus = Literal["waiting", "running", "finished", "failed", "cancelled"]

ENDED: frozenset[JobStatus] = frozenset({"finished", "failed", "cancelled"})

Encoder = Literal["hashed", "minilm"]
"""hashed: counted words, pixels or fields, brought to 64 numbers; minilm: a sentence encoder (an optional package)."""


class NewJob(Record):
    """What is to be done in a project."""

    kind: JobKind
    everything: bool = False
    """light_model: suggest for every undecided sample, and not for a random choice where there are many."""
    encoder: Encoder = "hashed"
    """embeddings: what makes them."""


class Job(Record):
    """One piece of work, and how far it is."""

    id: int
    kind: JobKind
    project_id: int | None
    owner_id: int
    """The account that the project belongs to."""
    author: str
    params: dict[str, Any]
    status: JobStatus
    progress: float
    """From 0 to 1."""
    message: str
    """What it is at, for people."""
    result: dict[str, Any]
    error: str
    """Why it failed, if it did."""
    created_at: UtcTime
    started_at: UtcTime | None
    ended_at: UtcTime | None
