"""Verbs of the lab itself: status, serve; and how the server is stopped."""

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput, NotFound, TimedOut

if TYPE_CHECKING:
    from modelship_lab.records.events import LabInfo

_STOP_TIMEOUT_S = 30.0


@click.command()
@pass_session
def status(session: Session) -> "LabInfo":
    """Show which lab this is and where."""
    from modelship_lab.records.events import LabInfo

    lab = session.lab
    return lab.connection.record(LabInfo, "GET", "lab")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8890, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--base-url", default="/", show_default=True, help="Path under which everything is served.")
@click.option(
    "--data-dir", default="", help="Folder of the lab's data. Default: MLSHIP_HOME, else below Jupyter's."
)
@click.option(
    "--token", default="", help="Bearer credential with all permissions. Default: kept in the data folder."
)
@click.option(
    "--open-registration",
    is_flag=True,
    help="Let anybody who can reach the server register an account, once accounts are there.",
)
@pass_session
def serve(
    session: Session, host: str, port: int, base_url: str, data_dir: str, token: str, open_registration: bool
) -> None:
    """Run the lab server until it is interrupted. In a notebook one is started without asking."""
    if not session.is_shell:
        raise InvalidInput("`serve` blocks until it is interrupted: run `mlship serve` in a terminal.")
    arguments = ["--host", host, "--port", str(port), "--base-url", base_url]
    if data_dir:
        arguments += ["--data-dir", data_dir]
    if open_registration:
        arguments.append("--open-registration")
    if token:
        # Not as an argument: other users of the machine can read those.
        os.environ["MLSHIP_TOKEN"] = token
    sys.stdout.flush()
    # This process becomes the server, so that signals reach it.
    os.execv(sys.executable, [sys.executable, "-m", "modelship_lab.server", *arguments])  # noqa: S606


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
