"""This very process."""

from typing import TYPE_CHECKING, Any

from modelship_lab.learning.jobs.engines import Work

if TYPE_CHECKING:
    from modelship_lab.learning.jobs.lab_job import LabJob


class LocalEngine:
    """Does the work here."""

    def do(self, work: Work, job: "LabJob") -> dict[str, Any]:
        return work(job)
