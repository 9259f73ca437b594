"""A background job as a Python program sees it."""

import time
from typing import TYPE_CHECKING

from modelship_lab.client.runs import RunHandle
from modelship_lab.records.base import Page
from modelship_lab.records.errors import NotFound
from modelship_lab.records.jobs import ENDED, Job, LogLevel, LogLine

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab

_WAIT_S = 20.0
_MOMENT_S = 0.2


class JobHandle:
    """One background job: a training, an export, or help with labeling.

    Args:
        lab: the lab that the job belongs to.
        record: the job as it was when last read.
    """

    def __init__(self, lab: "Lab", record: Job) -> None:
        self._lab = lab
        self._record = record

    def __repr__(self) -> str:
        record = self._record
        return f"Job {record.id} · {record.kind} · {record.project or ''} · {state(record)}"

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def record(self) -> Job:
        """The job as it was when last read."""
        return self._record

    @property
    def status(self) -> str:
        """As it was when last read."""
        return self._record.status

    @property
    def is_going_on(self) -> bool:
        """Whether it waited or ran when last read."""
        return self._record.status not in ENDED

    @property
    def run(self) -> RunHandle:
        """The run that it logs to, or whose model it exports.

        Raises:
            NotFound: it has none.
        """
        if self._record.run_id is None:
            raise NotFound(f"Job {self.id} ({self._record.kind}) has no run.")
        return self._lab.run(self._record.run_id)

    def refresh(self, wait_s: float = 0.0) -> Job:
        """Read it again; with `wait_s`, once it has ended or after so many seconds."""
        self._record = self._lab.connection.record(
            Job, "GET", f"jobs/{self.id}", params={"wait_s": wait_s} if wait_s else None
        )
        return self._record

    def wait(self, timeout_s: float | None = None) -> Job:
        """Wait until it has ended, at the latest until `timeout_s`; an interrupt leaves it to itself."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.refresh().status not in ENDED:
            left_s = _WAIT_S if deadline is None else min(_WAIT_S, deadline - time.monotonic())
            if left_s <= 0:
                break
            # Short waits: an interrupt of the kernel only arrives between them.
            time.sleep(min(left_s, _MOMENT_S))
        return self._record

    def cancel(self) -> Job:
        """Ask it to end; a training saves a checkpoint first, and is killed when that takes too long.

        Raises:
            Conflict: it has ended already.
        """
        self._record = self._lab.connection.record(Job, "DELETE", f"jobs/{self.id}")
        return self._record

    def logs(self, level: LogLevel = "DEBUG", limit: int | None = None, offset: int = 0) -> list[LogLine]:
        """What it has logged, the oldest first.

        Args:
            level: this level and above.
            limit: at most this many; default: all.
            offset: how many to pass over.
        """
        lines: list[LogLine] = []
        while limit is None or len(lines) < limit:
            size = 1000 if limit is None else min(1000, limit - len(lines))
            asked = {"level": level, "limit": size, "offset": offset + len(lines)}
            page = self._lab.connection.record(Page[LogLine], "GET", f"jobs/{self.id}/logs", params=asked)
            lines += page.items
            if len(page.items) < size:
                break
        return lines


def state(job: Job) -> str:
    """How far a job is, in words."""
    if job.status == "waiting":
        return "waiting" if not job.position else f"waiting, {job.position} before it"
    if job.status != "running":
        return f"{job.status}: {job.error}" if job.error else job.status
    return ", ".join(part for part in (f"{job.progress:.0%}", job.message, _left(job)) if part)


def _left(job: Job) -> str:
    if job.cancel_requested:
        return "is asked to end"
    return "" if job.estimated_end_at is None else f"until about {job.estimated_end_at:%H:%M:%S} (UTC)"
