"""What is known of a run, wherever and whenever it is executed."""

import io
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modelship_lab.client import stable_file
from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.base import Page
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.errors import NotFound
from modelship_lab.records.evaluation import Evaluation, Significance
from modelship_lab.records.metrics import Metrics, MetricSummary
from modelship_lab.records.tracking import DeletedRuns, Run

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

    from modelship_lab.client.lab import Lab


class RecordedRun:
    """A run as it is recorded by the lab server: its metrics, files, evaluation and model.

    Args:
        lab: the lab that the run belongs to.
        record: the run as it was when last read.
    """

    def __init__(self, lab: "Lab", record: Run) -> None:
        self._lab = lab
        self._record = record

    def __repr__(self) -> str:
        record = self._record
        parts = [f"Run {record.id}", record.name, record.project or "", record.recipe, record.status]
        return " · ".join(part for part in parts if part)

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def lab(self) -> "Lab":
        return self._lab

    @property
    def record(self) -> Run:
        """The run as it was when last read; `refresh` reads it anew."""
        return self._record

    def refresh(self) -> Run:
        """Read the run from the server."""
        self._record = self._lab.connection.record(Run, "GET", self._path())
        return self._record

    def metrics(self, names: Iterable[str] = (), max_points: int = 1000) -> Metrics:
        """The metrics, each reduced to about `max_points` points that keep every spike."""
        params = {"names": list(names) or None, "max_points": max_points}
        return self._lab.connection.record(Metrics, "GET", f"{self._path()}/metrics", params=params)

    def metric_summaries(self) -> tuple[MetricSummary, ...]:
        """What became of each metric: its last value, its smallest, largest and mean."""
        path = f"{self._path()}/metrics/summary"
        return self._lab.connection.record(Page[MetricSummary], "GET", path).items

    def metrics_frame(self, names: Iterable[str] = ()) -> "pl.DataFrame":
        """Every raw point: columns `name`, `context` (JSON), `step`, `time`, `value`."""
        return self._lab.frame(f"{self._path()}/metrics", {"names": list(names) or None})

    def artifacts(self) -> list[Artifact]:
        """The files of the run."""
        return list(self._lab.connection.record(Page[Artifact], "GET", f"{self._path()}/artifacts").items)

    def artifact(self, name: str, step: int | None = None) -> bytes:
        """The content of one file of the run; of several steps the newest, or that of `step`."""
        params = {} if step is None else {"step": step}
        return self._lab.connection.request("GET", self._path_of(name), params=params).content

    def download(self, name: str, target: Path, step: int | None = None) -> Path:
        """Write one file of the run to `target`, all at once or not at all; of several steps as `artifact` does."""
        query = "" if step is None else f"?step={step}"
        return self._lab.download(f"{self._path_of(name)}{query}", target)

    def image(self, name: str, step: int | None = None) -> "Image.Image":
        """An image of the run as one of PIL."""
        from PIL import Image

        return Image.open(io.BytesIO(self.artifact(name, step)))

    def table(self, name: str, step: int | None = None) -> "pl.DataFrame":
        """A table of the run as a frame."""
        import polars as pl

        return pl.read_parquet(self.artifact(name, step))

    def text(self, name: str, step: int | None = None) -> str:
        """A text of the run."""
        return self.artifact(name, step).decode(errors="replace")

    def evaluation(self) -> Evaluation | None:
        """How the run's model did on its held-out rows; None if it was not evaluated."""
        try:
            return self._lab.connection.record(Evaluation, "GET", f"{self._path()}/evaluation")
        except NotFound:
            return None

    def significance(self, other: int) -> Significance:
        """How another run's model differs from this one's on the samples that were held out in both.

        Raises:
            NotFound: there is no such run, or one of the two has kept no predictions.
            Conflict: they predict other things, or no held-out sample is the same.
        """
        params = {"other": other}
        return self._lab.connection.record(Significance, "GET", f"{self._path()}/significance", params=params)

    def upload_bundle(self, tar: Path) -> BundleManifest:
        """Store the run's exported model, given as an uncompressed tar of the bundle's files."""
        return self._lab.connection.record(
            BundleManifest,
            "PUT",
            f"{self._path()}/bundle",
            **sent(tar, "application/x-tar"),
            timeout_s=300.0,
        )

    def download_bundle(self, target: Path) -> Path:
        """Write the run's exported model to `target` as an uncompressed tar."""
        return self._lab.download(f"{self._path()}/bundle", target)

    def delete(self) -> int:
        """Delete the run and all that are nested in it, with their metrics and artifacts; returns how many runs."""
        return self._lab.connection.record(DeletedRuns, "DELETE", self._path()).runs

    def _path(self) -> str:
        return f"runs/{self._record.id}"

    def _path_of(self, artifact: str) -> str:
        return f"{self._path()}/artifacts/{quote(artifact, safe='')}"


def sent(content: bytes | str | Path, content_type: str) -> dict[str, Any]:
    """Content as what a request says of its body, which can be sent again."""
    headers = {"Content-Type": content_type}
    if isinstance(content, Path):
        size = content.stat().st_size
        headers["Content-Length"] = str(size)
        return {"content": partial(stable_file.pieces, content, size), "headers": headers}
    return {"content": content.encode() if isinstance(content, str) else bytes(content), "headers": headers}
