"""Webhooks and what was delivered to them."""

from typing import Any, Literal

from pydantic import Field, SecretStr

from modelship_lab.records.base import Record, UtcTime

DeliveryStatus = Literal["pending", "delivered", "failed", "cancelled"]
"""`failed`: given up after a day; `cancelled`: its webhook was deleted."""


class NewWebhook(Record):
    """Where to send which events."""

    url: str = Field(min_length=1, max_length=2000)
    events: tuple[str, ...] = Field(min_length=1, max_length=100)
    """Names of events; `*` is all of them."""
    secret: SecretStr | None = Field(default=None, min_length=1, max_length=500)
    """Signs what is sent; made by the server when it is left out."""


class Webhook(Record):
    """Somebody's address that hears of events."""

    id: int
    owner_id: int
    api: str
    url: str
    events: tuple[str, ...]
    disabled_reason: str
    """Why it gets nothing any more; empty while it does."""
    pending: int
    """Deliveries that wait."""
    created_at: UtcTime


class CreatedWebhook(Webhook):
    """A webhook as it is told to who made it."""

    secret: str = Field(repr=False)
    """The secret of the signatures. Shown this once."""


class Delivery(Record):
    """One event on its way to one webhook."""

    id: int
    webhook_id: int
    event_id: int | None
    """None for a test."""
    event: str
    payload: dict[str, Any]
    status: DeliveryStatus
    attempts: int
    created_at: UtcTime
    next_attempt_at: UtcTime | None
    finished_at: UtcTime | None
    response_status: int | None
    error: str
    duration_ms: float | None
