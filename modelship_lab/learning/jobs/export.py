"""Export a run's model in the background, as a notebook does in its kernel."""

import logging
from pathlib import Path
from typing import Any

from modelship_lab.bundles.pack import from_tar
from modelship_lab.learning.export import export
from modelship_lab.learning.jobs.lab_job import LabJob
from modelship_lab.records.jobs import JobProgress

log = logging.getLogger(__name__)


def run(job: LabJob) -> dict[str, Any]:
    """Export to the formats of the order, one after the other; what agrees with the model is stored with the run."""
    order = job.order
    run_id, formats = order["run_id"], order["formats"]
    exported: list[dict[str, Any]] = []
    for place, format in enumerate(formats):
        log.info("Exporting run %d as %s", run_id, format)
        job.tell(JobProgress(progress=place / len(formats), message=f"exporting as {format}"), now=True)
        manifest = export(job.lab, run_id, format)
        exported.append({"format": format, "manifest": manifest.model_dump(mode="json")})
    if order["output"]:
        folder = Path(order["output"])
        with job.lab.connection.stream(f"runs/{run_id}/bundle") as pieces:
            tar = folder.with_name(f".{folder.name}.tar")
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                with tar.open("wb") as file:
                    file.writelines(pieces)
                with tar.open("rb") as file:
                    from_tar(file, folder)
            finally:
                tar.unlink(missing_ok=True)
    return {"run_id": run_id, "exported": exported}
