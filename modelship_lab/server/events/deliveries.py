"""What is to be delivered to webhooks, and what became of it: rows that outlive the process."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import LabError, NotFound
from modelship_lab.records.webhooks import Delivery, DeliveryStatus
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

log = logging.getLogger(__name__)

KEPT_DAYS = 30
KEPT_PER_WEBHOOK = 10_000
"""Finished deliveries that are kept of one webhook, and for how long."""

SAVE_PAUSE_S = 0.2
"""Results of so long are written together. What a crash loses of them is delivered a second time."""

PRUNE_PAUSE_S = 3600

MAX_UNSAVED = 10_000
"""Results that wait to be written; when there are more, nothing is sent until they are."""

_COLUMNS = (
    "id, webhook_id, event_id, event, payload, status, attempts, created_at, next_attempt_at, finished_at, "
    "response_status, error, duration_ms"
)


@dataclass(frozen=True)
class Waiting:
    """A delivery that is to be sent."""

    id: int
    event: str
    body: bytes
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt. Times are UTC without a zone."""

    id: int
    """Of the delivery."""
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    response_status: int | None
    error: str
    duration_ms: float


_ATTEMPTS = pa.schema(
    [
        ("id", pa.int64()),
        ("status", pa.string()),
        ("attempts", pa.int64()),
        ("next_attempt_at", pa.timestamp("us")),
        ("finished_at", pa.timestamp("us")),
        ("response_status", pa.int64()),
        ("error", pa.string()),
        ("duration_ms", pa.float64()),
    ]
)


