"""Heartbeats: runs whose process lives are told apart from those whose process died."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta

from modelship_lab.records.errors import NotFound
from modelship_lab.records.tracking import Heartbeat
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import LAB, Caller, Ownership
from modelship_lab.server.storage.database import Database, Transaction, now
from modelship_lab.server.tracking.runs import Runs

log = logging.getLogger(__name__)

LOST_AFTER_S = 60
"""A running run that has not been heard of for so long is marked interrupted. Clients beat every 5 s or less."""

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
        """Begin to watch for runs whose process died."""
        self._watch = asyncio.create_task(self._mark_lost_runs())

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
            "SELECT owner_id, status, stop_requested, heartbeat_at FROM runs WHERE id = ?", run_id
        )
        if row is None:
            raise NotFound(f"There is no run {run_id}.")
        owner_id = row["owner_id"]
        if not policy.may_change(caller, Ownership(owner_id, is_public=False)):
            # Only here it matters whether it is public: every batch of metrics passes here.
            self._runs.require(transaction, run_id, caller, "train")
        caller.require("train")
        moment = now()
        if row["status"] == "interrupted":
            transaction.execute(
                "UPDATE runs SET status = 'running', ended_at = NULL, heartbeat_at = ?, updated_at = ? "
                "WHERE id = ?",
                moment,
                moment,
                run_id,
            )
            self._events.record(
                transaction,
                "run.changed",
                f"run:{run_id}",
                LAB,
                owner_id,
                changed=["status"],
                status="running",
            )
        elif (moment - row["heartbeat_at"]).total_seconds() > HEARTBEAT_GRAIN_S:
            transaction.execute("UPDATE runs SET heartbeat_at = ? WHERE id = ?", moment, run_id)
        else:
            return Beat(owner_id, bool(row["stop_requested"]))
        transaction.after_commit(lambda: self._runs.forget(run_id))
        return Beat(owner_id, bool(row["stop_requested"]))

    async def _mark_lost_runs(self) -> None:
        def work(transaction: Transaction) -> None:
            moment = now()
            # Only those that beat: the others may think for hours between two words.
            lost = transaction.rows(
                "UPDATE runs SET status = 'interrupted', ended_at = heartbeat_at, updated_at = ? "
                "WHERE status = 'running' AND heartbeats AND heartbeat_at < ? RETURNING id, owner_id",
                moment,
                moment - timedelta(seconds=LOST_AFTER_S),
            )
            for row in lost:
                self._events.record(
                    transaction,
                    "run.changed",
                    f"run:{row['id']}",
                    LAB,
                    row["owner_id"],
                    changed=["status"],
                    status="interrupted",
                )
            if lost:
                transaction.after_commit(lambda: self._runs.forget(*(row["id"] for row in lost)))

        # While the server was away nobody could be heard: give everybody the time to speak again.
        await asyncio.sleep(LOST_AFTER_S)
        while True:
            try:
                await self._database.write(work)
            except Exception:
                log.exception("Could not look for lost runs")
            await asyncio.sleep(LOST_AFTER_S / 4)
