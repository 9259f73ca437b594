"""Passwords that somebody types or hands in; never as a word of a command, which would be kept in a history."""

import secrets
import string
import sys

from modelship_lab.commands.session import Session
from modelship_lab.records.errors import InvalidInput

_GENERATED = 20


def password_of(session: Session, what: str, *, from_stdin: bool, confirm: bool = False) -> str:
    """A password from the first line of the standard input, or asked for without echo.

    Args:
        what: what is asked for, e.g. `Password of ann`.
        confirm: whether it is asked for twice, because it is a new one.

    Raises:
        InvalidInput: nobody can be asked here, or nothing was said.
    """
    if from_stdin:
        if not session.is_shell:
            raise InvalidInput(
                "A notebook has no standard input: leave --password-stdin out, and you are asked."
            )
        given = sys.stdin.readline().rstrip("\r\n")
    else:
        given = session.ask_secret(what, confirm=confirm)
    if not given:
        raise InvalidInput("The password is empty.")
    return given


def generated() -> str:
    """A new password that nobody can guess: 119 bits."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(_GENERATED))
