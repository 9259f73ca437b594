"""Runs of the lab out to an MLflow tracking server."""

import math
import posixpath
import re
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from modelship_lab.client.exchange.mlflow_server import MlflowServer
from modelship_lab.client.exchange.mlflow_words import (
    DONE_TAG,
    LOGGED_IMAGES,
    NOTE,
    ORIGIN_TAG,
    PARENT,
    PARENT_TAG,
    RUN_NAME,
    SYSTEM,
    TO_STATUS,
    artifact_path,
    metric_key,
    param_text,
    record_tags,
    tags_from,
)
from modelship_lab.client.exchange.transfer import (
    ORIGIN,
    OnMoved,
    Tally,
    identity_of,
    milliseconds_of,
    parent_identity,
    points_of,
)
from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.metrics import context_of
from modelship_lab.records.tracking import Run, mlflow_id

if TYPE_CHECKING:
    import pyarrow as pa

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle

_METRICS_AT_ONCE = 1000
_PARAMS_AT_ONCE = 100
_TAGS_AT_ONCE = 50
_LONGEST_PARAM = 6000
_LONGEST_TAG = 5000
_LONGEST_NAME = 250
_NOT_IN_NAMES = re.compile(r"[^/\w.\- :]")
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f#%\\?]")
_ONLY_TAGS = "runs with figures, errors or environment, which only their tags mlship.run.* have"

Key = TypeVar("Key", bound=Hashable)
Series = tuple[str, str]
"""A metric's name and the text of its context."""


def export_to_server(
    lab: "Lab", url: str, runs: Iterable["RunHandle"], tally: Tally, on_moved: OnMoved
) -> None:
    """Write runs to a tracking server; one that is there already, and has not changed since, is left as it is.

    Raises:
        Unavailable: no server answers.
        PermissionDenied: it does not let us in.
    """
    server = MlflowServer(url)
    try:
        departure = _Departure(lab, server, tally)
        for run in runs:
            try:
                departure.take(run)
            except (InvalidInput, NotFound) as error:
                tally.problem(f"run {run.id}", error.message)
            on_moved(tally.moved())
    finally:
        server.close()


class Mirrored:
    """One run that is at a tracking server from its beginning, and whole there once it has ended.

    Args:
        run: it.
        url: the server.

    Raises:
        Unavailable: no server answers.
        PermissionDenied: it does not let us in.
    """

    def __init__(self, run: "RunHandle", url: str) -> None:
        self._run = run
        self._server = MlflowServer(url)
        self._departure = _Departure(run.lab, self._server, Tally())
        self._created = self._there() or self._departure.begin(run)
        self.id = str(self._created["run_id"])
        """The server's own id of the run."""

    def _there(self) -> dict[str, Any] | None:
        """The run that was made for it already: by the lab server, or before it was resumed."""
        known = mlflow_id(self._run.record.tags)
        if known is None:
            return None
        try:
            found: dict[str, Any] = self._server.get("runs/get", run_id=known)["run"]["info"]
        except NotFound:
            return None
        return found if found.get("lifecycle_stage") == "active" else None

    def complete(self) -> None:
        """Send what the run has logged, and how it ended."""
        self._departure.fill(self._run, self._created)

    def close(self) -> None:
        """Give the sockets back."""
        self._server.close()


