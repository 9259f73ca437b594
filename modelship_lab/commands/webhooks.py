"""Verbs of webhooks: webhooks list, new, show, test, deliveries, replay, enable, delete."""

import time
from typing import TYPE_CHECKING, get_args

import click

from modelship_lab.commands.groups import VerbGroup
from modelship_lab.commands.handover import Handover, handover_options
from modelship_lab.commands.parameters import EVENTS, WEBHOOK
from modelship_lab.commands.results import Done, ToldOnce
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.webhooks import Delivery, DeliveryStatus, Webhook

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import Lab

_PATIENCE_S = 5.0
_POLL_S = 0.2


@click.group(cls=VerbGroup)
def webhooks() -> None:
    """Addresses that hear of events: `webhooks` alone lists them."""


@webhooks.command(name="list")
@pass_session
def list_webhooks(session: Session) -> "pl.DataFrame":
    """List the webhooks."""
    return table(
        session.lab.webhooks(),
        id=("integer", lambda one: one.id),
        url=("text", lambda one: one.url),
        events=("text", lambda one: ", ".join(one.events)),
        state=("text", lambda one: "disabled" if one.disabled_reason else "active"),
        reason=("text", lambda one: one.disabled_reason),
        owner=("integer", lambda one: one.owner_id),
        waiting=("integer", lambda one: one.pending),
        created_at=("time", lambda one: one.created_at),
    )


@webhooks.command()
@click.argument("url")
@click.option("--events", type=EVENTS, required=True, help="Their types, by commas; * is all of them.")
@click.option(
    "--secret", help="Signs what is sent; in a notebook write $VARIABLE. Default: the lab makes one."
)
@handover_options
@pass_session
def new(
    session: Session, url: str, events: tuple[str, ...], secret: str | None, handover: Handover
) -> Webhook | ToldOnce:
    """Tell URL of events. The secret of the signatures is told once, as the value's `.secret`."""
    if secret is not None:
        return Webhook(**session.lab.webhooks.new(url, events, secret).model_dump(exclude={"secret"}))
    with handover.begin(session) as hand_over:
        created = session.lab.webhooks.new(url, events)
        return hand_over(created, "secret", created.secret)


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@pass_session
def show(session: Session, webhook: int) -> Webhook:
    """Show WEBHOOK, named by its id."""
    return session.lab.webhooks.get(webhook)


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@pass_session
def test(session: Session, webhook: int) -> Delivery:
    """Send WEBHOOK a test event, and show what came of it."""
    return _outcome(session.lab, session.lab.webhooks.test(webhook))


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@click.option("--status", type=click.Choice(get_args(DeliveryStatus)), help="Only those in this state.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most.")
@pass_session
def deliveries(session: Session, webhook: int, status: DeliveryStatus | None, limit: int) -> "pl.DataFrame":
    """List what was sent to WEBHOOK, or waits; the newest first."""
    found = session.lab.webhooks.deliveries(webhook, status, limit)
    return table(
        found,
        id=("integer", lambda one: one.id),
        event=("text", lambda one: one.event),
        status=("text", lambda one: one.status),
        attempts=("integer", lambda one: one.attempts),
        answer=("integer", lambda one: one.response_status),
        duration_ms=("number", lambda one: one.duration_ms),
        error=("text", lambda one: one.error),
        created_at=("time", lambda one: one.created_at),
        next_attempt_at=("time", lambda one: one.next_attempt_at),
    )


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@click.argument("delivery", type=click.IntRange(min=1))
@pass_session
def replay(session: Session, webhook: int, delivery: int) -> Delivery:
    """Send WEBHOOK the event of DELIVERY once more, and show what came of it."""
    return _outcome(session.lab, session.lab.webhooks.replay(webhook, delivery))


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@pass_session
def enable(session: Session, webhook: int) -> Webhook:
    """Go on with WEBHOOK after its receiver had answered 410 Gone."""
    return session.lab.webhooks.enable(webhook)


@webhooks.command()
@click.argument("webhook", type=WEBHOOK)
@pass_session
def delete(session: Session, webhook: int) -> Done:
    """Tell WEBHOOK nothing more; what waits for it is not sent."""
    gone = session.lab.webhooks.get(webhook)
    session.lab.webhooks.delete(webhook)
    again = f"mlship webhooks new '{gone.url}' --events '{','.join(gone.events)}'"
    waiting = f" {gone.pending:,} waiting deliveries are not sent." if gone.pending else ""
    return Done(f"{gone.url} hears nothing more.{waiting} `{again}` makes it again, with another secret.")


def _outcome(lab: "Lab", delivery: Delivery) -> Delivery:
    """The delivery after its first attempt; as it is when that takes longer than a person waits."""
    deadline = time.monotonic() + _PATIENCE_S
    while delivery.status == "pending" and not delivery.attempts and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        newest = lab.webhooks.deliveries(delivery.webhook_id, limit=50)
        delivery = next((one for one in newest if one.id == delivery.id), delivery)
    return delivery


VERBS = (webhooks,)
