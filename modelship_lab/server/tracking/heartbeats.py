"""Heartbeats: runs whose process lives are told apart from those whose process died, or is not heard of."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from modelship_lab.records.errors import NotFound
from modelship_lab.records.processes import is_alive, this_machine
from modelship_lab.records.tracking import Heartbeat, RunProcess
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import LAB, Caller, Ownership
from modelship_lab.server.storage.database import Database, Transaction, now
from modelship_lab.server.tracking import liveness
from modelship_lab.server.tracking.runs import Runs

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2
"""How often the processes on this machine are looked at."""

HEARTBEAT_GRAIN_S = 5
"""Heartbeats are written at most this often; they are there to tell the dead from the living, not to be exact."""


@dataclass(frozen=True)
class Beat:
    """What a sign of life of a run's process comes to know."""

    owner_id: int
    stop: bool
    """Whether the run was asked to stop."""


class Heartbeats:
    """The signs of life of all runs: a heartbeat is one, and so is every batch of metrics."""

    def __init__(self, database: Database, events: EventLog, runs: Runs) -> None:
        self._database = database
        self._events = events
        self._runs = runs
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch for runs whose process died or is silent."""
        self._watch = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def heartbeat(self, run_id: int, caller: Caller) -> Heartbeat:
        """Hear from a run's process; one that was given up is running again.

        Raises:
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """

        def work(transaction: Transaction) -> Heartbeat:
            return Heartbeat(stop=self.beat(transaction, run_id, caller).stop)

        return await self._database.write(work)

    def beat(self, transaction: Transaction, run_id: int, caller: Caller) -> Beat:
        """Note that a run's process lives.

        Raises:
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """
        row = transaction.row(
            "SELECT owner_id, status, stop_requested, heartbeat_at, process FROM runs WHERE id = ?", run_id
        )
        if row is None:
            raise NotFound(f"There is no run {run_id}.")
        owner_id = row["owner_id"]
        if not policy.may_change(caller, Ownership(owner_id, is_public=False)):
            # Only here it matters whether it is public: every batch of metrics passes here.
            self._runs.require(transaction, run_id, caller, "train")
        caller.require("train")
        beat = Beat(owner_id, bool(row["stop_requested"]))
        if row["status"] == "interrupted" and _is_dead(row["process"]):
            # The dead do not speak: somebody else sends what they left behind.
            return beat
        moment = now()
        if row["status"] in ("unreachable", "interrupted"):
            self._mark(
                transaction, "status = 'running', ended_at = NULL, heartbeat_at = ?", "id = ?", moment, run_id
            )
        elif (moment - row["heartbeat_at"]).total_seconds() > HEARTBEAT_GRAIN_S:
            transaction.execute("UPDATE runs SET heartbeat_at = ? WHERE id = ?", moment, run_id)
            transaction.after_commit(lambda: self._runs.forget(run_id))
        return beat

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        # While the server was away nobody could be heard: give everybody the time to speak again.
        listen_at = loop.time() + liveness.LOST_AFTER_S
        while True:
            try:
                alive = await self._mark_interrupted()
                if loop.time() >= listen_at:
                    listen_at = loop.time() + liveness.LOST_AFTER_S / 4
                    await self._mark_unreachable(alive)
            except Exception:
                log.exception("Could not look for lost runs")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _mark_interrupted(self) -> list[int]:
        """Mark the runs whose process was on this machine and is gone; returns those whose process lives."""
        rows = await self._database.read(
            lambda cursor: cursor.rows(
                "SELECT id, process FROM runs WHERE status IN ('running', 'unreachable') AND heartbeats "
                "AND process.machine = ?",
                this_machine(),
            )
        )
        if not rows:
            return []
        # There may be hundreds, and each is looked up in the operating system.
        seen = await asyncio.to_thread(lambda: [is_alive(RunProcess(**row["process"])) for row in rows])
        gone = [row for row, lives in zip(rows, seen, strict=True) if lives is False]

        def work(transaction: Transaction) -> None:
            for row in gone:
                # Somebody may have resumed it meanwhile, in a process that lives.
                self._mark(
                    transaction,
                    "status = 'interrupted', ended_at = heartbeat_at",
                    "id = ? AND process = ? AND status IN ('running', 'unreachable')",
                    row["id"],
                    row["process"],
                )

        if gone:
            await self._database.write(work)
        return [row["id"] for row, lives in zip(rows, seen, strict=True) if lives]

    async def _mark_unreachable(self, alive: list[int]) -> None:
        """Mark the runs that are silent, and of which nobody can know whether they live."""
        # Only those that beat: the others may think for hours between two words.
        await self._database.write(
            lambda transaction: self._mark(
                transaction,
                "status = 'unreachable'",
                "status = 'running' AND heartbeats AND heartbeat_at < ? AND NOT list_contains(?::BIGINT[], id)",
                now() - timedelta(seconds=liveness.LOST_AFTER_S),
                alive,
            )
        )

    def _mark(self, transaction: Transaction, change: str, condition: str, *parameters: Any) -> None:
        changed = transaction.rows(
            f"UPDATE runs SET updated_at = ?, {change} WHERE {condition} RETURNING id, owner_id, status",
            now(),
            *parameters,
        )
        for row in changed:
            self._events.record(
                transaction,
                "run.changed",
                f"run:{row['id']}",
                LAB,
                row["owner_id"],
                changed=["status"],
                status=row["status"],
            )
        if changed:
            transaction.after_commit(lambda: self._runs.forget(*(row["id"] for row in changed)))


def _is_dead(process: dict[str, Any] | None) -> bool:
    return process is not None and is_alive(RunProcess(**process)) is False
