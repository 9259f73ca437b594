"""One thread runs the model, on batches of whatever is waiting when it becomes free."""

import asyncio
import logging
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np

from modelship_lab.bundles.preprocessing import Arrays, encode
from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    PredictionFailed,
    TimedOut,
    TooManyRequests,
    Unavailable,
)

__all__ = ["Dispatcher"]

log = logging.getLogger(__name__)

_SWEEP_S = 0.1


class _Job:
    """One request's inputs, raw or encoded, and the future that its answer goes to."""

    __slots__ = ("arrays", "deadline", "future", "inputs", "rows")

    def __init__(
        self,
        future: "asyncio.Future[np.ndarray]",
        inputs: Sequence[Any],
        arrays: Arrays | None,
        rows: int,
        deadline: float,
    ) -> None:
        self.future = future
        self.inputs = inputs
        self.arrays = arrays
        self.rows = rows
        self.deadline = deadline


_Result = np.ndarray | LabError


class Dispatcher:
    """Micro-batching: requests that wait at the same time are predicted together; nobody waits for company.

    Args:
        model: the loaded bundle.
        max_batch: at most so many rows are put together; a request with more runs alone, in parts.
        max_queue: at most so many requests wait.
        timeout_s: a request that has no answer after this long fails.
    """

    def __init__(
        self, model: BundleModel, max_batch: int = 64, max_queue: int = 1024, timeout_s: float = 30
    ) -> None:
        self.model = model
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._unanswered: dict[_Job, None] = {}  # in the order of their deadlines
        self._stopped = False
        self._thread = Thread(target=self._work, name="model", daemon=True)
        self._thread.start()
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    async def predict(self, inputs: Sequence[Any]) -> np.ndarray:
        """Probabilities of raw inputs: float32 (inputs, classes).

        Raises:
            InvalidInput: an input is not what the model takes.
            TooManyRequests: the queue is full.
            TimedOut: no answer in time.
            Unavailable: the worker stops.
            PredictionFailed: the model raised, or its answer is not a number.
        """
        return await self._submit(inputs, None, len(inputs))

    async def infer(self, arrays: Arrays) -> np.ndarray:
        """Probabilities of encoded inputs; raises what `predict` raises."""
        return await self._submit((), arrays, len(next(iter(arrays.values()))))

    def stop(self) -> None:
        """Take no more requests, finish those that wait and end the thread."""
        if not self._stopped:
            self._stopped = True
            self._sweeper.cancel()
            self._waiting.put(None)
            self._thread.join(self.timeout_s)

    # --- on the event loop

    def _submit(
        self, inputs: Sequence[Any], arrays: Arrays | None, rows: int
    ) -> "asyncio.Future[np.ndarray]":
        if self._stopped:
            raise Unavailable("the model worker is stopping")
        if len(self._unanswered) >= self.max_queue:
            raise TooManyRequests(f"{self.max_queue} requests are waiting already; try again in a second")
        job = _Job(self._loop.create_future(), inputs, arrays, rows, monotonic() + self.timeout_s)
        self._unanswered[job] = None
        self._waiting.put(job)
        return job.future

    def _answer(self, jobs: list[_Job], results: list[_Result]) -> None:
        for job, result in zip(jobs, results, strict=True):
            self._unanswered.pop(job, None)
            if job.future.done():  # timed out, or the caller went away
                continue
            if isinstance(result, LabError):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _sweep(self) -> None:
        """Fail what is overdue. One timer for all is far cheaper than one for each request."""
        now = monotonic()
        overdue = []
        for job in self._unanswered:
            if job.deadline > now:
                break
            overdue.append(job)
        for job in overdue:
            del self._unanswered[job]
            if not job.future.done():
                job.future.set_exception(TimedOut(f"the model gave no answer within {self.timeout_s:g} s"))
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    # --- on the model's thread

    def _work(self) -> None:
        next_job = self._waiting.get()
        while next_job is not None:
            jobs, next_job = self._gather(next_job)
            jobs = [job for job in jobs if not job.future.done()]
            if jobs:
                results = self._results(jobs)
                try:
                    self._loop.call_soon_threadsafe(self._answer, jobs, results)
                except RuntimeError:  # the event loop is closed: nobody is left to be answered
                    return
            if next_job is _NOTHING:
                next_job = self._waiting.get()

    def _gather(self, first: _Job) -> tuple[list[_Job], "_Job | None"]:
        """The jobs of the next batch, and the job after it, or `_NOTHING` if none waits yet."""
        jobs, rows = [first], first.rows
        while rows < self.max_batch:
            try:
                job = self._waiting.get_nowait()
            except Empty:
                return jobs, _NOTHING
            if job is None or rows + job.rows > self.max_batch:
                return jobs, job
            jobs.append(job)
            rows += job.rows
        return jobs, _NOTHING

    def _results(self, jobs: list[_Job]) -> list[_Result]:
        try:
            return self._together(jobs)
        except Exception as error:
            # Somebody's bad input must not fail the others, so each is tried alone.
            return [self._alone(job) for job in jobs] if len(jobs) > 1 else [_as_lab_error(error)]

    def _alone(self, job: _Job) -> _Result:
        try:
            return self._together([job])[0]
        except Exception as error:
            return _as_lab_error(error)

    def _together(self, jobs: list[_Job]) -> list[_Result]:
        model = self.model
        if len(jobs) == 1 and jobs[0].arrays is None:
            return [model.probabilities(jobs[0].inputs)]
        spec = model.manifest.preprocessing
        raw = [job for job in jobs if job.arrays is None]
        encoded = [job for job in jobs if job.arrays is not None]
        batches = [job.arrays for job in encoded if job.arrays is not None]
        if raw:
            batches.insert(0, encode(spec, [value for job in raw for value in job.inputs]))
        probabilities = model.run(_concatenate(batches))
        found: dict[_Job, _Result] = {}
        start = 0
        for job in (*raw, *encoded):
            found[job] = probabilities[start : start + job.rows]
            start += job.rows
        return [found[job] for job in jobs]


_NOTHING = _Job.__new__(_Job)


def _concatenate(batches: list[Arrays]) -> Arrays:
    """One batch of several; texts are padded to the longest."""
    if len(batches) == 1:
        return batches[0]
    if "tokens" in batches[0]:
        longest = max(batch["tokens"].shape[1] for batch in batches)
        padded = [
            np.pad(batch["tokens"], ((0, 0), (0, longest - batch["tokens"].shape[1]))) for batch in batches
        ]
        return {"tokens": np.concatenate(padded)}
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _as_lab_error(error: Exception) -> LabError:
    """What the caller is told; what went wrong inside stays in the log."""
    if isinstance(error, LabError):
        if not isinstance(error, InvalidInput):
            log.error("prediction failed: %s", error, exc_info=error)
        return error
    log.error("prediction failed", exc_info=error)
    return PredictionFailed(f"the model could not be run ({type(error).__name__})")
