"""Whether the process of a run lives, as far as can be known here."""

from modelship_lab.records.base import utc_now
from modelship_lab.records.processes import is_alive
from modelship_lab.records.tracking import Run, RunProcess

LOST_AFTER_S = 60
"""Who has not been heard of for so long is not counted on any more. Clients beat every 5 s or less."""


def goes_on(run: Run, process: RunProcess | None) -> bool:
    """Whether somebody executes a run at this moment and says so."""
    if run.status != "running" or not run.heartbeats:
        return False
    if process is not None and is_alive(process) is False:
        return False
    return (utc_now() - run.heartbeat_at).total_seconds() < LOST_AFTER_S
