"""Webhooks: who wants to hear of which events at which address, and in which form."""

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, get_args

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.events import Event, EventType
from modelship_lab.records.webhooks import CreatedWebhook, Delivery, DeliveryStatus, NewWebhook, Webhook
from modelship_lab.server.events.deliveries import Deliveries, Waiting
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.events.sender import Answer, Sender, post
from modelship_lab.server.events.targets import Targets
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now
from modelship_lab.version import __version__

log = logging.getLogger(__name__)

MAX_PER_ACCOUNT = 100

TEST = "webhook.test"
"""The name of the delivery that tries a webhook out."""

EVERYTHING = "*"


@dataclass(frozen=True)
class Message:
    """One attempt at a delivery, as it is signed."""

    id: str
    """The same in every attempt, and no other delivery of any lab has it."""
    event: str
    timestamp: int
    """Seconds since 1970."""
    body: bytes


def any_secret(secret: str) -> None:
    """Every secret is good for an HMAC."""


@dataclass(frozen=True)
class WebhookFormat:
    """How one API tells its webhooks of events.

    Args:
        api: the API's name.
        events: the names of the events that can be asked for.
        translate: an event of the lab as this API's name and payload; None: this API does not tell of it.
        sign: the headers for a secret and a message.
        test: the payload of a test, for the webhook's topic and who asked.
        new_secret: makes a secret for a webhook that came without one.
        check_secret: raises InvalidInput for a secret that this API cannot sign with.
    """

    api: str
    events: frozenset[str]
    translate: Callable[[Event], tuple[str, dict[str, Any]] | None]
    sign: Callable[[str, Message], Mapping[str, str]]
    test: Callable[[str, str, datetime], dict[str, Any]]
    new_secret: Callable[[], str] = secrets.token_hex
    check_secret: Callable[[str], None] = any_secret


@dataclass(frozen=True)
class Accounts:
    """What webhooks need to know of accounts."""

    is_active: Callable[[int], bool]
    is_admin: Callable[[int], bool]


@dataclass(frozen=True)
class Subscription:
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
        self._subscriptions: dict[int, Subscription] = {}
        self._by_owner: dict[int, list[Subscription]] = {}
        self._by_admins: list[Subscription] = []
        self._senders: dict[int, Sender] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        for row in database.read_now(_all):
            self._subscriptions[row["id"]] = Subscription(**{**row, "events": tuple(row["events"])})
        self._index()
        events.join(self._queue)

    async def start(self) -> None:
        """Go on where the last process ended."""
        self._loop = asyncio.get_running_loop()
        self._deliveries.start()
        for one in self._subscriptions.values():
            self._sender(one.id)

    async def stop(self) -> None:
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

        def work(transaction: Transaction) -> Subscription:
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
            made = Subscription(
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
            for _, one in sorted(self._subscriptions.items())
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

    def _require(self, webhook_id: int, caller: Caller, permission: Any) -> Subscription:
        what = f"webhook {webhook_id}"
        one = self._subscriptions.get(webhook_id)
        if one is None:
            caller.require(permission)
            raise NotFound(f"There is no {what}.")
        policy.require(caller, permission, one, what)
        return one

    def _require_enabled(self, webhook_id: int, caller: Caller) -> Subscription:
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
        if webhook_id in self._subscriptions and self._loop is not None:
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
        one = self._subscriptions.get(webhook_id)
        return one is not None and not one.disabled_reason and self._accounts.is_active(one.owner_id)

    async def _post(self, webhook_id: int, waiting: Waiting) -> Answer:
        one = self._subscriptions[webhook_id]
        identity = f"{self._lab_id}-{waiting.id}"
        message = Message(identity, waiting.event, int(time.time()), waiting.body)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ModelShip-Lab/{__version__}",
            "X-Delivery-ID": identity,
            **self._formats[one.api].sign(one.secret, message),
        }
        may_be_private = one.made_by_admin and self._accounts.is_admin(one.owner_id)
        return await post(self._targets.session(one.url, may_be_private), one.url, waiting.body, headers)

    async def _gone(self, webhook_id: int) -> None:
        await self._set_disabled(self._subscriptions[webhook_id], "the receiver answered 410 Gone", LAB)

    async def _set_disabled(self, one: Subscription, reason: str, caller: Caller) -> None:
        def work(transaction: Transaction) -> None:
            transaction.execute("UPDATE webhooks SET disabled_reason = ? WHERE id = ?", reason, one.id)
            if reason:
                self._events.record(
                    transaction, "webhook.disabled", _topic(one.id), caller, one.owner_id, reason=reason
                )
            transaction.after_commit(lambda: self._keep(replace(one, disabled_reason=reason)))

        await self._database.write(work)

    # The writer thread replaces what others only read.

    def _keep(self, one: Subscription) -> None:
        self._subscriptions = {**self._subscriptions, one.id: one}
        self._index()

    def _forget(self, webhook_id: int) -> None:
        self._subscriptions = {key: one for key, one in self._subscriptions.items() if key != webhook_id}
        self._index()

    def _index(self) -> None:
        by_owner: dict[int, list[Subscription]] = defaultdict(list)
        by_admins: list[Subscription] = []
        for one in self._subscriptions.values():
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


_PREFIX = "whsec_"


def _native(event: Event) -> tuple[str, dict[str, Any]]:
    return event.type, event.model_dump(mode="json", exclude={"owner_id"})


def _native_test(topic: str, author: str, at: datetime) -> dict[str, Any]:
    return {
        "id": None,
        "type": TEST,
        "topic": topic,
        "payload": {},
        "author": author,
        "created_at": f"{at.isoformat()}Z",
    }


def _native_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


def _check_native_secret(secret: str) -> None:
    try:
        is_long_enough = len(_key_of(secret)) >= 24
    except (binascii.Error, ValueError):
        is_long_enough = False
    if not (secret.startswith(_PREFIX) and is_long_enough):
        reason = f"it must be {_PREFIX} and at least 24 bytes in base64; leave it out to be given one"
        raise InvalidInput(f"The secret: {reason}.", [{"field": "secret", "reason": reason}])


def _sign_native(secret: str, message: Message) -> dict[str, str]:
    """As Standard Webhooks has it, https://www.standardwebhooks.com."""
    signed = f"{message.id}.{message.timestamp}.".encode() + message.body
    digest = hmac.digest(_key_of(secret), signed, hashlib.sha256)
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


NATIVE_FORMAT = WebhookFormat(
    api="api",
    events=frozenset(get_args(EventType)),
    translate=_native,
    sign=_sign_native,
    test=_native_test,
    new_secret=_native_secret,
    check_secret=_check_native_secret,
)