class Deliveries:
    """The queue of each webhook, in the order of ids."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._attempts: dict[int, Attempt] = {}
        self._noted = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write results and to remove what is old."""
        self._tasks = [asyncio.create_task(self._save_forever()), asyncio.create_task(self._prune_forever())]

    async def stop(self) -> None:
        """Write what is still to be written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.save()
        except LabError as error:
            log.warning("The last results of deliveries were not saved: %s", error.message)

    def add(
        self,
        transaction: Transaction,
        webhook_id: int,
        event_id: int | None,
        event: str,
        payload: dict[str, Any],
    ) -> int:
        """Queue a delivery in the transaction of what it tells of; returns its id."""
        identity: int = transaction.value(
            "INSERT INTO deliveries (webhook_id, event_id, event, payload, status, created_at) "
            "VALUES (?, ?, ?, ?, 'pending', ?) RETURNING id",
            webhook_id,
            event_id,
            event,
            orjson.dumps(payload).decode(),
            now(),
        )
        return identity

    def cancel(self, transaction: Transaction, webhook_id: int) -> None:
        """Give up what waits for a webhook."""
        transaction.execute(
            "UPDATE deliveries SET status = 'cancelled', finished_at = ?, next_attempt_at = NULL "
            "WHERE webhook_id = ? AND status = 'pending'",
            now(),
            webhook_id,
        )

    async def waiting(self, webhook_id: int, after: int, limit: int) -> list[Waiting]:
        """The next deliveries to a webhook, with ids above `after`."""

        def work(cursor: Cursor) -> list[Waiting]:
            found = cursor.rows(
                "SELECT id, event, payload::VARCHAR AS body, attempts, created_at, next_attempt_at "
                "FROM deliveries WHERE webhook_id = ? AND id > ? AND status = 'pending' "
                f"ORDER BY id LIMIT {limit:d}",
                webhook_id,
                after,
            )
            return [Waiting(**{**row, "body": row["body"].encode()}) for row in found]

        return await self._database.read(work)

    async def pending(self) -> dict[int, int]:
        """How many deliveries wait, by webhook."""

        def work(cursor: Cursor) -> dict[int, int]:
            found = cursor.rows(
                "SELECT webhook_id, count(*) AS pending FROM deliveries WHERE status = 'pending' "
                "GROUP BY webhook_id"
            )
            return {row["webhook_id"]: row["pending"] for row in found}

        return await self._database.read(work)

    async def get(self, webhook_id: int, delivery_id: int) -> Delivery:
        """One delivery.

        Raises:
            NotFound: this webhook has no such delivery.
        """

        def work(cursor: Cursor) -> Delivery:
            return self._get(cursor, webhook_id, delivery_id)

        return await self._database.read(work)

    async def page(
        self, webhook_id: int, status: DeliveryStatus | None, limit: int, offset: int
    ) -> Page[Delivery]:
        """A webhook's deliveries, newest first."""

        def work(cursor: Cursor) -> Page[Delivery]:
            where = "webhook_id = ?" + (" AND status = ?" if status else "")
            parameters: list[Any] = [webhook_id, *([status] if status else [])]
            found = cursor.rows(
                f"SELECT {_COLUMNS} FROM deliveries WHERE {where} ORDER BY id DESC "
                f"LIMIT {limit:d} OFFSET {offset:d}",
                *parameters,
            )
            total = cursor.value(f"SELECT count(*) FROM deliveries WHERE {where}", *parameters)
            return Page(items=tuple(_delivery(row) for row in found), total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def replay(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Queue what was delivered once more, as a delivery of its own.

        Raises:
            NotFound: this webhook has no such delivery.
        """

        def work(transaction: Transaction) -> Delivery:
            old = self._get(transaction, webhook_id, delivery_id)
            identity = self.add(transaction, webhook_id, old.event_id, old.event, old.payload)
            return self._get(transaction, webhook_id, identity)

        return await self._database.write(work)

    def _get(self, cursor: Cursor, webhook_id: int, delivery_id: int) -> Delivery:
        row = cursor.row(
            f"SELECT {_COLUMNS} FROM deliveries WHERE webhook_id = ? AND id = ?", webhook_id, delivery_id
        )
        if row is None:
            raise NotFound(f"Webhook {webhook_id} has no delivery {delivery_id}.")
        return _delivery(row)

    async def note(self, attempt: Attempt) -> None:
        """Have the result of an attempt written with those of others; waits only when too many do."""
        self._attempts[attempt.id] = attempt
        self._noted.set()
        if len(self._attempts) > MAX_UNSAVED:
            self._has_room.clear()
        await self._has_room.wait()

    async def save(self) -> None:
        """Write all results that wait.

        Raises:
            LabError: they could not be written, and wait further.
        """
        attempts = list(self._attempts.values())
        if not attempts:
            return
        columns = [[getattr(one, name) for one in attempts] for name in _ATTEMPTS.names]
        table = pa.table(columns, schema=_ATTEMPTS)

        def work(transaction: Transaction) -> None:
            transaction.rows_with(
                "UPDATE deliveries SET status = a.status, attempts = a.attempts, "
                "next_attempt_at = a.next_attempt_at, finished_at = a.finished_at, "
                "response_status = a.response_status, error = a.error, duration_ms = a.duration_ms "
                # What was cancelled meanwhile stays so. The lower bound spares a look at all that is old.
                "FROM attempts a WHERE deliveries.id = a.id AND deliveries.id >= ? "
                "AND deliveries.status = 'pending'",
                {"attempts": table},
                min(one.id for one in attempts),
            )

        await self._database.write(work)
        for one in attempts:
            # A newer attempt may have come meanwhile.
            if self._attempts.get(one.id) is one:
                del self._attempts[one.id]
        self._has_room.set()

    async def _save_forever(self) -> None:
        while True:
            await self._noted.wait()
            self._noted.clear()
            await asyncio.sleep(SAVE_PAUSE_S)
            try:
                await self.save()
            except LabError as error:
                log.warning("Results of deliveries wait to be saved: %s", error.message)
                self._noted.set()

    async def _prune_forever(self) -> None:
        while True:
            try:
                await self._database.write(_prune)
            except LabError as error:
                log.warning("Old deliveries were not removed: %s", error.message)
            await asyncio.sleep(PRUNE_PAUSE_S)


def _prune(transaction: Transaction) -> None:
    transaction.execute(
        "DELETE FROM deliveries WHERE finished_at < ? OR id IN ("
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY webhook_id ORDER BY id DESC) AS place "
        f"FROM deliveries WHERE status <> 'pending') WHERE place > {KEPT_PER_WEBHOOK:d})",
        now() - timedelta(days=KEPT_DAYS),
    )
    # An event that was committed together with the end of its webhook may have queued one.
    transaction.execute(
        "UPDATE deliveries SET status = 'cancelled', finished_at = ?, next_attempt_at = NULL "
        "WHERE status = 'pending' AND webhook_id IN (SELECT id FROM webhooks WHERE deleted)",
        now(),
    )


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(**{**row, "payload": orjson.loads(row["payload"])})
