"""Processes: which one this is, and whether one that was recorded lives."""

import os
import socket
import uuid
from functools import cache
from pathlib import Path

import psutil

from modelship_lab.records.tracking import RunProcess

_PROC = Path("/proc")


@cache
def this_machine() -> str:
    """What no other machine, and no other table of processes on this one, is called."""
    name = socket.gethostname()[:250]
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        # A container counts its processes by itself: number 7 in it is another one outside.
        return f"{name}/{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return f"{name}/{uuid.getnode():x}"


def this_process() -> RunProcess:
    """The process that asks."""
    return process_of(os.getpid())


def process_of(pid: int) -> RunProcess:
    """A process of this machine."""
    return RunProcess(machine=this_machine(), pid=pid, started_at=_started_at(pid))


def is_alive(process: RunProcess) -> bool | None:
    """Whether a process lives; None when that cannot be seen from here, e.g. on another machine."""
    if process.machine != this_machine():
        return None
    try:
        # Not by looking it up: the processes of other people may be hidden.
        if not psutil.pid_exists(process.pid):
            return False
        if _started_at(process.pid) != process.started_at:
            return False
        return psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, OverflowError):
        # It is hidden, or it ended while it was looked at: then the next look tells.
        return None


def _started_at(pid: int) -> float:
    """When a process started: since the system was booted where that is known, else since the Unix epoch.

    A clock that is set moves the second one, and with it the past of every process on Linux.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except FileNotFoundError:
        return psutil.Process(pid).create_time()
    # The name, in parentheses, may hold anything; the start is the 20th field behind it.
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
