"""How this process was started, without the secrets that stand in its command line."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HIDDEN = "***"

_WORD = r"(?:token|password|passwd|passphrase|pwd|secret|credentials?|auth|authorization|key|apikey)s?"
NAME = rf"(?:[\w.-]{{0,60}}[-_.])?{_WORD}(?:[-_.][\w.-]{{0,60}})?"
"""What something is called that is secret. Bounded, so that long words are searched in no time."""
_OPTION = re.compile(rf"-{{1,2}}{NAME}", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"(?P<name>-{{0,2}}{NAME})=.+", re.IGNORECASE | re.DOTALL)
_IN_ADDRESS = re.compile(rf"(?P<name>[?&;]{NAME}=)[^&#\s]+", re.IGNORECASE)
_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_HEADER = re.compile(rf"(?P<name>\b{NAME}:\s+)[^\"']+", re.IGNORECASE)
_BEARER = re.compile(r"(?P<scheme>\b(?:bearer|basic)\s+)\S+", re.IGNORECASE)


def command_line() -> list[str]:
    """The words with which this process was started."""
    return list(without_secrets(sys.orig_argv))


def script() -> Path | None:
    """The file that is executed as a program, if it is one and no notebook's kernel."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or ("IPython" in sys.modules and _is_in_kernel()):
        return None
    path = Path(file).absolute()
    return path if path.is_file() else None


def is_secret(name: str) -> bool:
    """Whether something is called like a secret."""
    return re.fullmatch(NAME, name, re.IGNORECASE) is not None


def without_secrets(words: Iterable[str]) -> Iterator[str]:
    """Words of a command line, with the values of options and headers that are called like a secret, with
    passwords behind the names of users and with the users of addresses hidden."""
    follows = is_user = False
    for word in words:
        if follows and not word.startswith("-"):
            follows = False
            yield HIDDEN
            continue
        if is_user and ":" in word:
            word = f"{word.partition(':')[0]}:{HIDDEN}"
        is_user = word in ("-u", "--user")
        follows = bool(_OPTION.fullmatch(word))
        word = _ASSIGNMENT.sub(rf"\g<name>={HIDDEN}", word) if _ASSIGNMENT.fullmatch(word) else word
        word = _USER.sub(rf"\g<scheme>{HIDDEN}@", word)
        word = _HEADER.sub(rf"\g<name>{HIDDEN}", word)
        word = _BEARER.sub(rf"\g<scheme>{HIDDEN}", word)
        yield _IN_ADDRESS.sub(rf"\g<name>{HIDDEN}", word)


def _is_in_kernel() -> bool:
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")
