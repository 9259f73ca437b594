"""The process of a job that goes on without the server which started it: the work, its log and its outcome."""

import importlib
import json
import logging
import logging.handlers
import signal
import threading
import traceback
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.learning.jobs.engines import engine_of
from modelship_lab.learning.jobs.lab_job import LabJob, connected, written
from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import LabError
from modelship_lab.records.jobs import LOG_LEVELS

OUTCOME, TOKEN, LOG = "outcome.json", "token", "log.jsonl"

MOST_LOG_BYTES = 4 << 20
"""Of one log file; with the older one before it, twice as much is kept."""

log = logging.getLogger(__name__)


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
