"""Verbs of API keys: keys list, new, revoke."""

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from modelship_lab.commands.groups import VerbGroup
from modelship_lab.commands.handover import Handover, handover_options
from modelship_lab.commands.parameters import KEY, MOMENT, PERMISSIONS
from modelship_lab.commands.results import Done, ToldOnce
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.base import utc_now
from modelship_lab.records.identity import ApiKey, Permission

if TYPE_CHECKING:
    import polars as pl


@click.group(cls=VerbGroup)
def keys() -> None:
    """API keys, for programs: `keys` alone lists them."""


@keys.command(name="list")
@click.option("--all", "everybody", is_flag=True, help="Those of all accounts; for administrators.")
@pass_session
def list_keys(session: Session, everybody: bool) -> "pl.DataFrame":
    """List your API keys; the keys themselves are kept nowhere."""
    found = session.lab.keys(everybody=everybody)
    return table(
        found,
        id=("integer", lambda key: key.id),
        name=("text", lambda key: key.name),
        begins_with=("text", lambda key: key.prefix),
        account=("text", lambda key: key.username),
        state=("text", state),
        may=("text", lambda key: ", ".join(key.permissions)),
        created_at=("time", lambda key: key.created_at),
        expires_at=("time", lambda key: key.expires_at),
        last_used_at=("time", lambda key: key.last_used_at),
    )


def state(key: ApiKey) -> str:
    """Whether a key is still good."""
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.expires_at is None or key.expires_at > utc_now() else "expired"


@keys.command()
@click.argument("name")
@click.option("--permissions", type=PERMISSIONS, help="What it may do, by commas. Default: all that you may.")
@click.option(
    "--expires",
    type=MOMENT,
    default="never",
    show_default=True,
    help="When it ends: 30d, 12h, 2027-01-31 (its first moment in UTC), or never.",
)
@handover_options
@pass_session
def new(
    session: Session,
    name: str,
    permissions: tuple[Permission, ...] | None,
    expires: Callable[[], datetime | None],
    handover: Handover,
) -> ToldOnce:
    """Make the API key NAME. It is told once and kept nowhere.

    In a shell it is printed alone: KEY=$(mlship keys new ci --quiet). In a notebook it is the value's
    attribute `.key`, and not shown, because what is shown is saved.
    """
    with handover.begin(session) as hand_over:
        created = session.lab.keys.new(name, permissions, expires())
        return hand_over(created, "key", created.key)


@keys.command()
@click.argument("key", type=KEY)
@pass_session
def revoke(session: Session, key: str) -> Done:
    """End KEY, named by its id, its name or how it begins; at once and for good."""
    ended = session.lab.keys.revoke(key)
    again = f"mlship keys new {shlex.quote(ended.name)} --permissions {','.join(ended.permissions)}"
    return Done(
        f"The key '{ended.name}' ({ended.prefix}…) of {ended.username} is refused from now on. "
        f"That cannot be taken back; `{again}` makes another like it."
    )


VERBS = (keys,)
