"""API keys: made once, recognized by their digest, revoked."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from modelship_lab.records.base import Page, as_utc, utc_now
from modelship_lab.records.errors import Conflict, InvalidInput, LabError, NotFound
from modelship_lab.records.events import EventType
from modelship_lab.records.identity import ApiKey, CreatedApiKey, NewApiKey, Permission
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.policy import API_KEY, Caller, Ownership
from modelship_lab.server.storage.database import Database, Transaction, now

PREFIX = "mlship_"

SHOWN = len(PREFIX) + 6
"""How many characters of a key are kept, to recognize it by."""

MAX_KEYS = 1000
"""Of one account, that are not revoked."""

WRITE_USES_EVERY_S = 60.0


@dataclass(frozen=True)
class _Key:
    """What is kept of a key: never the key itself."""

    id: int
    account_id: int
    name: str
    prefix: str
    digest: str
    permissions: frozenset[Permission]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeys:
    """The API keys of all accounts, in memory by their digest."""

    def __init__(self, database: Database, events: EventLog, accounts: Accounts) -> None:
        self._database = database
        self._events = events
        self._accounts = accounts
        found = database.read_now(lambda cursor: cursor.rows("SELECT * FROM api_keys ORDER BY id"))
        self._used = {row["id"]: as_utc(row["last_used_at"]) for row in found if row["last_used_at"]}
        self._unwritten: set[int] = set()
        self._replace(_key(row) for row in found)
        self._writing: asyncio.Task[None] | None = None

    def _replace(self, keys: Iterable[_Key]) -> None:
        by_id = {key.id: key for key in keys}
        self._by_digest = {key.digest: key for key in by_id.values() if key.revoked_at is None}
        self._by_id = by_id

    def _keep(self, key: _Key) -> None:
        self._replace({**self._by_id, key.id: key}.values())

    def start(self) -> None:
        """Begin to write down from time to time when keys were used."""
        self._writing = asyncio.create_task(self._write_uses_forever())

    async def stop(self) -> None:
        """Write down when keys were used last."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        with contextlib.suppress(LabError):
            # The database has logged its fault; the server stops all the same.
            await self._write_uses()

    def caller(self, key: str) -> Caller | None:
        """Whose key this is, with what both key and account may do; None when it is not valid, or no longer."""
        found = self._by_digest.get(_digest(key))
        if found is None:
            return None
        moment = utc_now()
        account = self._accounts.active(found.account_id)
        if account is None or (found.expires_at is not None and found.expires_at <= moment):
            return None
        self._used[found.id] = moment
        self._unwritten.add(found.id)
        return Caller(
            account.id,
            account.username,
            found.permissions.intersection(account.permissions) | {"read"},
            f"{API_KEY}{found.id}",
        )

    async def create(self, new: NewApiKey, caller: Caller) -> CreatedApiKey:
        """Make a key for the caller's account.

        Raises:
            PermissionDenied: the caller is an API key itself, or lacks what the key would have.
            InvalidInput: the key would have expired already.
            Conflict: the account has too many keys.
        """
        policy.require_may_manage_credentials(caller)
        wanted = caller.permissions if new.permissions is None else {"read", *new.permissions}
        policy.require_may_give(caller, wanted)
        if new.expires_at is not None and new.expires_at <= utc_now():
            raise InvalidInput(
                "The key would have expired already.",
                [{"field": "expires_at", "reason": "is in the past"}],
            )
        secret = PREFIX + secrets.token_urlsafe(32)

        def work(transaction: Transaction) -> _Key:
            count = transaction.value(
                "SELECT count(*) FROM api_keys WHERE account_id = ? AND revoked_at IS NULL", caller.account_id
            )
            if count >= MAX_KEYS:
                raise Conflict(f"The account has {count} API keys. Revoke one that is no longer used.")
            row = transaction.row(
                "INSERT INTO api_keys (account_id, name, prefix, digest, permissions, created_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *",
                caller.account_id,
                new.name,
                secret[:SHOWN],
                _digest(secret),
                sorted(wanted),
                now(),
                new.expires_at.replace(tzinfo=None) if new.expires_at else None,
            )
            assert row is not None
            key = _key(row)
            transaction.after_commit(lambda: self._keep(key))
            self._record(transaction, "key.created", key, caller)
            return key

        key = await self._database.write(work)
        return CreatedApiKey(**self._as_record(key).model_dump(), key=secret)

    def page(self, caller: Caller, everybodys: bool, limit: int, offset: int) -> Page[ApiKey]:
        """The caller's keys, or everybody's, the newest first.

        Raises:
            PermissionDenied: everybody's are asked for by who is no administrator.
        """
        if everybodys:
            caller.require("admin")
        found = [
            key for key in reversed(self._by_id.values()) if everybodys or key.account_id == caller.account_id
        ]
        items = tuple(self._as_record(key) for key in found[offset : offset + limit])
        return Page(items=items, total=len(found), limit=limit, offset=offset)

    async def revoke(self, key_id: int, caller: Caller) -> None:
        """End a key. Once is as good as twice.

        Raises:
            PermissionDenied: the caller is an API key itself.
            NotFound: the caller has no such key.
        """
        policy.require_may_manage_credentials(caller)
        key = self._by_id.get(key_id)
        if key is None or not policy.may_change(caller, Ownership(key.account_id, is_public=False)):
            raise NotFound(f"There is no API key {key_id}.")

        def work(transaction: Transaction) -> None:
            row = transaction.row(
                "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING *",
                now(),
                key_id,
            )
            if row is not None:
                revoked = _key(row)
                transaction.after_commit(lambda: self._keep(revoked))
                self._record(transaction, "key.revoked", revoked, caller)

        await self._database.write(work)

    def _record(self, transaction: Transaction, type: EventType, key: _Key, caller: Caller) -> None:
        self._events.record(
            transaction,
            type,
            f"account:{key.account_id}",
            caller,
            key.account_id,
            key_id=key.id,
            name=key.name,
            permissions=sorted(key.permissions),
        )

    def _as_record(self, key: _Key) -> ApiKey:
        return ApiKey(
            id=key.id,
            account_id=key.account_id,
            username=self._accounts.get(key.account_id).username,
            name=key.name,
            prefix=key.prefix,
            permissions=tuple(sorted(key.permissions)),
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=self._used.get(key.id),
            revoked_at=key.revoked_at,
        )

    async def _write_uses_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_USES_EVERY_S)
            # What could not be written is tried again with the next; the database has logged why.
            with contextlib.suppress(LabError):
                await self._write_uses()

    async def _write_uses(self) -> None:
        keys, self._unwritten = self._unwritten, set()
        if not keys:
            return
        used = pa.table({"id": list(keys), "used_at": [self._used[key].replace(tzinfo=None) for key in keys]})
        try:
            await self._database.write(
                lambda transaction: transaction.rows_with(
                    "UPDATE api_keys SET last_used_at = used_keys.used_at FROM used_keys "
                    "WHERE api_keys.id = used_keys.id",
                    {"used_keys": used},
                )
            )
        except LabError:
            self._unwritten |= keys
            raise


def _digest(key: str) -> str:
    # A key is 32 random bytes: nobody finds one by trying, so nothing slower is needed.
    return hashlib.sha256(key.encode()).hexdigest()


def _key(row: dict[str, Any]) -> _Key:
    return _Key(
        row["id"],
        row["account_id"],
        row["name"],
        row["prefix"],
        row["digest"],
        frozenset(row["permissions"]),
        as_utc(row["created_at"]),
        as_utc(row["expires_at"]) if row["expires_at"] else None,
        as_utc(row["revoked_at"]) if row["revoked_at"] else None,
    )
