"""Webhooks: addresses that a lab tells of events."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from modelship_lab.client.checked import checked
from modelship_lab.records.base import Page
from modelship_lab.records.webhooks import CreatedWebhook, Delivery, DeliveryStatus, NewWebhook, Webhook

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


class Webhooks:
    """The webhooks of an account. Calling it lists them: `lab.webhooks()`."""

    def __init__(self, lab: "Lab") -> None:
        self._lab = lab

    def __call__(self) -> list[Webhook]:
        """All webhooks."""
        return self._lab.pages(Page[Webhook], "webhooks")

    def get(self, webhook_id: int) -> Webhook:
        """A webhook by its id."""
        return self._lab.connection.record(Webhook, "GET", f"webhooks/{webhook_id}")

    def new(self, url: str, events: Iterable[str] = ("*",), secret: str | None = None) -> CreatedWebhook:
        """Tell an address of events.

        Args:
            url: where they are sent.
            events: types of events, e.g. `run.changed`; `*` is all of them.
            secret: signs what is sent; default: the lab makes one. It is told this once, as the
                answer's `secret`, and is kept out of the repr.
        """
        given: dict[str, Any] = {} if secret is None else {"secret": secret}
        new = checked(NewWebhook, url=url, events=tuple(events), **given)
        return self._lab.connection.record(CreatedWebhook, "POST", "webhooks", json=new)

    def delete(self, webhook_id: int) -> None:
        """Tell an address nothing more; what waits for it is not sent."""
        self._lab.connection.request("DELETE", f"webhooks/{webhook_id}")

    def enable(self, webhook_id: int) -> Webhook:
        """Go on with a webhook whose receiver had answered 410 Gone."""
        return self._lab.connection.record(Webhook, "POST", f"webhooks/{webhook_id}/enable")

    def test(self, webhook_id: int) -> Delivery:
        """Send a test event; `deliveries` tells what became of it."""
        return self._lab.connection.record(Delivery, "POST", f"webhooks/{webhook_id}/test")

    def deliveries(
        self, webhook_id: int, status: DeliveryStatus | None = None, limit: int | None = None
    ) -> list[Delivery]:
        """What was sent, or waits, the newest first."""
        path = f"webhooks/{webhook_id}/deliveries"
        return self._lab.pages(Page[Delivery], path, {"status": status}, limit)

    def replay(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Send once more what was sent before."""
        path = f"webhooks/{webhook_id}/deliveries/{delivery_id}/replay"
        return self._lab.connection.record(Delivery, "POST", path)
