"""The verb of the audit log."""

import json
from typing import TYPE_CHECKING

import click

from modelship_lab.commands.parameters import EVENT, USER
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.option("--user", type=USER, help="Only what this account did.")
@click.option("--type", "kind", type=EVENT, help="Only events of this type, e.g. key.created.")
@click.option("--topic", help="Only what was done to this, e.g. project:3.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most.")
@pass_session
def audit(
    session: Session, user: str | None, kind: str | None, topic: str | None, limit: int
) -> "pl.DataFrame":
    """List what was done by whom with which credential; the newest first; for administrators."""
    who = None if user is None else session.user(user).username
    found = session.lab.audit(who, kind, topic, limit)
    return table(
        found,
        id=("integer", lambda one: one.id),
        at=("time", lambda one: one.created_at),
        who=("text", lambda one: one.author),
        what=("text", lambda one: one.type),
        topic=("text", lambda one: one.topic),
        credential=("text", lambda one: one.credential),
        address=("text", lambda one: one.address),
        request=("text", lambda one: one.request_id),
        details=("text", lambda one: json.dumps(one.payload, ensure_ascii=False) if one.payload else ""),
    )


VERBS = (audit,)
