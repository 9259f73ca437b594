"""Who may come in, in words: accounts, API keys, webhooks, deliveries, credits."""

import json

from modelship_lab.commands.description.words import Description, Grid, describe, moment, number, preview
from modelship_lab.commands.results import CreditReport, Identity, ToldOnce
from modelship_lab.records.identity import Account, ApiKey, CreatedApiKey
from modelship_lab.records.webhooks import CreatedWebhook, Delivery, Webhook

_LONGEST_PAYLOAD = 400


@describe.register
def _(value: Account) -> Description:
    return Description(
        f"Account {value.username}" + ("" if value.is_active else " · deactivated"),
        (
            ("id", str(value.id)),
            *((("name", value.full_name),) if value.full_name else ()),
            *((("email", value.email),) if value.email else ()),
            ("may", ", ".join(value.permissions)),
            ("password", "yes" if value.has_password else "none: nobody can log in with one"),
            ("created", moment(value.created_at)),
        ),
    )


@describe.register
def _(value: Identity) -> Description:
    account = describe(value.account)
    return Description(account.title, (("lab", value.url), *account.facts))


@describe.register(ApiKey)
@describe.register(CreatedApiKey)
def _(value: ApiKey) -> Description:
    return Description(
        f"API key {value.name}",
        (
            ("id", str(value.id)),
            ("begins with", value.prefix),
            ("account", value.username),
            ("may", ", ".join(value.permissions)),
            ("ends", "never" if value.expires_at is None else moment(value.expires_at)),
        ),
    )


@describe.register(Webhook)
@describe.register(CreatedWebhook)
def _(value: Webhook) -> Description:
    return Description(
        f"Webhook {value.id}" + (" · disabled" if value.disabled_reason else ""),
        (
            ("address", value.url),
            ("events", ", ".join(value.events)),
            *((("disabled", value.disabled_reason),) if value.disabled_reason else ()),
            ("waiting", number(value.pending)),
            ("created", moment(value.created_at)),
        ),
    )


@describe.register
def _(value: Delivery) -> Description:
    return Description(
        f"Delivery {value.id} to webhook {value.webhook_id} · {value.status}",
        (
            ("event", value.event),
            ("attempts", str(value.attempts)),
            *((("answer", f"HTTP status {value.response_status}"),) if value.response_status else ()),
            *((("error", value.error),) if value.error else ()),
            *((("next attempt", moment(value.next_attempt_at)),) if value.next_attempt_at else ()),
            *((("duration", f"{value.duration_ms:.0f} ms"),) if value.duration_ms is not None else ()),
            ("content", preview(json.dumps(value.payload), _LONGEST_PAYLOAD)),
        ),
    )


@describe.register
def _(value: CreditReport) -> Description:
    entries = tuple(
        (moment(entry.created_at), f"{entry.amount:+,}", entry.reason, entry.author)
        for entry in value.credits.entries
    )
    available = value.credits.available
    return Description(
        f"{value.username} has {available:,} {'credit' if available == 1 else 'credits'}",
        grids=(Grid("Newest entries", ("time", "credits", "reason", "by"), entries),),
    )


@describe.register
def _(value: ToldOnce) -> Description:
    thing = describe(value.thing)
    return Description(thing.title, thing.facts, thing.grids, value.note)
