"""Verbs of accounts: users, whoami."""

from typing import TYPE_CHECKING, get_args

import click

from modelship_lab.commands.groups import VerbGroup
from modelship_lab.commands.handover import Handover, handover_options
from modelship_lab.commands.parameters import PERMISSIONS, USER
from modelship_lab.commands.passwords import generated, password_of
from modelship_lab.commands.results import Done, Identity, ToldOnce
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.identity import Account, Permission

if TYPE_CHECKING:
    import polars as pl

password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of the standard input."
)


@click.command()
@pass_session
def whoami(session: Session) -> Identity:
    """Show who the lab takes you for, and which lab it is."""
    lab = session.lab
    return Identity(lab.users.me(), lab.url)


@click.group(cls=VerbGroup)
def users() -> None:
    """Accounts of people: `users` alone lists them; for administrators."""


@users.command(name="list")
@pass_session
def list_users(session: Session) -> "pl.DataFrame":
    """List the accounts."""
    return table(
        session.lab.users(),
        id=("integer", lambda one: one.id),
        username=("text", lambda one: one.username),
        full_name=("text", lambda one: one.full_name),
        email=("text", lambda one: one.email),
        state=("text", lambda one: "active" if one.is_active else "deactivated"),
        may=("text", lambda one: ", ".join(one.permissions)),
        password=("text", lambda one: "yes" if one.has_password else "no"),
        created_at=("time", lambda one: one.created_at),
    )


@users.command()
@click.argument("username")
@click.option("--email", help="They can log in with it, too.")
@click.option("--full-name", default="", help="How they are called.")
@click.option("--admin", is_flag=True, help="They may do everything, and administer the lab.")
@click.option(
    "--permissions",
    type=PERMISSIONS,
    help="What they may do, by commas. Default: all but run others' code and administer the lab.",
)
@click.option("--generate", is_flag=True, help="Make a password to hand over to them, instead of asking.")
@click.option("--no-password", is_flag=True, help="Nobody logs in until a password is set.")
@password_stdin
@handover_options
@pass_session
def new(
    session: Session,
    username: str,
    email: str | None,
    full_name: str,
    admin: bool,
    permissions: tuple[Permission, ...] | None,
    generate: bool,
    no_password: bool,
    password_stdin: bool,
    handover: Handover,
) -> Account | ToldOnce:
    """Create the account USERNAME; its password is asked for."""
    if generate + no_password + password_stdin > 1:
        raise InvalidInput("Choose one of --generate, --no-password and --password-stdin.")
    if admin:
        permissions = (*permissions, "admin") if permissions else get_args(Permission)
    create = session.lab.users.new
    if not generate:
        password = None
        if not no_password:
            asked = f"Password of {username}"
            password = password_of(session, asked, from_stdin=password_stdin, confirm=True)
        return create(username, password, email=email, full_name=full_name, permissions=permissions)
    with handover.begin(session) as hand_over:
        password = generated()
        account = create(username, password, email=email, full_name=full_name, permissions=permissions)
        return hand_over(account, "password", password)


@users.command()
@click.argument("username", type=USER)
@pass_session
def show(session: Session, username: str) -> Account:
    """Show the account USERNAME."""
    return session.user(username)


@users.command()
@click.argument("username", type=USER, required=False)
@click.option("--generate", is_flag=True, help="Make one to hand over, instead of asking.")
@password_stdin
@handover_options
@pass_session
def password(
    session: Session, username: str | None, generate: bool, password_stdin: bool, handover: Handover
) -> Done | ToldOnce:
    """Set the password of USERNAME, or change your own when none is named."""
    if generate and password_stdin:
        raise InvalidInput("Choose one of --generate and --password-stdin.")
    if username is None:
        return _change_own(session, generate=generate, from_stdin=password_stdin)
    account = session.user(username)
    if generate:
        with handover.begin(session) as hand_over:
            made = generated()
            return hand_over(session.lab.users.change(account.id, password=made), "password", made)
    asked = f"New password of {account.username}"
    given = password_of(session, asked, from_stdin=password_stdin, confirm=True)
    session.lab.users.change(account.id, password=given)
    return Done(f"The password of {account.username} is changed.")


def _change_own(session: Session, *, generate: bool, from_stdin: bool) -> Done:
    if generate:
        raise InvalidInput("Say whose password is to be made: `mlship users password NAME --generate`.")
    me = session.lab.users.me()
    if not me.has_password:
        raise InvalidInput(
            f"You have no password yet: an administrator sets the first one by `mlship users password {me.username}`."
        )
    old = password_of(session, "Your password until now", from_stdin=from_stdin)
    given = password_of(session, "Your new password", from_stdin=from_stdin, confirm=True)
    session.lab.users.change_own_password(old, given)
    return Done("Your password is changed, and every login of yours has ended: log in with the new one.")


@users.command()
@click.argument("username", type=USER)
@pass_session
def deactivate(session: Session, username: str) -> Done:
    """Let USERNAME in no more: neither by password nor by API key. What is theirs stays."""
    account = session.lab.users.change(session.user(username).id, is_active=False)
    return Done(
        f"{account.username} is not let in any more; what is theirs stays. "
        f"`mlship users activate {account.username}` takes it back."
    )


@users.command()
@click.argument("username", type=USER)
@pass_session
def activate(session: Session, username: str) -> Done:
    """Let USERNAME in again."""
    account = session.lab.users.change(session.user(username).id, is_active=True)
    return Done(
        f"{account.username} is let in again. `mlship users deactivate {account.username}` takes it back."
    )


@users.command()
@click.argument("username", type=USER)
@click.argument("allowed", type=PERMISSIONS, metavar="PERMISSIONS")
@pass_session
def permissions(session: Session, username: str, allowed: tuple[Permission, ...]) -> Done:
    """Set what USERNAME may do to PERMISSIONS, separated by commas."""
    before = session.user(username)
    account = session.lab.users.change(before.id, permissions=allowed)
    return Done(
        f"{account.username} may: {', '.join(account.permissions)}. "
        f"`mlship users permissions {account.username} {','.join(before.permissions)}` takes it back."
    )


@users.command()
@click.argument("username", type=USER)
@pass_session
def logout(session: Session, username: str) -> Done:
    """End every login of USERNAME; their API keys go on."""
    account = session.user(username)
    session.lab.users.log_out(account.id)
    return Done(
        f"Every login of {account.username} has ended; they can log in again. "
        f"To keep them out, `mlship users deactivate {account.username}`."
    )


VERBS = (users, whoami)
