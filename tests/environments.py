"""Environments of their own for real peers: with all that they need they are too much for everybody who develops here."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from filelock import FileLock

MLFLOW = "mlflow==3.17.2"
"""850 MB in 89 packages, 260 MB in 35 beside our own."""

TRACKIO = "trackio==0.43.0"


def python_with(package: str) -> str:
    """The Python of an environment that has a package (`name==version`), made once and kept beside the tests' own.

    What the tests' own environment has is seen from there too, so that only the rest is installed.
    """
    folder = Path(sys.prefix) / package.split("==")[0]
    done = folder / f"{package}.installed"
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            venv.create(folder, clear=True)
            paths = [
                sysconfig.get_path("purelib", vars={"base": str(base)}) for base in (folder, Path(sys.prefix))
            ]
            (Path(paths[0]) / "beside.pth").write_text(paths[1])
            pip = [sys.executable, "-m", "pip", "--python", python, "install"]
            subprocess.run([*pip, "--quiet", "--no-compile", package], check=True, timeout=900)
            done.touch()
    return str(python)
