"""What the database has of jobs; every change is told as an event."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.errors import NotFound
from modelship_lab.records.events import EventType
from modelship_lab.records.jobs import OUTLIVING, Job, JobKind, JobProgress, JobStatus
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.job_tokens import JobIdentity, identity_of
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

_EVENTS: dict[JobStatus, EventType] = {
    "finished": "job.finished",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
}

_HOW_FAR = {"epoch", "epochs", "step", "steps", "estimated_end_at"}
"""What is told of a training besides its share."""

_FROM = "FROM jobs j LEFT JOIN projects p ON p.id = j.project_id"
_SELECT = f"SELECT j.*, p.name AS project {_FROM}"


class StoredJobs:
    """The rows of the jobs."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    async def take_over(self) -> list[Job]:
        """The jobs of a former server that go on; those whose processes ended with it are marked as failed."""

        def work(transaction: Transaction) -> list[Job]:
            kept = []
            for row in transaction.rows(f"{_SELECT} WHERE j.status IN ('waiting', 'running') ORDER BY j.id"):
                if row["kind"] in OUTLIVING:
                    kept.append(_record(row))
                else:
                    self._end(
                        transaction, row["id"], "failed", error="The lab server stopped before it was done."
                    )
            return kept

        return await self._database.write(work)

    async def insert(
        self,
        kind: JobKind,
        params: dict[str, Any],
        project_id: int,
        owner_id: int,
        run_id: int | None,
        caller: Caller,
    ) -> Job:
        """A new job, which waits."""

        def insert(transaction: Transaction) -> Job:
            identity = transaction.value(
                "INSERT INTO jobs (kind, project_id, owner_id, author, author_id, params, run_id, status, "
                "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', ?) RETURNING id",
                kind,
                project_id,
                owner_id,
                caller.name,
                caller.account_id,
                orjson.dumps(params).decode(),
                run_id,
                now(),
            )
            job = _job(transaction, identity)
            self._tell(transaction, "job.created", job)
            return job

        return await self._database.write(insert)

    async def get(self, job_id: int) -> Job:
        """A job.

        Raises:
            NotFound: there is none with this id.
        """
        return await self._database.read(lambda cursor: _job(cursor, job_id))

    async def page(self, project_id: int, limit: int, offset: int) -> Page[Job]:
        """The jobs of a project, the newest first."""

        def work(cursor: Cursor) -> Page[Job]:
            total = cursor.value("SELECT count(*) FROM jobs WHERE project_id = ?", project_id)
            rows = cursor.rows(
                f"{_SELECT} WHERE j.project_id = ? ORDER BY j.id DESC LIMIT {limit:d} OFFSET {offset:d}",
                project_id,
            )
            return Page(items=tuple(map(_record, rows)), total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def everybodys(
        self, kind: JobKind | None, status: JobStatus | None, limit: int, offset: int, caller: Caller
    ) -> Page[Job]:
        """The jobs of all projects that the caller may see, the newest first.

        Args:
            kind, status: of these alone.
        """
        visible, parameters = policy.visible(caller, "p.owner_id", "p.is_public", "p.labeler_ids")
        where = (
            f"WHERE {visible} AND (?::VARCHAR IS NULL OR j.kind = ?) AND (?::VARCHAR IS NULL OR j.status = ?)"
        )
        parameters += [kind, kind, status, status]

        def work(cursor: Cursor) -> Page[Job]:
            total = cursor.value(f"SELECT count(*) {_FROM} {where}", *parameters)
            rows = cursor.rows(
                f"{_SELECT} {where} ORDER BY j.id DESC LIMIT {limit:d} OFFSET {offset:d}", *parameters
            )
            return Page(items=tuple(map(_record, rows)), total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def request_cancel(self, job_id: int) -> None:
        """Keep that a job was asked to end: the next server asks it again."""
        await self._database.write(
            lambda transaction: transaction.execute(
                "UPDATE jobs SET cancel_requested = true WHERE id = ?", job_id
            )
        )

    async def begun(
        self, job_id: int, token_digest: str | None = None, give: Callable[[JobIdentity], None] | None = None
    ) -> None:
        """A job runs from now on.

        Args:
            token_digest: of its credential, if it has one.
            give: called after the commit with who the job is by that.
        """

        def work(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE jobs SET status = 'running', started_at = ?, token_digest = ? WHERE id = ?",
                now(),
                token_digest,
                job_id,
            )
            # It went with its project if there is none.
            job = _job(transaction, job_id)
            row = transaction.row("SELECT * FROM jobs WHERE id = ?", job_id)
            if give is not None and row is not None:
                identity = identity_of(row)
                transaction.after_commit(lambda: give(identity))
            self._tell(transaction, "job.started", job)

        await self._database.write(work)

    def progressed(self, job_id: int, progress: JobProgress) -> None:
        """Write how far a job is, at some time soon."""
        self._database.submit(lambda transaction: self._progressed(transaction, job_id, progress))

    async def ended(
        self, job_id: int, status: JobStatus, told: JobProgress | None, *, result: dict[str, Any], error: str
    ) -> None:
        """A job has ended.

        Args:
            told: how far it was, if that may not be written yet.
        """

        def work(transaction: Transaction) -> None:
            if told is not None:
                self._progressed(transaction, job_id, told)
            self._end(transaction, job_id, status, result=result, error=error)

        await self._database.write(work)

    def _progressed(self, transaction: Transaction, job_id: int, progress: JobProgress) -> None:
        columns = columns_of(progress)
        changed = transaction.rows(
            f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in columns)} "
            "WHERE id = ? AND status = 'running' RETURNING id",
            *columns.values(),
            job_id,
        )
        if changed:
            self._tell(transaction, "job.progress", _job(transaction, job_id), figures=progress.figures)

    def _end(
        self,
        transaction: Transaction,
        job_id: int,
        status: JobStatus,
        *,
        result: dict[str, Any] | None = None,
        error: str = "",
    ) -> None:
        changed = transaction.rows(
            "UPDATE jobs SET status = ?, progress = CASE WHEN ? = 'finished' THEN 1 ELSE progress END, "
            "result = ?, error = ?, ended_at = ?, token_digest = NULL, estimated_end_at = NULL "
            "WHERE id = ? RETURNING id",
            status,
            status,
            orjson.dumps(result or {}).decode(),
            error,
            now(),
            job_id,
        )
        # It went with its project if there is none.
        if changed:
            self._tell(transaction, _EVENTS[status], _job(transaction, job_id))

    def _tell(self, transaction: Transaction, type: EventType, job: Job, **further: Any) -> None:
        if job.step is not None:
            further |= job.model_dump(mode="json", include=_HOW_FAR)
        self._events.record(
            transaction,
            type,
            f"project:{job.project_id}",
            LAB,
            job.owner_id,
            job_id=job.id,
            kind=job.kind,
            progress=job.progress,
            message=job.message,
            error=job.error,
            error_code=job.error_code,
            run_id=job.run_id,
            **further,
        )


def columns_of(progress: JobProgress) -> dict[str, Any]:
    """How far a job is, as it is written; the end is estimated from now."""
    told = progress.model_dump(exclude={"remaining_s", "figures"})
    left_s = progress.remaining_s
    return {**told, "estimated_end_at": None if left_s is None else now() + timedelta(seconds=left_s)}


def _job(cursor: Cursor, job_id: int) -> Job:
    row = cursor.row(f"{_SELECT} WHERE j.id = ?", job_id)
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return _record(row)


def _record(row: dict[str, Any]) -> Job:
    hidden = ("author_id", "token_digest")
    known = {name: value for name, value in row.items() if name not in hidden}
    return Job(**{**known, "params": orjson.loads(row["params"]), "result": orjson.loads(row["result"])})