class _Departure:
    """Takes one run after the other to a tracking server."""

    def __init__(self, lab: "Lab", server: MlflowServer, tally: Tally) -> None:
        self._lab = lab
        self._server = server
        self._tally = tally
        self._experiments: dict[str, str] = {}
        self._there: dict[str, str] = {}
        """Ids of runs on the server by their identities."""

    def take(self, run: "RunHandle") -> None:
        """Export one run."""
        record = run.record
        identity = identity_of(self._lab, record)
        done = _done(record, points_of(run), run.artifacts())
        there = self._unchanged(self._experiment_of(record), identity, done)
        if there is not None:
            self._there[identity] = there
            self._tally.unchanged += 1
            return
        self.fill(run, self.begin(run))

    def begin(self, run: "RunHandle") -> dict[str, Any]:
        """Make the run on the server, with nothing in it; returns what the server says of it."""
        record = run.record
        created: dict[str, Any] = self._server.post(
            "runs/create",
            repeatable=False,
            experiment_id=self._experiment_of(record),
            start_time=milliseconds_of(record.started_at),
            run_name=record.name,
            tags=[{"key": ORIGIN_TAG, "value": identity_of(self._lab, record)}],
        )["run"]["info"]
        return created

    def fill(self, run: "RunHandle", created: Mapping[str, Any]) -> None:
        """Send all of a run to the one that was made for it."""
        record = run.record
        origin = record.environment.get(ORIGIN, {})
        identity, experiment = identity_of(self._lab, record), self._experiment_of(record)
        points, files = points_of(run), run.artifacts()
        done = _done(record, points, files)
        tags = self._tags(record, identity, experiment)
        if any(_is_series_of_images(file) for file in files):
            tags[LOGGED_IMAGES] = "True"
        params = self._params(record)
        metric_names = self._metric_names(points)
        file_names = self._file_names(files, origin)
        kept = _kept(record, identity) | {
            "metric_names": {sent: name for (name, _), sent in metric_names.items() if sent != name},
            "metric_contexts": {
                sent: context_of(context) for (_, context), sent in metric_names.items() if context != "{}"
            },
            "sent_params": list(params),
            "sent_tags": [f"{key}={value}" if value else key for key, value in tags.items()],
            "files": {
                file_names[file.id]: [file.name, file.content_type, file.kind, file.step, file.caption]
                for file in files
            },
        }
        there = str(created["run_id"])
        for some in _pieces_of({**tags, **record_tags(kept)}, _TAGS_AT_ONCE):
            self._server.post("runs/log-batch", run_id=there, tags=some)
        for some in _pieces_of(params, _PARAMS_AT_ONCE):
            self._server.post("runs/log-batch", run_id=there, params=some)
        self._send_points(there, points, metric_names)
        sent = self._send_files(run, created["artifact_uri"], files, file_names)
        self._leave_out(record)
        ended: dict[str, Any] = (
            {} if record.ended_at is None else {"end_time": milliseconds_of(record.ended_at)}
        )
        self._server.post("runs/update", run_id=there, status=TO_STATUS[record.status], **ended)
        for part in self._server.runs_with(experiment, PARENT_TAG, identity):
            self._server.post("runs/set-tag", run_id=part["info"]["run_id"], key=PARENT, value=there)
        # The very last: without it, the run is not there in full.
        self._server.post("runs/set-tag", run_id=there, key=DONE_TAG, value=done)
        self._there[identity] = there
        self._tally.runs += 1
        self._tally.points += points.num_rows
        self._tally.artifacts += sent

    def _tags(self, record: Run, identity: str, experiment: str) -> dict[str, str]:
        origin = record.environment.get(ORIGIN, {})
        known: Mapping[str, str] = origin.get("tags", {}) if isinstance(origin.get("tags"), dict) else {}
        tags = {
            **{key: value for key, value in known.items() if key.startswith(SYSTEM)},
            **tags_from(record.tags, known),
            NOTE: record.notes,
            RUN_NAME: record.name,
            ORIGIN_TAG: identity,
        }
        parent = parent_identity(self._lab, record)
        if parent:
            tags[PARENT_TAG] = parent
            tags.pop(PARENT, None)
            there = self._there.get(parent) or next(
                (run["info"]["run_id"] for run in self._server.runs_with(experiment, ORIGIN_TAG, parent)),
                None,
            )
            if there is not None:
                tags[PARENT] = there
        self._tally.leave_out(
            "links to parents that are not there (yet)", (PARENT in known or bool(parent)) and not there
        )
        names = self._names({key: key for key in tags}, "tags")
        return {
            names[key]: self._cut(value, _LONGEST_TAG, "notes" if key == NOTE else "tags")
            for key, value in tags.items()
            if value or key != NOTE
        }

    def _params(self, record: Run) -> dict[str, str]:
        names = self._names({name: name for name in record.params}, "parameters")
        return {
            names[key]: self._cut(param_text(value), _LONGEST_PARAM, "parameters")
            for key, value in record.params.items()
        }

    def _metric_names(self, points: "pa.Table") -> dict[Series, str]:
        series = points.select(["name", "context"]).group_by(["name", "context"]).aggregate([]).to_pylist()
        keys = sorted((one["name"], one["context"]) for one in series)
        contexts = sum(context != "{}" for _, context in keys)
        self._tally.leave_out("contexts of metrics, which are in their names there", contexts)
        return self._names(
            {(name, text): metric_key(name, context_of(text)) for name, text in keys}, "metrics"
        )

    def _file_names(self, files: list[Artifact], origin: Mapping[str, Any]) -> dict[int, str]:
        """The paths of artifacts by their ids: those that they had in MLflow, if they come from there."""
        had = origin.get("files", {}) if origin.get("kind") == "mlflow" else {}
        paths = {file.id: had.get(file.name, {}).get(str(file.step)) or artifact_path(file) for file in files}
        return self._names(paths, "artifacts", _NOT_IN_PATHS)

    def _leave_out(self, record: Run) -> None:
        if record.bundle is not None:
            self._tally.leave_out("exported models, which a folder can hold")
        if record.summary or record.error or record.environment:
            self._tally.leave_out(_ONLY_TAGS)
        if record.status in ("interrupted", "unreachable"):
            there = TO_STATUS[record.status]
            self._tally.leave_out(f"the state '{record.status}', which is {there} there")

    def _experiment_of(self, record: Run) -> str:
        origin = record.environment.get(ORIGIN, {})
        return self._experiment(record.project or str(origin.get("experiment", "Default")))

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            try:
                found = self._server.get("experiments/get-by-name", experiment_name=name)
                self._experiments[name] = found["experiment"]["experiment_id"]
            except NotFound:
                made = self._server.post("experiments/create", repeatable=False, name=name)
                self._experiments[name] = made["experiment_id"]
        return self._experiments[name]

    def _unchanged(self, experiment: str, identity: str, done: str) -> str | None:
        """The run on the server if it is there as it is now; an older or unfinished copy makes room."""
        for run in self._server.runs_with(experiment, ORIGIN_TAG, identity):
            there = str(run["info"]["run_id"])
            if {"key": DONE_TAG, "value": done} in run["data"].get("tags", []):
                return there
            self._server.post("runs/delete", run_id=there)
            self._tally.leave_out("earlier copies, deleted there (MLflow can restore them)")
        return None

    def _names(
        self, wanted: Mapping[Key, str], what: str, refused: re.Pattern[str] = _NOT_IN_NAMES
    ) -> dict[Key, str]:
        """Names that MLflow takes, each another one."""
        sent: dict[Key, str] = {}
        taken: set[str] = set()
        for key, name in wanted.items():
            fitting = base = _fitting(name, refused)
            number = 1
            while fitting in taken:
                number += 1
                fitting = f"{base}_{number}"
            taken.add(fitting)
            sent[key] = fitting
            self._tally.leave_out(
                f"names of {what} that MLflow does not take, changed there", fitting != name
            )
        return sent

    def _cut(self, text: str, longest: int, what: str) -> str:
        self._tally.leave_out(
            f"ends of long {what}, which only the tags mlship.run.* have", len(text) > longest
        )
        return text[:longest]

    def _send_points(self, identity: str, points: "pa.Table", names: Mapping[Series, str]) -> None:
        import pyarrow as pa

        micros = points["time"].cast(pa.int64()).to_numpy()
        self._tally.leave_out("times of points, rounded to milliseconds", int((micros % 1000 != 0).sum()))
        rows = list(
            zip(
                map(
                    names.__getitem__,
                    zip(points["name"].to_pylist(), points["context"].to_pylist(), strict=True),
                ),
                points["value"].to_pylist(),
                (micros // 1000).tolist(),
                points["step"].to_pylist(),
                strict=True,
            )
        )
        # Two NaN are not equal, but one in MLflow.
        distinct = {(name, repr(value), moment, step) for name, value, moment, step in rows}
        self._tally.leave_out("points that MLflow takes for the same", len(rows) - len(distinct))
        for start in range(0, len(rows), _METRICS_AT_ONCE):
            metrics = [
                {"key": name, "value": _number(value), "timestamp": moment, "step": step}
                for name, value, moment, step in rows[start : start + _METRICS_AT_ONCE]
            ]
            self._server.post("runs/log-batch", run_id=identity, metrics=metrics)

    def _send_files(self, run: "RunHandle", uri: str, files: list[Artifact], names: Mapping[int, str]) -> int:
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            self._tally.leave_out("artifacts, which this server does not take over HTTP", len(names))
            return 0
        several = Counter(artifact.name for artifact in files)
        with tempfile.TemporaryDirectory(prefix="mlship-") as folder:
            for artifact in files:
                file = Path(folder) / "artifact"
                if artifact.step is None and several[artifact.name] > 1:
                    # By its name, the newest step of that name would come.
                    self._lab.download(f"blobs/{artifact.digest}", file)
                else:
                    # Not by the content where it can be avoided: a job's credential is good for its run alone.
                    run.download(artifact.name, file, artifact.step)
                self._server.upload(posixpath.join(parts.path.lstrip("/"), names[artifact.id]), file)
        return len(names)


def _done(record: Run, points: "pa.Table", files: list[Artifact]) -> str:
    """What tells whether a copy is as the run is now."""
    return f"{record.updated_at.isoformat()} {points.num_rows} {len(files)}"


def _kept(record: Run, identity: str) -> dict[str, Any]:
    """What the tags keep of a run."""
    lab_id, _, number = identity.rpartition("/")
    kept = record.model_dump(
        mode="json",
        include={
            "name", "project", "recipe", "status", "params", "tags", "notes", "summary", "error",
            "environment", "started_at", "ended_at", "group",
        },
    )  # fmt: skip
    return kept | {"lab_id": lab_id, "id": int(number)}


def _is_series_of_images(artifact: Artifact) -> bool:
    return artifact.kind == "image" and artifact.step is not None


def _fitting(name: str, refused: re.Pattern[str]) -> str:
    """A name that MLflow takes, as near to this one as can be."""
    fitting = refused.sub("_", name)
    if not fitting or posixpath.normpath(fitting) != fitting or fitting.startswith(("/", ".")):
        fitting = fitting.replace("/", "_").lstrip(".") or "_"
    # Room for a number behind it.
    return fitting if len(fitting) <= _LONGEST_NAME else fitting[: _LONGEST_NAME - 10]


def _number(value: float) -> float | str:
    """A number as protobuf's JSON has it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _pieces_of(words: Mapping[str, str], size: int) -> Iterator[list[dict[str, str]]]:
    pairs = [{"key": key, "value": value} for key, value in words.items()]
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]
