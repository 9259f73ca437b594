"""How many files and connections the process may have open."""

import logging
import sys

log = logging.getLogger(__name__)

ENOUGH = 1 << 16
"""No more is asked for: what starts processes may look at each possible file."""


def allow_many_files() -> int:
    """Raise the soft limit to the hard one; returns how many may be open now."""
    if sys.platform == "win32":
        return ENOUGH
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:
        log.warning("The limit of open files stays at %d: %s", soft, error)
        return soft
    return wanted
