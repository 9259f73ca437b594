"""Verbs of a lab elsewhere: login, logout."""

import os
import sys

import click

from modelship_lab.commands.accounts import password_stdin
from modelship_lab.commands.passwords import password_of
from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput, LabError, NotFound


@click.command()
@click.argument("url")
@click.option("--username", help="Or the email address; asked for when it is left out.")
@password_stdin
@pass_session
def login(session: Session, url: str, username: str | None, password_stdin: bool) -> Done:
    """Log in to the lab at URL, and use it from now on.

    The login is kept in a file that only you can read, and renews itself. In a shell all verbs use
    that lab until `mlship logout`; in a notebook, until the kernel ends.
    """
    from modelship_lab.client import discovery
    from modelship_lab.client.logins import Logins, lab_address, log_in

    address = lab_address(url)
    if password_stdin and username is None:
        raise InvalidInput("Say who logs in: --username NAME.")
    if address.startswith("http:") and not discovery.is_local(address):
        print(f"The password goes to {address} unencrypted; https:// would protect it.", file=sys.stderr)
    username = username or session.ask("Username")
    given = password_of(session, f"Password of {username} at {address}", from_stdin=password_stdin)
    made = log_in(address, username, given)
    Logins(discovery.default_data_dir()).save(made, current=session.is_shell)
    session.use(address)
    account = session.lab.users.me()
    until = "`mlship logout` goes back to your own" if session.is_shell else "`%mlship logout` ends it"
    first = ""
    if session.is_shell and os.environ.get("MLSHIP_URL"):
        first = " But MLSHIP_URL is set, and goes before it: unset it."
    return Done(f"You are {account.username} at {address}. All verbs use that lab now; {until}.{first}")


@click.command()
@click.argument("url", required=False)
@pass_session
def logout(session: Session, url: str | None) -> Done:
    """End the login at URL, or the one that is in use, and go back to your own lab."""
    from modelship_lab.client import connect, discovery
    from modelship_lab.client.logins import Logins, lab_address

    logins = Logins(discovery.default_data_dir())
    if url is not None:
        login = logins.get(lab_address(url))
    else:
        login = logins.get(session.url) if session.url else logins.current if session.is_shell else None
    if login is None:
        raise NotFound("You are not logged in there. `mlship login URL` does it.")
    said = ""
    try:
        if login.refresh_token:
            connect(login.url).request("POST", "auth/logout", patience_s=0.0)
    except LabError as error:
        said = f" The lab could not be told, where it ends by itself: {error.message}"
    logins.forget(login.url)
    session.use(None)
    return Done(f"{login.username} is logged out of {login.url}; verbs use your own lab again.{said}")


VERBS = (login, logout)
