"""The folder of one job: what its process needs and leaves, and its log, which stays for a while."""

import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import orjson
from pydantic import ValidationError

from modelship_lab.records.base import Page
from modelship_lab.records.jobs import LogLevel, LogLine

LOG, OLDER_LOG = "log.jsonl", "log.jsonl.1"
"""What the process logs; the first half of a long log is in the older file, and what came before it is gone."""

LOG_KEPT_DAYS = 14
"""After the end of a job."""

_LEVEL = re.compile(rb'"level":"(\w+)"')


def log_page(folder: Path, levels: Collection[LogLevel] | None, limit: int, offset: int) -> Page[LogLine]:
    """The lines of a job's log, the oldest first.

    Args:
        levels: these alone; None: all.
    """
    lines: list[bytes] = []
    for name in (OLDER_LOG, LOG):
        try:
            # The last line may not be complete yet.
            lines += [line for line in (folder / name).read_bytes().split(b"\n")[:-1] if line]
        except OSError:
            continue
    if levels is not None:
        wanted = {level.encode() for level in levels}
        lines = [line for line in lines if (found := _LEVEL.search(line)) and found[1] in wanted]
    items = []
    for line in lines[offset : offset + limit]:
        try:
            items.append(LogLine.model_validate(orjson.loads(line)))
        except (orjson.JSONDecodeError, ValidationError):
            continue
    return Page(items=tuple(items), total=len(lines), limit=limit, offset=offset)


def tidy(folder: Path) -> None:
    """Leave nothing but the log."""
    if not folder.is_dir():
        return
    for one in folder.iterdir():
        if one.name in (LOG, OLDER_LOG):
            continue
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one, ignore_errors=True)
        else:
            one.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def tidy_all(folders: Path, going_on: Collection[int]) -> None:
    """Remove what jobs that have ended left behind: all but their logs, and old logs, too."""
    oldest = time.time() - LOG_KEPT_DAYS * 86400
    for folder in folders.iterdir():
        if folder.name in map(str, going_on):
            continue
        tidy(folder)
        if folder.is_dir() and all(one.stat().st_mtime < oldest for one in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
