"""Verbs of the lab itself: status, serve; and how the server is stopped."""

import contextlib
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput, NotFound, TimedOut

if TYPE_CHECKING:
    from modelship_lab.records.events import LabInfo

_STOP_TIMEOUT_S = 30.0
_HELP_TIMEOUT_S = 10.0
_SERVER = (sys.executable, "-m", "modelship_lab.server")


@click.command()
@pass_session
def status(session: Session) -> "LabInfo":
    """Show which lab this is and where."""
    from modelship_lab.records.events import LabInfo

    lab = session.lab
    return lab.connection.record(LabInfo, "GET", "lab")


class ServeCommand(click.Command):
    """Hands its words to the server's own program, where its options are declared."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _server_options() if name.startswith(incomplete)]


def _server_options() -> list[str]:
    """The options as the server's program lists them."""
    shown = subprocess.run([*_SERVER, "--help"], capture_output=True, text=True, timeout=_HELP_TIMEOUT_S)
    return re.findall(r"(?:^ +|/ )(--[a-z-]+)", shown.stdout, re.MULTILINE)


@click.command(cls=ServeCommand, add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@pass_session
def serve(session: Session, options: tuple[str, ...]) -> None:
    """Run the lab server until it is interrupted. In a notebook one is started without asking."""
    if not session.is_shell:
        raise InvalidInput("`serve` blocks until it is interrupted: run `mlship serve` in a terminal.")
    sys.stdout.flush()
    # This process becomes the server, so that signals reach it.
    os.execv(sys.executable, [*_SERVER, *options])  # noqa: S606


def stop_server(session: Session) -> Done:
    """Stop the lab server of this user's data directory and wait until it is gone.

    Raises:
        NotFound: none runs.
        TimedOut: it does not end.
    """
    import psutil

    from modelship_lab.client import discovery

    address = discovery.running(discovery.default_data_dir())
    if address is None or address.pid is None:
        raise NotFound("No lab server runs for this data directory.")
    process = psutil.Process(address.pid)
    if "modelship_lab.server" not in " ".join(process.cmdline()):
        raise InvalidInput(f"The lab runs inside Jupyter (process {address.pid}); stop it there.")
    process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                raise TimedOut(f"The lab server (process {address.pid}) does not end.")
            time.sleep(0.1)
    return Done("The lab server is stopped.")


VERBS = (status, serve)
