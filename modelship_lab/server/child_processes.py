"""What every process gets that the lab server starts, and what is read of it when it ends."""

import os
import re
from pathlib import Path

from modelship_lab import version

STANDARD_ERROR = "stderr.log"

_PACKAGES = Path(version.__file__).parents[1]
_PASSED_ON = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_\w+|SYSTEMROOT|VIRTUAL_ENV|PYTHON\w*|OMP_\w+|KMP_\w+|MKL_\w+|"
    r"CUDA_VISIBLE_DEVICES"
)
_ABSOLUTE_PATH = re.compile(r"(?<![\w.])(?:/[^\s/'\":;,()]+)+/?")


def environment() -> dict[str, str]:
    """The server's environment without what is not a child's business, above all credentials."""
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    if "site-packages" not in _PACKAGES.parts:
        # The server runs from a checkout: the child must find the same one from its own folder.
        passed_on["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PACKAGES), passed_on.get("PYTHONPATH"))))
    return passed_on


def last_words(file: Path, secret: str = "", limit: int = 500) -> str:
    """What a process said last, for a person to read: no stack trace, no paths, no secret."""
    try:
        with file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16_384))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    # The lines of a stack trace are indented; what was raised stands in its last line.
    said = [line.strip() for line in lines if line.strip() and not line[0].isspace()]
    last = said[-1] if said else ""
    if secret:
        last = last.replace(secret, "***")
    return _ABSOLUTE_PATH.sub(lambda path: Path(path[0]).name, last)[:limit]
