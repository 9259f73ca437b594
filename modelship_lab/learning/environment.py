"""In what surroundings a run was made: packages, code, machine."""

import os
import platform
import shutil
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from modelship_lab.version import __version__

__all__ = ["collect"]

PACKAGES = (
    "torch",
    "lightning",
    "numpy",
    "scikit-learn",
    "pillow",
    "mmh3",
    "pyarrow",
    "polars",
    "onnx",
    "onnxscript",
    "onnxruntime",
)
"""What can change the outcome of a training."""
_PATIENCE_S = 5


def collect(folder: Path | None = None) -> dict[str, Any]:
    """What is known of this process's surroundings, as JSON.

    torch is not imported for it: a notebook's cell must return at once.

    Args:
        folder: whose git commit counts; default: the working directory.

    Returns:
        `python`, `packages`, `platform`, `host`, `cpu` and its `cores`, `memory_gb`, `gpus`, and
        `git` with `commit`, `branch` and `dirty`, or None outside of a repository.
    """
    return {
        "python": platform.python_version(),
        "packages": _packages(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _cpu(),
        "cores": _cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": _gpus(),
        "git": _git(folder or Path.cwd()),
    }


def _packages() -> dict[str, str]:
    versions = {"modelship-lab": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


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


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    listed = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    return [line.strip() for line in listed.splitlines() if line.strip()]


def _git(folder: Path) -> dict[str, Any] | None:
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"]).strip()
    if not commit:
        return None
    return {
        "commit": commit,
        "branch": _output(["git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD"]).strip(),
        "dirty": bool(
            _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"]).strip()
        ),
    }


def _output(command: list[str]) -> str:
    """What a program prints, or nothing when it is not there, fails or takes too long."""
    # Without a terminal git asks nobody for anything, and status takes no lock that a user's git waits for.
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, env=settings, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
