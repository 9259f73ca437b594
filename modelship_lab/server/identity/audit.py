"""The audit log: the events with who did it, and how they came in."""

from typing import Any

import orjson

from modelship_lab.records.base import Page
from modelship_lab.records.events import EventType
from modelship_lab.records.identity import AuditEntry
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Cursor, Database

_COLUMNS = (
    "id, type, topic, payload, author, owner_id, created_at, account_id, credential, address, request_id"
)


class Audit:
    """Reads the event log for administrators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        caller: Caller,
        account_id: int | None,
        type: EventType | None,
        topic: str | None,
        before: int | None,
        limit: int,
    ) -> Page[AuditEntry]:
        """The newest entries; None leaves a filter out.

        Args:
            account_id: only what this account did.
            before: only entries with a lower id.

        Raises:
            PermissionDenied: the caller is no administrator.
        """
        caller.require("admin")
        filters = {"account_id =": account_id, "type =": type, "topic =": topic, "id <": before}
        given = {name: value for name, value in filters.items() if value is not None}
        where = " AND ".join(["true", *(f"{name} ?" for name in given)])

        def work(cursor: Cursor) -> Page[AuditEntry]:
            total = cursor.value(f"SELECT count(*) FROM events WHERE {where}", *given.values())
            found: list[dict[str, Any]] = cursor.rows(
                f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY id DESC LIMIT {limit:d}",
                *given.values(),
            )
            items = tuple(AuditEntry(**{**row, "payload": orjson.loads(row["payload"])}) for row in found)
            return Page(items=items, total=total, limit=limit, offset=0)

        return await self._database.read(work)
