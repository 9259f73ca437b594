"""What processes that are gone have left in their spools: sent, and their end told to the server."""

import logging
import time
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from modelship_lab.client.connection import Connection
from modelship_lab.client.spool import OWNER, RunOwner, put_aside, release
from modelship_lab.client.spooled_request import SpooledRequest, deliver
from modelship_lab.records.errors import NotFound
from modelship_lab.records.tracking import Run, RunChange

log = logging.getLogger(__name__)

WATCH_S = 12.0
"""A process that lives is heard of at least twice in this time."""


def replay(folder: Path, connection: Connection, patience_s: float = 5.0) -> "tuple[int, list[Run]]":
    """Send what processes that are gone have left below `folder`.

    Returns:
        How many requests the server has acknowledged, and the runs that those processes executed and did
        not end, as they were before.

    Raises:
        Unavailable, TimedOut: the server is away; what is left stays for the next client.
    """
    sent = 0
    orphans: list[Run] = []
    for spool in sorted(folder.glob("*/")):
        lock = FileLock(spool / "owner.lock", timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            continue
        try:
            if (run := _run_of(spool, connection, patience_s)) is not None:
                orphans.append(run)
            for path in sorted(spool.glob("*.request")):
                sent += _send(path, connection, patience_s)
        finally:
            release(spool, lock)
    return sent, orphans


def interrupt(run: Run, connection: Connection) -> bool:
    """Tell the server that the process of a run is gone, unless another one goes on with it.

    Args:
        run: as it was before anything of its dead process was sent.

    Returns:
        Whether it is interrupted now because of this.
    """
    path = f"runs/{run.id}"
    now = connection.record(Run, "GET", path)
    if not now.heartbeats or now.status not in ("running", "unreachable"):
        return False
    if run.status == "running" and now.status == "running":
        # It may have been resumed, on any machine: then its new process is heard of.
        time.sleep(WATCH_S)
        later = connection.record(Run, "GET", path)
        if later.status != now.status or later.heartbeat_at != now.heartbeat_at:
            return False
    # What has just been sent of it is no sign of life.
    change = RunChange(status="interrupted", ended_at=run.ended_at or run.heartbeat_at)
    connection.record(Run, "PATCH", path, json=change, repeatable=True)
    return True


def _run_of(spool: Path, connection: Connection, patience_s: float) -> Run | None:
    try:
        owner = RunOwner.model_validate_json((spool / OWNER).read_bytes())
        return connection.record(Run, "GET", f"runs/{owner.run_id}", patience_s=patience_s)
    except (OSError, ValidationError, NotFound):
        return None


def _send(path: Path, connection: Connection, patience_s: float) -> bool:
    try:
        request = SpooledRequest.read(path)
    except (ValueError, TypeError):
        # One damaged file must not hold up all the others for ever.
        log.warning("%s is damaged and was put aside.", path)
        put_aside(path)
        return False
    return deliver(
        request,
        lambda request: request.send(connection, patience_s),
        on_done=path.unlink,
        on_refused=lambda: put_aside(path),
    )
