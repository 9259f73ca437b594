"""Verbs of credits: credits show, grant."""

import click

from modelship_lab.commands.groups import VerbGroup
from modelship_lab.commands.parameters import USER
from modelship_lab.commands.results import CreditReport
from modelship_lab.commands.session import Session, pass_session


@click.group(cls=VerbGroup, default="show", names=USER)
def credits() -> None:
    """What accounts have left to spend: `credits` alone shows your own, `credits NAME` another's."""


@credits.command()
@click.argument("username", type=USER, required=False)
@pass_session
def show(session: Session, username: str | None) -> CreditReport:
    """Show the credits of USERNAME, or your own, with the newest entries."""
    lab = session.lab
    if username is None:
        return CreditReport(lab.users.me().username, lab.credits())
    account = session.user(username)
    return CreditReport(account.username, lab.credits(account.id))


@credits.command(context_settings={"ignore_unknown_options": True})
@click.argument("username", type=USER)
@click.argument("amount", type=int)
@click.option("--reason", required=True, help="Why; it stays in the account's entries.")
@pass_session
def grant(session: Session, username: str, amount: int, reason: str) -> CreditReport:
    """Give USERNAME AMOUNT credits; a negative AMOUNT takes them away again."""
    account = session.user(username)
    return CreditReport(account.username, session.lab.credits.grant(account.id, amount, reason))


VERBS = (credits,)
