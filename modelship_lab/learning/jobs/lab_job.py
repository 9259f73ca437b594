"""A job that speaks to the lab: its process goes on without the server that started it."""

import importlib
import json
import logging
import logging.handlers
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.client import Lab
from modelship_lab.client.connection import Connection
from modelship_lab.client.discovery import Address, announcement
from modelship_lab.learning.jobs.engines import engine_of
from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import LabError, Unauthenticated
from modelship_lab.records.jobs import LOG_LEVELS, JobProgress

PROGRESS, OUTCOME, TOKEN, LOG = "progress.json", "outcome.json", "token", "log.jsonl"

PATIENCE_S = 24 * 3600.0
"""How long a job waits for the lab server to come back before it gives up."""

MOST_LOG_BYTES = 4 << 20
"""Of one log file; with the older one before it, twice as much is kept."""

_TELL_EVERY_S = 0.3

log = logging.getLogger(__name__)


class JobCredential:
    """The token of one job, which nobody renews."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token

    def renew(self, refused: str) -> None:
        raise Unauthenticated(
            "The job's credential is no longer valid: the job was ended, or its account changed."
        )


@dataclass
class LabJob:
    """What a job is told, and how it tells how far it is.

    Args:
        folder: its own.
        order: what it is told.
        lab: the lab, with the job's credential.
        token: that credential.
        stop: set when it is asked to end.
    """

    folder: Path
    order: dict[str, Any]
    lab: Lab
    token: str = field(repr=False)
    stop: threading.Event

    def __post_init__(self) -> None:
        self._told_at_s = 0.0

    def tell(self, progress: JobProgress, *, now: bool = False) -> None:
        """Say how far it is; what comes too fast is passed over.

        Args:
            now: this must not be.
        """
        if self.is_due(now):
            written(self.folder / PROGRESS, progress.model_dump(mode="json"))

    def is_due(self, now: bool) -> bool:
        """Whether it is time to tell again; if so, the next time is reckoned from here."""
        moment = time.monotonic()
        if not now and moment - self._told_at_s <= _TELL_EVERY_S:
            return False
        self._told_at_s = moment
        return True


def execute(kind: str, folder: Path) -> int:
    """Do a job of a kind to its end, and leave in its folder how that was; returns the exit status."""
    order = json.loads((folder / "job.json").read_bytes())
    _log_to(folder / LOG, order.get("log_level", "INFO"))
    try:
        token = (folder / TOKEN).read_text(encoding="ascii")
        lab = connected(token, Path(order["data_dir"]))
        job = LabJob(folder, order, lab, token, threading.Event())
        # Whoever is asked to end before this point has nothing to save.
        signal.signal(signal.SIGTERM, lambda *_: job.stop.set())
        # Only now, because loading torch takes seconds in which it could not be asked to end.
        module = importlib.import_module(f"modelship_lab.learning.jobs.{kind}")
        outcome: dict[str, Any] = {"result": engine_of(job).do(module.run, job)}
        # Here, because the engine may have done the work on another machine.
        module.keep(job)
    except LabError as error:
        log.error("%s", error.message)
        outcome = {"error": {"code": error.code, "message": error.message}}
    except Exception as error:
        log.exception("The job failed")
        said = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        outcome = {"error": {"code": LabError.code, "message": f"The job failed with {said:.1000}."}}
    written(folder / OUTCOME, outcome)
    return 0 if "result" in outcome else 1


def connected(token: str, data_dir: Path, url: str | None = None) -> Lab:
    """The lab, with a job's credential.

    Args:
        token: the credential.
        data_dir: where spools and caches are kept, and the server of this machine announces where it is.
        url: where the server is, for another machine.
    """
    if url is not None:
        elsewhere = Connection(Address(url, ""), patience_s=PATIENCE_S, credential=JobCredential(token))
        return Lab(elsewhere, data_dir)
    address = announcement(data_dir)
    # The announcement has the lab's own token, which is none of a job's business: its credential takes the place.
    connection = Connection(
        Address("http://127.0.0.1:1/" if address is None else address.url, ""),
        partial(announcement, data_dir),
        patience_s=PATIENCE_S,
        credential=JobCredential(token),
    )
    return Lab(connection, data_dir)


class _JsonLines(logging.Formatter):
    """Records as the lines of a job's log."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message += "\n" + "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        level = next(
            (one for one in reversed(LOG_LEVELS) if record.levelno >= getattr(logging, one)), "DEBUG"
        )
        return orjson.dumps({"time": utc_now(), "level": level, "message": message[:10_000]}).decode()


def _log_to(file: Path, level: str) -> None:
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=MOST_LOG_BYTES, backupCount=1)
    handler.setFormatter(_JsonLines())
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.addHandler(handler)
    # Other libraries tell of every request in the level below.
    root.setLevel(max(getattr(logging, level), logging.WARNING))
    logging.getLogger("modelship_lab").setLevel(level)


def written(file: Path, content: dict[str, Any]) -> None:
    """Write a file all at once."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(content))
    temporary.replace(file)
