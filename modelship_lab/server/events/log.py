"""The append-only event log: written with the change it tells of, published after the commit."""

from collections.abc import Callable, Collection
from typing import Any

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.events import Event, EventType
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

_COLUMNS = "id, type, topic, payload, author, owner_id, created_at"

Listener = Callable[[Event], None]

Companion = Callable[[Transaction, Event], None]


class EventLog:
    """Records events and hands each to the listeners once it is on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Listener] = []
        self._companions: list[Companion] = []

    def listen(self, listener: Listener) -> None:
        """Have `listener` called, on the writer thread, with every event after its commit. It must be quick."""
        self._listeners.append(listener)

    def join(self, companion: Companion) -> None:
        """Have `companion` called with every event in its transaction, to write what goes with it."""
        self._companions.append(companion)

    def record(
        self,
        transaction: Transaction,
        type: EventType,
        topic: str,
        caller: Caller,
        owner_id: int,
        **payload: Any,
    ) -> None:
        """Write an event in the transaction of the change it tells of.

        Args:
            topic: what it is about, e.g. `run:12`.
            caller: who did it.
            owner_id: the account that the thing belongs to; with who administers, it hears of the event.
        """
        (identity,) = transaction.next_ids("event_ids")
        created_at = now()
        row = {
            "id": identity,
            "type": type,
            "topic": topic,
            "payload": orjson.dumps(payload).decode(),
            "author": caller.name,
            "owner_id": owner_id,
            "account_id": caller.account_id,
            "credential": caller.credential,
            "address": caller.address,
            "request_id": caller.request_id,
            "created_at": created_at,
        }
        transaction.put("events", row, key="id")
        event = Event(
            id=identity,
            type=type,
            topic=topic,
            payload=payload,
            author=caller.name,
            owner_id=owner_id,
            created_at=created_at,
        )
        for companion in self._companions:
            companion(transaction, event)
        transaction.after_commit(lambda: self._publish(event))

    def _publish(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    async def since(self, after: int, topics: Collection[str], limit: int, caller: Caller) -> list[Event]:
        """The first `limit` events of these topics that are newer than the id `after`, oldest first.

        Args:
            topics: what the caller was found to see; `*` is everything that is the caller's.
        """
        condition, parameters = _of(topics, caller)

        def work(cursor: Cursor) -> list[Event]:
            found = cursor.rows(
                f"SELECT {_COLUMNS} FROM events WHERE id > ? AND {condition} ORDER BY id LIMIT {limit:d}",
                after,
                *parameters,
            )
            return [Event(**{**row, "payload": orjson.loads(row["payload"])}) for row in found]

        return await self._database.read(work)

    async def page(self, after: int, topic: str | None, limit: int, caller: Caller) -> Page[Event]:
        """Events newer than the id `after`, oldest first.

        Args:
            topic: one that the caller was found to see; None: everything that is the caller's.
        """
        condition, values = _of([topic or "*"], caller)
        where, parameters = f"id > ? AND {condition}", [after, *values]

        def work(cursor: Cursor) -> Page[Event]:
            total = cursor.value(f"SELECT count(*) FROM events WHERE {where}", *parameters)
            found = cursor.rows(
                f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY id LIMIT {limit:d}", *parameters
            )
            for row in found:
                row["payload"] = orjson.loads(row["payload"])
            return Page(items=tuple(Event(**row) for row in found), total=total, limit=limit, offset=0)

        return await self._database.read(work)


def _of(topics: Collection[str], caller: Caller) -> tuple[str, list[Any]]:
    """The events of topics as an SQL condition with its parameters."""
    if "*" not in topics:
        return "list_contains(?, topic)", [list(topics)]
    # Whoever may see a thing of somebody else's hears of it when they name it, not unasked.
    owner_id = policy.hears_of(caller)
    if owner_id is None:
        return "true", []
    return "(owner_id = ? OR list_contains(?, topic))", [owner_id, list(topics)]
