"""Who runs and who waits: so many at once, the others in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """The turns of one kind of jobs.

    Args:
        most: how many run at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[int] = set()
        self._waiting: dict[int, asyncio.Event] = {}

    def position(self, job_id: int) -> int | None:
        """How many come before a job that waits; None when it does not wait."""
        if job_id not in self._waiting:
            return None
        return list(self._waiting).index(job_id)

    @asynccontextmanager
    async def turn(self, job_id: int, *, at_once: bool = False) -> AsyncIterator[None]:
        """Wait for a job's turn, which ends with the context.

        Args:
            at_once: its process runs already: it does not wait, and counts all the same.
        """
        if not at_once:
            self._waiting[job_id] = called = asyncio.Event()
            self._call()
            try:
                await called.wait()
            except asyncio.CancelledError:
                # It may have been called in the moment in which it gave up.
                del self._waiting[job_id]
                self._call()
                raise
            del self._waiting[job_id]
        self._running.add(job_id)
        try:
            yield
        finally:
            self._running.discard(job_id)
            self._call()

    def _call(self) -> None:
        free = self._most - len(self._running) - sum(event.is_set() for event in self._waiting.values())
        for event in self._waiting.values():
            if free <= 0:
                return
            if not event.is_set():
                event.set()
                free -= 1
