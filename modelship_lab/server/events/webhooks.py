"""Webhooks: who wants to hear of which events at which address."""

import asyncio
import functools
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.events import Event
from modelship_lab.records.identity import Permission
from modelship_lab.records.webhooks import CreatedWebhook, Delivery, DeliveryStatus, NewWebhook, Webhook
from modelship_lab.server.events.deliveries import Deliveries, Waiting
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.events.sender import Answer, Sender, post
from modelship_lab.server.events.targets import Targets
from modelship_lab.server.events.webhook_format import TEST, WebhookFormat, WebhookMessage
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now
from modelship_lab.version import __version__

log = logging.getLogger(__name__)

MAX_PER_ACCOUNT = 100

EVERYTHING = "*"


@dataclass(frozen=True)
class _Webhook:
    """A webhook as it is kept in memory."""

    id: int
    owner_id: int
    api: str
    url: str = field(repr=False)
    events: tuple[str, ...]
    secret: str = field(repr=False)
    made_by_admin: bool
    disabled_reason: str
    created_at: datetime

    is_public = False
    """A webhook is its owner's alone."""

    def record(self, pending: int) -> Webhook:
        return Webhook(
            id=self.id,
            owner_id=self.owner_id,
            api=self.api,
            url=self.url,
            events=self.events,
            disabled_reason=self.disabled_reason,
            pending=pending,
            created_at=self.created_at,
        )


