"""Runs of an MLflow file store (`mlruns/`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.mlflow_run import MlflowRun, artifact_folder, files_below, source_run
from modelship_lab.client.exchange.transfer import SourceFile, SourceRun, Tally, points_table

if TYPE_CHECKING:
    import pyarrow as pa

_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_FACTS = ("user_id", "source_type", "source_name", "source_version", "entry_point_name", "artifact_uri")
_ELSEWHERE = {"models": "logged models", "traces": "traces"}
"""Folders of an experiment that are not runs."""
_BATCH = 100_000


class MlflowFiles:
    """Reads the runs of an MLflow file store.

    Args:
        folder: the store, with a folder for each experiment.
        tally: what is left out, and what cannot be read, is said there.
        artifacts: where artifacts lie that are not in the store.
    """

    kind = "mlflow"

    def __init__(self, folder: Path, tally: Tally, artifacts: Path | None = None) -> None:
        self._folder = folder
        self._tally = tally
        self._artifacts = artifacts

    @staticmethod
    def is_one(folder: Path) -> bool:
        """Whether a folder is a file store."""
        return any(folder.glob("*/meta.yaml"))

    def runs(self) -> Iterator[SourceRun]:
        found = []
        for experiment in sorted(self._folder.glob("*/meta.yaml")):
            facts = self._meta(experiment) or {}
            name = str(facts.get("name") or experiment.parent.name)
            for other, what in _ELSEWHERE.items():
                self._tally.leave_out(what, sum(1 for _ in (experiment.parent / other).glob("*/")))
            for meta in sorted(experiment.parent.glob("*/meta.yaml")):
                run = self._meta(meta)
                if run is not None:
                    found.append((run.get("start_time") or 0, meta.parent, name, run))
        trash = sum(1 for _ in (self._folder / ".trash").glob("*/"))
        self._tally.leave_out("deleted experiments", trash)
        for _, folder, experiment_name, run in sorted(found, key=lambda one: (one[0], one[1].name)):
            if run.get("lifecycle_stage") == "deleted":
                self._tally.leave_out("deleted runs")
            else:
                yield self._run(folder, experiment_name, run)

    def _meta(self, path: Path) -> dict[str, Any] | None:
        import yaml

        try:
            # As safe as `safe_load`, and ten times as fast.
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            content = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506
            if isinstance(content, dict):
                return content
            reason = "it holds no mapping"
        except (yaml.YAMLError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
        self._tally.problem(str(path), reason)
        return None

    def _run(self, folder: Path, experiment: str, facts: dict[str, Any]) -> SourceRun:
        status = facts.get("status")
        return source_run(
            MlflowRun(
                id=str(facts.get("run_id") or facts.get("run_uuid") or folder.name),
                name=str(facts.get("run_name") or facts.get("name") or ""),
                status=_STATUSES.get(status, "") if isinstance(status, int) else str(status or ""),
                experiment=experiment,
                start_time=_whole(facts.get("start_time")),
                end_time=_whole(facts.get("end_time")),
                params=self._words(folder / "params"),
                tags=self._words(folder / "tags"),
                facts={name: facts.get(name) for name in _FACTS if facts.get(name) is not None},
                points=lambda: self._points(folder / "metrics"),
                files=lambda: self._files(folder, str(facts.get("artifact_uri") or "")),
            ),
            str(folder),
            self._tally,
        )

    def _words(self, folder: Path) -> dict[str, str]:
        found = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                try:
                    found[path.relative_to(folder).as_posix()] = path.read_bytes().decode()
                except (OSError, ValueError) as error:
                    self._tally.problem(str(path), str(error))
        return found

    def _points(self, folder: Path) -> Iterator["pa.Table"]:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield from self._metric(path, path.relative_to(folder).as_posix())

    def _metric(self, path: Path, name: str) -> Iterator["pa.Table"]:
        times: list[int] = []
        values: list[float] = []
        steps: list[int] = []
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                words = line.split()
                try:
                    # Time, value, then the step since MLflow 1.0; what follows names a data set or model.
                    time_us, value = int(words[0]) * 1000, float(words[1])
                    step = int(words[2]) if len(words) > 2 else 0
                except (ValueError, IndexError):
                    if words:
                        self._tally.problem(f"{path}:{number}", f"not a metric: {line[:80]!r}")
                    continue
                times.append(time_us)
                values.append(value)
                steps.append(step)
                if len(words) > 3:
                    self._tally.leave_out("links of points to data sets or models")
                if len(times) == _BATCH:
                    yield points_table(name, steps, times, values)
                    times, values, steps = [], [], []
        if times:
            yield points_table(name, steps, times, values)

    def _files(self, folder: Path, uri: str) -> Iterator[SourceFile]:
        # A store that was moved still names the place where it was.
        found: Path | None = folder / "artifacts"
        if found is not None and not found.is_dir():
            found = artifact_folder(uri, self._artifacts, self._artifacts) if self._artifacts else None
        if found is not None:
            yield from files_below(found, self._tally)
        elif uri and not uri.endswith(f"{folder.name}/artifacts"):
            self._tally.leave_out("runs whose artifacts are not in a folder given by --artifacts")


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
