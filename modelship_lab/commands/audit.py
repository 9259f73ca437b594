"""The verb of the audit log."""

import json
from typing import TYPE_CHECKING

import click

from modelship_lab.commands.parameters import EVENT, USER
from modelship_lab.commands.session import Session, pass_session

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
    import polars as pl

    who = None if user is None else session.user(user).username
    found = session.lab.audit(who, kind, topic, limit)
    return pl.DataFrame(
        {
            "id": [one.id for one in found],
            "at": [one.created_at for one in found],
            "who": [one.author for one in found],
            "what": [one.type for one in found],
            "topic": [one.topic for one in found],
            "credential": [one.credential for one in found],
            "address": [one.address for one in found],
            "request": [one.request_id for one in found],
            "details": [json.dumps(one.payload, ensure_ascii=False) if one.payload else "" for one in found],
        },
        schema={
            "id": pl.Int64,
            "at": pl.Datetime("us", "UTC"),
            **dict.fromkeys(
                ("who", "what", "topic", "credential", "address", "request", "details"), pl.String
            ),
        },
    )


VERBS = (audit,)