class Webhooks:
    """Everybody's webhooks. All of them are in memory; deliveries are on disk."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        targets: Targets,
        accounts: Accounts,
        formats: Sequence[WebhookFormat],
        lab_id: str,
    ) -> None:
        self._database = database
        self._events = events
        self._targets = targets
        self._accounts = accounts
        self._formats = {one.api: one for one in formats}
        self._lab_id = lab_id
        self._deliveries = Deliveries(database)
        self._webhooks: dict[int, _Webhook] = {}
        self._by_owner: dict[int, list[_Webhook]] = {}
        self._by_admins: list[_Webhook] = []
        self._senders: dict[int, Sender] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        for row in database.read_now(_all):
            self._webhooks[row["id"]] = _Webhook(**{**row, "events": tuple(row["events"])})
        self._index()
        events.join(self._queue)

    async def start(self) -> None:
        """Go on where the last process ended."""
        self._loop = asyncio.get_running_loop()
        self._deliveries.start()
        for one in self._webhooks.values():
            self._sender(one.id)

    async def stop(self) -> None:
        """Send nothing more; what was sent is on disk when this returns."""
        self._loop = None
        await asyncio.gather(*(sender.stop() for sender in self._senders.values()))
        await self._deliveries.stop()
        await self._targets.close()

    async def create(self, new: NewWebhook, caller: Caller, api: str = "api") -> CreatedWebhook:
        """Have events sent to an address.

        Args:
            api: whose names of events and payloads it gets.

        Raises:
            InvalidInput: an unknown event, an address that may not be called, a secret of the wrong form.
            Conflict: the account has as many as it may have.
        """
        caller.require("write")
        form = self._formats[api]
        unknown = [name for name in new.events if name != EVERYTHING and name not in form.events]
        if unknown:
            raise InvalidInput(
                f"There is no event '{unknown[0]}'; there are {', '.join(sorted(form.events))}, and * for all.",
                [{"field": "events", "reason": f"there is no '{name}'"} for name in unknown],
            )
        secret = new.secret.get_secret_value() if new.secret else form.new_secret()
        form.check_secret(secret)
        await self._targets.check(new.url, caller.is_admin)
        created_at = now()
        events = tuple(dict.fromkeys(new.events))

        def work(transaction: Transaction) -> _Webhook:
            count = transaction.value(
                "SELECT count(*) FROM webhooks WHERE owner_id = ? AND NOT deleted", caller.account_id
            )
            if count >= MAX_PER_ACCOUNT:
                raise Conflict(f"An account has at most {MAX_PER_ACCOUNT} webhooks: delete one first.")
            identity = transaction.value(
                "INSERT INTO webhooks (owner_id, api, url, events, secret, made_by_admin, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                caller.account_id,
                api,
                new.url,
                list(events),
                secret,
                caller.is_admin,
                created_at,
            )
            made = _Webhook(
                id=identity,
                owner_id=caller.account_id,
                api=api,
                url=new.url,
                events=events,
                secret=secret,
                made_by_admin=caller.is_admin,
                disabled_reason="",
                created_at=created_at,
            )
            # Neither the address nor the secret: either may let somebody in.
            self._events.record(
                transaction,
                "webhook.created",
                _topic(identity),
                caller,
                caller.account_id,
                events=list(events),
            )
            transaction.after_commit(lambda: self._keep(made))
            return made

        made = await self._database.write(work)
        return CreatedWebhook(**made.record(0).model_dump(), secret=secret)

    async def page(self, caller: Caller, limit: int, offset: int, api: str | None = None) -> Page[Webhook]:
        """The webhooks that the caller may see, oldest first."""
        caller.require("read")
        seen = [
            one
            for _, one in sorted(self._webhooks.items())
            if policy.may_see(caller, one) and api in (None, one.api)
        ]
        pending = await self._deliveries.pending()
        items = tuple(one.record(pending.get(one.id, 0)) for one in seen[offset : offset + limit])
        return Page(items=items, total=len(seen), limit=limit, offset=offset)

    async def get(self, webhook_id: int, caller: Caller) -> Webhook:
        """One webhook.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        one = self._require(webhook_id, caller, "read")
        pending = await self._deliveries.pending()
        return one.record(pending.get(one.id, 0))

    async def delete(self, webhook_id: int, caller: Caller) -> None:
        """Send nothing any more; what waits is cancelled."""
        one = self._require(webhook_id, caller, "write")

        def work(transaction: Transaction) -> None:
            transaction.execute("UPDATE webhooks SET deleted = true WHERE id = ?", webhook_id)
            self._deliveries.cancel(transaction, webhook_id)
            self._events.record(transaction, "webhook.deleted", _topic(webhook_id), caller, one.owner_id)
            transaction.after_commit(lambda: self._forget(webhook_id))

        await self._database.write(work)
        sender = self._senders.pop(webhook_id, None)
        if sender is not None:
            await sender.stop()

    async def enable(self, webhook_id: int, caller: Caller) -> Webhook:
        """Send again, first what still waits."""
        one = self._require(webhook_id, caller, "write")
        if one.disabled_reason:
            await self._set_disabled(one, "", caller)
            self._wake(webhook_id)
        return await self.get(webhook_id, caller)

    async def test(self, webhook_id: int, caller: Caller) -> Delivery:
        """Queue a delivery that tells of nothing.

        Raises:
            Conflict: the webhook is disabled.
        """
        one = self._require_enabled(webhook_id, caller)
        payload = self._formats[one.api].test(_topic(webhook_id), caller.name, now())

        def work(transaction: Transaction) -> int:
            transaction.after_commit(lambda: self._wake(webhook_id))
            return self._deliveries.add(transaction, webhook_id, None, TEST, payload)

        identity = await self._database.write(work)
        return await self._deliveries.get(webhook_id, identity)

    async def deliveries(
        self, webhook_id: int, caller: Caller, status: DeliveryStatus | None, limit: int, offset: int
    ) -> Page[Delivery]:
        """What was delivered, newest first."""
        self._require(webhook_id, caller, "read")
        return await self._deliveries.page(webhook_id, status, limit, offset)

    async def replay(self, webhook_id: int, delivery_id: int, caller: Caller) -> Delivery:
        """Send the payload of an earlier delivery once more.

        Raises:
            NotFound: there is no such delivery.
            Conflict: the webhook is disabled.
        """
        self._require_enabled(webhook_id, caller)
        made = await self._deliveries.replay(webhook_id, delivery_id)
        self._wake(webhook_id)
        return made

    def _require(self, webhook_id: int, caller: Caller, permission: Permission) -> _Webhook:
        what = f"webhook {webhook_id}"
        one = self._webhooks.get(webhook_id)
        if one is None:
            caller.require(permission)
            raise NotFound(f"There is no {what}.")
        policy.require(caller, permission, one, what)
        return one

    def _require_enabled(self, webhook_id: int, caller: Caller) -> _Webhook:
        one = self._require(webhook_id, caller, "write")
        if one.disabled_reason:
            raise Conflict(f"Webhook {webhook_id} is disabled ({one.disabled_reason}): enable it first.")
        return one

    def _queue(self, transaction: Transaction, event: Event) -> None:
        """Queue an event for those who want it, in the transaction that records it."""
        for one in (*self._by_owner.get(event.owner_id, ()), *self._by_admins):
            if one.owner_id != event.owner_id and not self._accounts.is_admin(one.owner_id):
                continue
            try:
                told = self._formats[one.api].translate(event)
            except Exception:
                # The change that this event tells of must not fail for it.
                log.exception("Event %s could not be told to webhooks of %s", event.type, one.api)
                continue
            if told is None or not (EVERYTHING in one.events or told[0] in one.events):
                continue
            self._deliveries.add(transaction, one.id, event.id, *told)
            transaction.after_commit(functools.partial(self._wake, one.id))

    def _wake(self, webhook_id: int) -> None:
        """From any thread: there is something to send."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake_here, webhook_id)

    def _wake_here(self, webhook_id: int) -> None:
        if webhook_id in self._webhooks and self._loop is not None:
            self._sender(webhook_id).wake()

    def _sender(self, webhook_id: int) -> Sender:
        if webhook_id not in self._senders:
            self._senders[webhook_id] = Sender(
                webhook_id,
                self._deliveries,
                post=functools.partial(self._post, webhook_id),
                may_send=functools.partial(self._may_send, webhook_id),
                gone=functools.partial(self._gone, webhook_id),
            )
            self._senders[webhook_id].start()
        return self._senders[webhook_id]

    def _may_send(self, webhook_id: int) -> bool:
        one = self._webhooks.get(webhook_id)
        return one is not None and not one.disabled_reason and self._accounts.active(one.owner_id) is not None

    async def _post(self, webhook_id: int, waiting: Waiting) -> Answer:
        one = self._webhooks[webhook_id]
        identity = f"{self._lab_id}-{waiting.id}"
        message = WebhookMessage(identity, waiting.event, int(time.time()), waiting.body)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ModelShip-Lab/{__version__}",
            "X-Delivery-ID": identity,
            **self._formats[one.api].sign(one.secret, message),
        }
        may_be_private = one.made_by_admin and self._accounts.is_admin(one.owner_id)
        return await post(self._targets.session(one.url, may_be_private), one.url, waiting.body, headers)

    async def _gone(self, webhook_id: int) -> None:
        await self._set_disabled(self._webhooks[webhook_id], "the receiver answered 410 Gone", LAB)

    async def _set_disabled(self, one: _Webhook, reason: str, caller: Caller) -> None:
        def work(transaction: Transaction) -> None:
            transaction.execute("UPDATE webhooks SET disabled_reason = ? WHERE id = ?", reason, one.id)
            if reason:
                self._events.record(
                    transaction, "webhook.disabled", _topic(one.id), caller, one.owner_id, reason=reason
                )
            transaction.after_commit(lambda: self._keep(replace(one, disabled_reason=reason)))

        await self._database.write(work)

    # The writer thread replaces what others only read.

    def _keep(self, one: _Webhook) -> None:
        self._webhooks = {**self._webhooks, one.id: one}
        self._index()

    def _forget(self, webhook_id: int) -> None:
        self._webhooks = {key: one for key, one in self._webhooks.items() if key != webhook_id}
        self._index()

    def _index(self) -> None:
        by_owner: dict[int, list[_Webhook]] = defaultdict(list)
        by_admins: list[_Webhook] = []
        for one in self._webhooks.values():
            if not one.disabled_reason:
                # What was made with less than an administrator's rights hears of its owner's things only.
                (by_admins if one.made_by_admin else by_owner[one.owner_id]).append(one)
        self._by_owner, self._by_admins = dict(by_owner), by_admins


def _all(cursor: Cursor) -> list[dict[str, Any]]:
    return cursor.rows(
        "SELECT id, owner_id, api, url, events, secret, made_by_admin, disabled_reason, created_at "
        "FROM webhooks WHERE NOT deleted ORDER BY id"
    )


def _topic(webhook_id: int) -> str:
    return f"webhook:{webhook_id}"
