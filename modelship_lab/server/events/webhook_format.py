"""How an API words what its webhooks are sent, and how it signs that; the native one as Standard Webhooks has it."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.events import Event, EventType

TEST = "webhook.test"
"""The name of the delivery that tries a webhook out."""


@dataclass(frozen=True)
class WebhookMessage:
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
    sign: Callable[[str, WebhookMessage], Mapping[str, str]]
    test: Callable[[str, str, datetime], dict[str, Any]]
    new_secret: Callable[[], str] = secrets.token_hex
    check_secret: Callable[[str], None] = any_secret


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


def _sign_native(secret: str, message: WebhookMessage) -> dict[str, str]:
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
