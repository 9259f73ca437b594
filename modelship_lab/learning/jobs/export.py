"""Export a run's model in the background, as a notebook does in its kernel."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from modelship_lab.learning.jobs.lab_job import LabJob
from modelship_lab.learning.model_export import export_run
from modelship_lab.records.jobs import JobProgress
from modelship_lab.records.model_export import ModelExport

log = logging.getLogger(__name__)


def run(job: LabJob) -> dict[str, Any]:
    """Export to the formats of the order; the bundle is stored with the run."""
    order = job.order
    run_id, formats = order["run_id"], tuple(order["formats"])
    log.info("Exporting run %d as %s", run_id, ", ".join(formats))
    job.tell(JobProgress(progress=0.05, message=f"exporting as {', '.join(formats)}"), now=True)
    with tempfile.TemporaryDirectory(prefix="mlship-export-") as folder:
        made = export_run(
            job.lab.run(run_id),
            formats,
            Path(order["output"] or folder),
            optimize=order["optimize"],
            validate=order["compare"],
        )
    assert isinstance(made, ModelExport)  # as there is a folder
    for note in made.notes:
        log.info("%s", note)
    return made.model_dump(mode="json")


def keep(job: LabJob) -> None:
    """Nothing: what is ordered into a folder is made there."""
