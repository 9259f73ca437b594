"""Any error that a user can meet as one helpful line."""

from typing import Any

import click

from modelship_lab.records.errors import LabError

MISTAKE = 2
FAILURE = 1


class CommandFailed(Exception):
    """A command could not be done.

    Args:
        message: one line.
        exit_code: 2 for a mistake of the user, 1 for anything else.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def from_click(error: click.ClickException, program: str) -> CommandFailed:
    """What click found wrong with the command line."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else program
    return CommandFailed(f"{message} See `{path} --help`.", MISTAKE)


def from_lab(error: LabError) -> CommandFailed:
    """What the lab refused, with what identifies it in the server's log."""
    told, newline, marked = error.message.partition("\n    ")
    message = " ".join(told.split())
    # Those that the message has not said already.
    details = _details([one for one in error.details if str(one.get("reason", "")) not in message])
    if details:
        message = f"{message} {details}"
    if error.request_id:
        message = f"{message} [{error.code}, request {error.request_id}]"
    # An expression with a mark under the place that is meant stays as it is.
    message += newline + marked
    return CommandFailed(message, MISTAKE if 400 <= error.status < 499 else FAILURE)


def _details(details: list[dict[str, Any]]) -> str:
    """The first few problems of rows or fields."""
    said = []
    for detail in details[:3]:
        where = f"row {detail['row']}" if "row" in detail else str(detail.get("field", ""))
        reason = str(detail.get("reason", ""))
        if where and reason:
            said.append(f"{where}: {reason}")
    more = f" and {len(details) - 3} more" if len(details) > 3 and said else ""
    return f"({'; '.join(said)}{more})" if said else ""
