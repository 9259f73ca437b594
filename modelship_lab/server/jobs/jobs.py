"""Jobs: begun, watched and cancelled; what is known of them and not written yet."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, Interrupted, LabError
from modelship_lab.records.events import Event
from modelship_lab.records.jobs import (
    OUTLIVING,
    Job,
    JobKind,
    JobProgress,
    JobStatus,
    LogLevel,
    LogLine,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.job_tokens import JobTokens, digest_of, new_token
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.jobs import process
from modelship_lab.server.jobs.detached import TOKEN, DetachedProcess, Outcome
from modelship_lab.server.jobs.job_folder import log_page, tidy, tidy_all
from modelship_lab.server.jobs.stored_jobs import StoredJobs, columns_of
from modelship_lab.server.jobs.turns import Turns
from modelship_lab.server.storage.data_dir import write_private
from modelship_lab.server.storage.database import Database

log = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
"""Between two events about the progress of one job."""

LOOK_EVERY_S = 0.25
"""At what a process says that goes on without the server."""

CANCEL_GRACE_S = 60.0
"""For a training that is cancelled to save its checkpoint; then its process is killed."""

TOO_MUCH_MEMORY = (
    "It took more than {:g} GB of memory, which is the most that a job may take here: train with a smaller "
    "batch_size or model, or have ModelShipLab.max_training_memory_gb raised."
)

NOT_IN_TIME = "It was cancelled, did not end by itself and was killed."


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


class Outliving(Protocol):
    """What jobs of a kind do whose process goes on without the server. Nothing of it may be known to one server only."""

    def order(self, job: Job) -> dict[str, Any]:
        """What the process is told."""

    async def ended(self, job: Job, outcome: Outcome) -> None:
        """Have what belongs to the job say that it has ended, if its process did not. May be called twice."""


@dataclass
class _Going:
    """A job that waits or runs."""

    project_id: int
    run_id: int | None
    task: asyncio.Task[None] | None = None
    process: DetachedProcess | None = None
    told: JobProgress | None = None
    is_cancelled: bool = False
    is_killed: bool = False
    """Whether it did not end when it was asked to."""
    is_orphaned: bool = False
    """Whether its project or run is gone."""
    timer: asyncio.TimerHandle | None = None
    """Kills it when it does not end for too long."""


class Jobs:
    """The jobs of the lab.

    Args:
        folder: where their folders lie; when a job has ended, only its log stays for a while.
        most: processes at once that help with labeling; further jobs wait.
        most_trainings: processes at once that train, and as many that export; further ones wait.
        most_memory_gb: of main memory for each of these; 0: as much as there is.
        tokens: the credentials of those that speak to the lab.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        folder: Path,
        tokens: JobTokens,
        most: int,
        most_trainings: int,
        most_memory_gb: float,
    ) -> None:
        self._stored = StoredJobs(database, events)
        self._folder = folder
        self._tokens = tokens
        self._helping = Turns(most)
        # Somebody waits for an export, which takes seconds; a training may take days.
        self._long: dict[JobKind, Turns] = {kind: Turns(most_trainings) for kind in OUTLIVING}
        self._most_memory_gb = most_memory_gb
        self._going: dict[int, _Going] = {}
        self._outliving: dict[JobKind, Outliving] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        events.listen(self._hear)

    def handle(self, kind: JobKind, outliving: Outliving) -> None:
        """Say what jobs of a kind do whose process goes on without the server; before `start`."""
        self._outliving[kind] = outliving

    async def start(self) -> None:
        """Take over the jobs of a former server, and mark as failed those whose processes ended with it."""
        self._loop = asyncio.get_running_loop()
        kept = await self._stored.take_over()
        await asyncio.to_thread(tidy_all, self._folder, [job.id for job in kept])
        for job in kept:
            self._begin(job, self._outlive(job))

    async def stop(self) -> None:
        """End what runs, but for the processes that go on without the server."""
        tasks = [one.task for one in self._going.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def begin(self, work: Work, project_id: int, owner_id: int, caller: Caller) -> Job:
        """Begin a job of a project; it waits for its turn."""
        job = await self._stored.insert(work.kind, work.params, project_id, owner_id, None, caller)
        self._begin(job, self._run(job, work))
        return job

    async def begin_outliving(
        self,
        kind: JobKind,
        params: dict[str, Any],
        project_id: int,
        owner_id: int,
        run_id: int,
        caller: Caller,
    ) -> Job:
        """Begin a job whose process goes on without the server, with a credential for its run."""
        job = await self._stored.insert(kind, params, project_id, owner_id, run_id, caller)
        self._begin(job, self._outlive(job))
        # It takes its place in the queue.
        await asyncio.sleep(0)
        return self._now(job)

    def _begin(self, job: Job, execution: Coroutine[Any, Any, None]) -> None:
        assert job.project_id is not None
        going = _Going(job.project_id, job.run_id, is_cancelled=job.cancel_requested)
        self._going[job.id] = going
        going.task = asyncio.create_task(execution)
        going.task.add_done_callback(lambda _: self._forget(job.id))

    async def get(self, job_id: int, wait_s: float = 0) -> Job:
        """A job; waits until it has ended, but no longer than `wait_s`.

        Raises:
            NotFound: there is none with this id.
        """
        going = self._going.get(job_id)
        if going is not None and going.task is not None and wait_s > 0:
            await asyncio.wait([going.task], timeout=wait_s)
        return self._now(await self._stored.get(job_id))

    def _now(self, job: Job) -> Job:
        """A job with what is known of it and not written yet."""
        going = self._going.get(job.id)
        if job.status == "waiting":
            return job.model_copy(update={"position": self._turns_of(job.kind).position(job.id)})
        if job.status == "running" and going is not None and going.told is not None:
            return job.model_copy(update=columns_of(going.told))
        return job

    async def ended(self, job_id: int) -> None:
        """Wait until a job has ended, however long that takes."""
        if (going := self._going.get(job_id)) is not None and going.task is not None:
            await asyncio.wait([going.task])

    async def page(self, project_id: int, limit: int, offset: int) -> Page[Job]:
        """The jobs of a project, the newest first."""
        page = await self._stored.page(project_id, limit, offset)
        return page.model_copy(update={"items": tuple(map(self._now, page.items))})

    async def everybodys(
        self, kind: JobKind | None, status: JobStatus | None, limit: int, offset: int, caller: Caller
    ) -> Page[Job]:
        """The jobs of all projects that the caller may see, the newest first.

        Args:
            kind, status: of these alone.
        """
        page = await self._stored.everybodys(kind, status, limit, offset, caller)
        return page.model_copy(update={"items": tuple(map(self._now, page.items))})

    async def logs(
        self, job_id: int, levels: Collection[LogLevel] | None, limit: int, offset: int
    ) -> Page[LogLine]:
        """What a job has logged, the oldest first; nothing any more some weeks after its end.

        Args:
            levels: lines of these levels alone; None: of all.
        """
        return await asyncio.to_thread(log_page, self._folder / str(job_id), levels, limit, offset)

    async def cancel(self, job_id: int) -> Job:
        """End a job that waits or runs. A training saves a checkpoint first: it is asked, and killed only when
        it does not end for `CANCEL_GRACE_S`; this does not wait for that.

        Raises:
            NotFound: there is none with this id.
            Conflict: it has ended already.
        """
        going = self._going.get(job_id)
        if going is None or going.task is None:
            job = await self.get(job_id)
            raise Conflict(f"Job {job_id} has ended already: it is {job.status}.")
        going.is_cancelled = True
        if going.process is not None:
            await self._stored.request_cancel(job_id)
            self._end_gracefully(going)
        else:
            going.task.cancel()
            await asyncio.wait([going.task])
        return await self.get(job_id)

    def _end_gracefully(self, going: _Going) -> None:
        process = going.process
        if process is None or going.timer is not None:
            return

        def kill() -> None:
            going.is_killed = True
            process.kill()

        process.terminate()
        going.timer = asyncio.get_running_loop().call_later(CANCEL_GRACE_S, kill)

    def _turns_of(self, kind: JobKind) -> Turns:
        return self._long.get(kind, self._helping)

    async def _run(self, job: Job, work: Work) -> None:
        """A job whose process ends with the server."""
        folder = self._folder / str(job.id)
        try:
            async with self._helping.turn(job.id):
                await self._stored.begun(job.id)
                await asyncio.to_thread(folder.mkdir, mode=0o700)
                await work.prepare(folder)
                await process.run(job.kind, folder, lambda progress: self._said(job, progress))
                result = await work.store(folder)
            await self._ended(job, "finished", result=result)
        except asyncio.CancelledError:
            if self._going[job.id].is_cancelled:
                await self._ended(job, "cancelled")
            else:
                await self._failed(job, LabError("The lab server was stopped before it was done."))
        except Exception as error:
            await self._failed(job, _told_of(job, error))
        finally:
            await asyncio.to_thread(tidy, folder)

    async def _outlive(self, job: Job) -> None:
        """A job whose process goes on without the server: this one may have been started by an earlier one."""
        folder = self._folder / str(job.id)
        going = self._going[job.id]
        outliving = self._outliving[job.kind]
        outcome = Outcome({}, None, died=False)
        try:
            adopted = DetachedProcess.adopted(folder) if job.status == "running" else None
            async with self._turns_of(job.kind).turn(job.id, at_once=adopted is not None):
                going.process = adopted or await self._started(job, outliving, folder)
                if going.is_cancelled:
                    self._end_gracefully(going)
                while going.process.alive():
                    if (progress := going.process.progress()) is not None:
                        self._said(job, progress)
                    if self._most_memory_gb and going.process.memory_bytes() > self._most_memory_gb * 1e9:
                        going.process.kill()
                        raise LabError(TOO_MUCH_MEMORY.format(self._most_memory_gb))
                    await asyncio.sleep(LOOK_EVERY_S)
                if (last := going.process.progress()) is not None:
                    self._said(job, last)
                outcome = await asyncio.to_thread(going.process.outcome)
                if outcome.died and going.is_cancelled:
                    # Who is asked while it loads ends at once: there was nothing to save yet.
                    failure = Interrupted(NOT_IN_TIME) if going.is_killed else None
                    outcome = Outcome({}, failure, died=going.is_killed)
        except asyncio.CancelledError:
            if not (going.is_orphaned or going.is_cancelled):
                # The server stops, and the next one goes on from here.
                return
            if going.process is not None:
                going.process.kill()
        except Exception as error:
            outcome = Outcome({}, _told_of(job, error), died=going.process is not None)
        self._tokens.revoke(job.id)
        try:
            await outliving.ended(job, outcome)
        except LabError as error:
            log.warning("What belongs to job %d could not be ended: %s", job.id, error.message)
        is_done = outcome.failure is None and bool(outcome.result) and not outcome.result.get("stopped")
        if not is_done and (going.is_cancelled or outcome.result or isinstance(outcome.failure, Interrupted)):
            await self._ended(job, "cancelled", result=outcome.result)
        elif outcome.failure is not None:
            await self._failed(job, outcome.failure)
        else:
            await self._ended(job, "finished", result=outcome.result)
        await asyncio.to_thread(tidy, folder)

    async def _started(self, job: Job, outliving: Outliving, folder: Path) -> DetachedProcess:
        token = new_token()

        order = {**outliving.order(job), "data_dir": str(self._folder.parent)}
        await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        # Not in the order, nor in arguments or the environment, which others can see.
        await asyncio.to_thread(write_private, folder / TOKEN, token)
        await asyncio.to_thread((folder / "job.json").write_bytes, orjson.dumps(order))
        await self._stored.begun(
            job.id, digest_of(token), lambda identity: self._tokens.give(identity, token)
        )
        start = asyncio.create_task(asyncio.to_thread(DetachedProcess.start, job.kind, folder))
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            # It comes to be all the same, and whoever ends the job must know of it.
            self._going[job.id].process = await start
            raise

    def _said(self, job: Job, progress: JobProgress) -> None:
        going = self._going[job.id]
        first = going.told is None
        going.told = progress
        if first:
            # What comes within the next second is told together.
            self._keep_telling(job, None)

    def _keep_telling(self, job: Job, told: JobProgress | None) -> None:
        """Have the newest progress written and told, every second in which there is a new one."""
        going = self._going.get(job.id)
        if going is None or going.told is None:
            return
        newest = going.told
        if newest != told:
            self._stored.progressed(job.id, newest)
        asyncio.get_running_loop().call_later(TELL_EVERY_S, self._keep_telling, job, newest)

    async def _failed(self, job: Job, failure: LabError) -> None:
        result = {"error_code": failure.code}
        await self._ended(job, "failed", result=result, error=failure.message)

    async def _ended(
        self, job: Job, status: JobStatus, *, result: dict[str, Any] | None = None, error: str = ""
    ) -> None:
        told, self._going[job.id].told = self._going[job.id].told, None
        try:
            await self._stored.ended(job.id, status, told, result=result or {}, error=error)
        except LabError as refused:
            # The next start of the server marks it as failed.
            log.warning("How job %d ended could not be written: %s", job.id, refused.message)

    def forget_project(self, project_id: int) -> None:
        """A project is deleted, and what runs for it is ended. Called after the commit, on the writer thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_all_of, project_id)

    def _end_all_of(self, project_id: int) -> None:
        for going in self._going.values():
            if going.project_id == project_id and going.task is not None:
                going.is_orphaned = True
                going.task.cancel()

    def _hear(self, event: Event) -> None:
        """A run is stopped or deleted, and with it the job that trains it. Called on the writer thread."""
        if event.type in ("run.stop_requested", "run.deleted") and self._loop is not None:
            run_id = int(event.topic.partition(":")[2])
            self._loop.call_soon_threadsafe(self._end_that_of_run, run_id, event.type == "run.deleted")

    def _end_that_of_run(self, run_id: int, is_gone: bool) -> None:
        for going in self._going.values():
            if going.run_id == run_id and going.task is not None:
                going.is_cancelled, going.is_orphaned = True, is_gone
                if going.process is None or is_gone:
                    going.task.cancel()

    def _forget(self, job_id: int) -> None:
        if (timer := self._going.pop(job_id).timer) is not None:
            timer.cancel()


def _told_of(job: Job, error: Exception) -> LabError:
    """Why a job failed, as people are told."""
    if isinstance(error, LabError):
        return error
    log.error("Job %d failed", job.id, exc_info=error)
    return LabError("The lab server met an error of its own.")
