"""Webhooks over HTTP."""

from modelship_lab.records.base import Page
from modelship_lab.records.webhooks import CreatedWebhook, Delivery, DeliveryStatus, NewWebhook, Webhook
from modelship_lab.server.api.endpoint import Offset, PageSize, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "webhooks", permission="write", status=201)
async def create_webhook(services: Services, caller: Caller, body: NewWebhook) -> CreatedWebhook:
    """Have events sent to an address. The answer has the secret of the signatures, this once."""
    return await services.webhooks.create(body, caller)


@endpoint("GET", "webhooks", permission="read")
async def list_webhooks(
    services: Services, caller: Caller, limit: PageSize = 100, offset: Offset = 0
) -> Page[Webhook]:
    """The webhooks of the account, oldest first; an administrator's answer has everybody's."""
    return await services.webhooks.page(caller, limit, offset)


@endpoint("GET", "webhooks/{webhook_id}", permission="read")
async def get_webhook(services: Services, caller: Caller, webhook_id: int) -> Webhook:
    """One webhook."""
    return await services.webhooks.get(webhook_id, caller)


@endpoint("DELETE", "webhooks/{webhook_id}", permission="write")
async def delete_webhook(services: Services, caller: Caller, webhook_id: int) -> None:
    """Send nothing any more; what waits is cancelled."""
    await services.webhooks.delete(webhook_id, caller)


@endpoint("POST", "webhooks/{webhook_id}/test", permission="write", status=202)
async def test_webhook(services: Services, caller: Caller, webhook_id: int) -> Delivery:
    """Send a delivery named `webhook.test`; what became of it stands in the list of deliveries."""
    return await services.webhooks.test(webhook_id, caller)


@endpoint("POST", "webhooks/{webhook_id}/enable", permission="write")
async def enable_webhook(services: Services, caller: Caller, webhook_id: int) -> Webhook:
    """Send again to a receiver that had answered 410 Gone."""
    return await services.webhooks.enable(webhook_id, caller)


@endpoint("GET", "webhooks/{webhook_id}/deliveries", permission="read")
async def list_deliveries(
    services: Services,
    caller: Caller,
    webhook_id: int,
    status: DeliveryStatus | None = None,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Page[Delivery]:
    """What was delivered to a webhook and what waits, newest first; finished ones for 30 days."""
    return await services.webhooks.deliveries(webhook_id, caller, status, limit, offset)


@endpoint("POST", "webhooks/{webhook_id}/deliveries/{delivery_id}/replay", permission="write", status=202)
async def replay_delivery(services: Services, caller: Caller, webhook_id: int, delivery_id: int) -> Delivery:
    """Send the payload of a delivery once more, as a delivery of its own."""
    return await services.webhooks.replay(webhook_id, delivery_id, caller)
