"""Where a training in the background is executed: by its own process, or on a Ray cluster."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from modelship_lab.learning.jobs.lab_job import LabJob

Work = Callable[["LabJob"], dict[str, Any]]


class Engine(Protocol):
    """Does the work of a job, tells how far it is and ends it when it is asked to."""

    def do(self, work: Work, job: "LabJob") -> dict[str, Any]:
        """Do the work to its end.

        Raises:
            LabError: it failed, or the engine cannot do what is ordered.
        """


def engine_of(job: "LabJob") -> Engine:
    """The engine that the order names."""
    if address := job.order.get("ray_address"):
        from modelship_lab.learning.jobs.engines.ray import RayEngine

        return RayEngine(address)
    from modelship_lab.learning.jobs.engines.local import LocalEngine

    return LocalEngine()
