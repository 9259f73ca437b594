"""Jobs: begun, watched, cancelled; their state is kept, and told as it changes."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, LabError, NotFound
from modelship_lab.records.events import EventType
from modelship_lab.records.jobs import Job, JobKind, JobStatus
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.jobs import process
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

log = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
"""Between two events about the progress of one job."""

_EVENTS: dict[JobStatus, EventType] = {
    "finished": "job.finished",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
}


@dataclass(frozen=True)
class Work:
    """What one job does."""

    kind: JobKind
    params: dict[str, Any]
    """What is told of it."""
    prepare: Callable[[Path], Awaitable[None]]
    """Puts what the process needs into its folder."""
    store: Callable[[Path], Awaitable[dict[str, Any]]]
    """Keeps what the process has left there; returns the job's result."""


class Jobs:
    """The jobs of the lab.

    Args:
        folder: where their folders lie; each is gone when its job has ended.
        most: processes at once; further jobs wait.
    """

    def __init__(self, database: Database, events: EventLog, folder: Path, most: int) -> None:
        self._database = database
        self._events = events
        self._folder = folder
        self._turns = asyncio.Semaphore(most)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._projects: dict[int, int] = {}
        self._cancelled: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: dict[int, tuple[float, str]] = {}

    async def start(self) -> None:
        """Mark the jobs of a former server as failed. Their processes ended with it."""

        def work(transaction: Transaction) -> None:
            for row in transaction.rows(
                "SELECT id FROM jobs WHERE status IN ('waiting', 'running') ORDER BY id"
            ):
                self._end(
                    transaction, row["id"], "failed", error="The lab server stopped before it was done."
                )

        await self._database.write(work)
        await asyncio.to_thread(_clear, self._folder)
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """End what runs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def begin(self, work: Work, project_id: int, owner_id: int, caller: Caller) -> Job:
        """Begin a job of a project; it waits for its turn."""

        def insert(transaction: Transaction) -> Job:
            identity = transaction.value(
                "INSERT INTO jobs (kind, project_id, owner_id, author, params, status, created_at) "
                "VALUES (?, ?, ?, ?, ?, 'waiting', ?) RETURNING id",
                work.kind,
                project_id,
                owner_id,
                caller.name,
                orjson.dumps(work.params).decode(),
                now(),
            )
            job = _job(transaction, identity)
            self._tell(transaction, "job.created", job)
            return job

        job = await self._database.write(insert)
        task = asyncio.create_task(self._run(job, work))
        self._tasks[job.id], self._projects[job.id] = task, project_id
        task.add_done_callback(lambda _: self._forget(job.id))
        return job

    async def get(self, job_id: int, wait_s: float = 0) -> Job:
        """A job; waits until it has ended, but no longer than `wait_s`.

        Raises:
            NotFound: there is none with this id.
        """
        task = self._tasks.get(job_id)
        if task is not None and wait_s > 0:
            await asyncio.wait([task], timeout=wait_s)
        job = await self._database.read(lambda cursor: _job(cursor, job_id))
        if job.status == "running" and job_id in self._told:
            progress, message = self._told[job_id]
            return job.model_copy(update={"progress": progress, "message": message})
        return job

    async def ended(self, job_id: int) -> None:
        """Wait until a job has ended, however long that takes."""
        if (task := self._tasks.get(job_id)) is not None:
            await asyncio.wait([task])

    async def page(self, project_id: int, limit: int, offset: int) -> Page[Job]:
        """The jobs of a project, the newest first."""

        def work(cursor: Cursor) -> Page[Job]:
            total = cursor.value("SELECT count(*) FROM jobs WHERE project_id = ?", project_id)
            rows = cursor.rows(
                f"SELECT * FROM jobs WHERE project_id = ? ORDER BY id DESC LIMIT {limit:d} OFFSET {offset:d}",
                project_id,
            )
            return Page(items=tuple(map(_record, rows)), total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def cancel(self, job_id: int) -> Job:
        """End a job that waits or runs.

        Raises:
            NotFound: there is none with this id.
            Conflict: it has ended already.
        """
        task = self._tasks.get(job_id)
        if task is None:
            job = await self.get(job_id)
            raise Conflict(f"Job {job_id} has ended already: it is {job.status}.")
        self._cancelled.add(job_id)
        task.cancel()
        await asyncio.wait([task])
        return await self.get(job_id)

    async def _run(self, job: Job, work: Work) -> None:
        folder = self._folder / str(job.id)
        try:
            async with self._turns:
                await self._database.write(lambda transaction: self._begun(transaction, job.id))
                await asyncio.to_thread(folder.mkdir, mode=0o700)
                await work.prepare(folder)
                await process.run(job.kind, folder, lambda *said: self._said(job, *said))
                result = await work.store(folder)
            await self._ended(job, "finished", result=result)
        except asyncio.CancelledError:
            if job.id in self._cancelled:
                await self._ended(job, "cancelled")
            else:
                await self._ended(job, "failed", error="The lab server was stopped before it was done.")
        except Exception as error:
            if not isinstance(error, LabError):
                log.exception("Job %d failed", job.id)
            message = (
                error.message if isinstance(error, LabError) else "The lab server met an error of its own."
            )
            await self._ended(job, "failed", error=message)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _begun(self, transaction: Transaction, job_id: int) -> None:
        transaction.execute("UPDATE jobs SET status = 'running', started_at = ? WHERE id = ?", now(), job_id)
        self._tell(transaction, "job.started", _job(transaction, job_id))

    def _said(self, job: Job, progress: float, message: str) -> None:
        first = job.id not in self._told
        self._told[job.id] = progress, message
        if first:
            # What comes within the next second is told together.
            self._keep_telling(job, -1.0, "")

    def _keep_telling(self, job: Job, progress: float, message: str) -> None:
        """Have the newest progress written and told, every second in which there is a new one."""
        if job.id not in self._told:
            return
        newest = self._told[job.id]
        if newest != (progress, message):
            self._database.submit(lambda transaction: self._progressed(transaction, job.id, *newest))
        asyncio.get_running_loop().call_later(TELL_EVERY_S, self._keep_telling, job, *newest)

    def _progressed(self, transaction: Transaction, job_id: int, progress: float, message: str) -> None:
        changed = transaction.rows(
            "UPDATE jobs SET progress = ?, message = ? WHERE id = ? AND status = 'running' RETURNING id",
            progress,
            message,
            job_id,
        )
        if changed:
            self._tell(transaction, "job.progress", _job(transaction, job_id))

    async def _ended(
        self, job: Job, status: JobStatus, *, result: dict[str, Any] | None = None, error: str = ""
    ) -> None:
        self._told.pop(job.id, None)
        try:
            await self._database.write(
                lambda transaction: self._end(transaction, job.id, status, result=result, error=error)
            )
        except LabError as refused:
            # The next start of the server marks it as failed.
            log.warning("How job %d ended could not be written: %s", job.id, refused.message)

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
            "result = ?, error = ?, ended_at = ? WHERE id = ? RETURNING id",
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

    def _tell(self, transaction: Transaction, type: EventType, job: Job) -> None:
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
        )

    def forget_project(self, project_id: int) -> None:
        """A project is deleted, and what runs for it is ended. Called after the commit, on the writer thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_all_of, project_id)

    def _end_all_of(self, project_id: int) -> None:
        for job_id, owner in self._projects.items():
            if owner == project_id:
                self._tasks[job_id].cancel()

    def _forget(self, job_id: int) -> None:
        del self._tasks[job_id], self._projects[job_id]
        self._cancelled.discard(job_id)


def _job(cursor: Cursor, job_id: int) -> Job:
    row = cursor.row("SELECT * FROM jobs WHERE id = ?", job_id)
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return _record(row)


def _record(row: dict[str, Any]) -> Job:
    return Job(**{**row, "params": orjson.loads(row["params"]), "result": orjson.loads(row["result"])})


def _clear(folder: Path) -> None:
    for leftover in folder.iterdir():
        shutil.rmtree(leftover, ignore_errors=True)
