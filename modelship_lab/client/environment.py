"""In what surroundings a run was made: packages, code, machine."""

import os
import platform
import re
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from modelship_lab.client import gpus
from modelship_lab.client.command_line import command_line, script
from modelship_lab.version import __version__

__all__ = ["collect", "git_output"]

_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")
_PATIENCE_S = 5


def collect(folder: Path | None = None) -> dict[str, Any]:
    """What is known of this process's surroundings, as JSON.

    No package is imported for it: a notebook's cell must return at once.

    Args:
        folder: whose git commit counts; default: the working directory.

    Returns:
        `python`, `packages` (all that are installed), `platform`, `host`, `cpu` and its `cores`, `memory_gb`,
        `gpus`, `command` (without secrets), `script` if there is one, and `git` with `commit`, `branch` and
        `dirty`, or None outside of a repository.
    """
    return {
        **_machine(),
        "packages": _packages(tuple(sys.path)),
        "command": command_line(),
        "script": None if (path := script()) is None else str(path),
        "git": _git(folder or Path.cwd()),
    }


def git_output(folder: Path, *words: str) -> str:
    """What git prints, or nothing when it is not there, fails or takes too long."""
    # Without a terminal git asks nobody for anything, and status takes no lock that a user's git waits for.
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            # A repository can name a program that tells git what has changed.
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            env=settings,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@cache
def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _cpu(),
        "cores": _cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus.described(),
    }


@cache
def _packages(folders: tuple[str, ...]) -> dict[str, str]:
    """The versions of all installed packages, from the names of their metadata: reading those takes a second."""
    versions: dict[str, str] = {}
    for folder in folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for found in filter(None, map(_DISTRIBUTION.fullmatch, names)):
            # What stands first on the path is what is imported.
            versions.setdefault(found["name"].replace("_", "-").lower(), found["version"])
    return dict(sorted((versions | {"modelship-lab": __version__}).items()))


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _cores() -> int:
    """The CPUs that this process may use."""
    try:
        return len(psutil.Process().cpu_affinity())
    except AttributeError:  # not on macOS
        return psutil.cpu_count() or 1


def _git(folder: Path) -> dict[str, Any] | None:
    said = git_output(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no").splitlines()
    about = dict(line[2:].split(" ", 1) for line in said if line.startswith("# "))
    commit = about.get("branch.oid", "(initial)")
    if commit == "(initial)":
        return None
    return {
        "commit": commit,
        "branch": about.get("branch.head", ""),
        "dirty": any(not line.startswith("#") for line in said),
    }
