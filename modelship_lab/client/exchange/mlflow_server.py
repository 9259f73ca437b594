"""Runs of the lab out to an MLflow tracking server, over its REST API."""

import math
import os
import posixpath
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from modelship_lab.client.discovery import is_local
from modelship_lab.client.exchange.mlflow_words import (
    DONE_TAG,
    NOTE,
    ORIGIN_TAG,
    PARENT,
    RUN_NAME,
    SYSTEM,
    TO_STATUS,
    param_text,
    record_tags,
    tags_from,
)
from modelship_lab.client.exchange.parquet_folder import points_of
from modelship_lab.client.exchange.transfer import ORIGIN, OnMoved, Tally, lab_origin, milliseconds_of
from modelship_lab.records.errors import InvalidInput, LabError, NotFound, PermissionDenied, Unavailable

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
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_TIMEOUT_S = 120.0
_CHUNK = 1 << 20
_ONLY_TAGS = "runs with figures, errors or surroundings, which only their tags mlship.run.* have"


class MlflowServer:
    """A tracking server.

    Credentials are those of MLflow's own client: in the address, or `MLFLOW_TRACKING_USERNAME` and
    `MLFLOW_TRACKING_PASSWORD`, or `MLFLOW_TRACKING_TOKEN` of the environment.

    Args:
        url: its base address.
    """

    def __init__(self, url: str) -> None:
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        username = os.environ.get("MLFLOW_TRACKING_USERNAME")
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        self._place = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/2.0/",
            auth=(username, password) if username else None,
            headers={"Authorization": f"Bearer {token}"} if token and not username else None,
            timeout=_TIMEOUT_S,
            trust_env=not is_local(url),
        )

    def close(self) -> None:
        """Give the sockets back."""
        self._http.close()

    def get(self, path: str, **params: str) -> Any:
        """One question."""
        return self._send("GET", f"mlflow/{path}", params=params).json()

    def post(self, path: str, *, repeatable: bool = True, **body: Any) -> Any:
        """One order. What is not repeatable is only sent again if the server has surely not done it."""
        return self._send("POST", f"mlflow/{path}", repeatable=repeatable, json=body).json()

    def upload(self, path: str, file: Path) -> None:
        """Store a file as an artifact."""
        self._send("PUT", f"mlflow-artifacts/artifacts/{quote(path)}", file=file)

    def _send(
        self, method: str, path: str, *, repeatable: bool = True, file: Path | None = None, **arguments: Any
    ) -> httpx.Response:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            failure: LabError
            try:
                if file is not None:
                    arguments["content"] = _pieces(file)
                    arguments["headers"] = {"Content-Length": str(file.stat().st_size)}
                response = self._http.request(method, path, **arguments)
                if response.status_code < 400:
                    return response
                failure = self._failure(response)
                code = response.status_code
                may_repeat = code in (429, 503) or (code >= 500 and repeatable)
                pause_s = max(pause_s, _seconds(response.headers.get("Retry-After")))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                failure = Unavailable(f"No MLflow server answers at {self._place}.")
                may_repeat = True
            except httpx.TransportError as error:
                failure = Unavailable(
                    f"The connection to the MLflow server at {self._place} broke ({type(error).__name__})."
                )
                may_repeat = repeatable
            if not may_repeat or attempt == _ATTEMPTS:
                break
            time.sleep(min(pause_s, _LONGEST_PAUSE_S))
            pause_s *= 2
        raise failure

    def _failure(self, response: httpx.Response) -> LabError:
        try:
            body = response.json()
            said, code = str(body["message"])[:500], str(body.get("error_code", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            said, code = f"HTTP status {response.status_code}", ""
        where = f"The MLflow server at {self._place}"
        if response.status_code in (401, 403):
            return PermissionDenied(
                f"{where} refuses: {said}. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN."
            )
        if response.status_code == 404 or code == "RESOURCE_DOES_NOT_EXIST":
            return NotFound(f"{where}: {said}")
        if response.status_code == 429 or response.status_code >= 500:
            return Unavailable(f"{where} cannot answer: {said}")
        return InvalidInput(f"{where} refuses: {said}")


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


class _Departure:
    """Takes one run after the other to a tracking server."""

    def __init__(self, lab: "Lab", server: MlflowServer, tally: Tally) -> None:
        self._lab = lab
        self._server = server
        self._tally = tally
        self._experiments: dict[str, str] = {}
        self._there: dict[str, str] = {}
        """Ids of runs on the server by those that they had where they were imported from."""

    def take(self, run: "RunHandle") -> None:
        """Export one run."""
        record = run.record
        origin = record.environment.get(ORIGIN, {})
        known: Mapping[str, str] = origin.get("tags", {}) if isinstance(origin.get("tags"), dict) else {}
        lab_id, number = lab_origin(record.environment) or (self._lab.info.lab_id, run.id)
        experiment = self._experiment(record.project or str(origin.get("experiment", "Default")))
        points = points_of(run)
        files = run.artifacts()
        done = f"{record.updated_at.isoformat()} {points.num_rows} {len(files)}"
        identity = self._unchanged(experiment, f"{lab_id}/{number}", done)
        if identity is not None:
            self._there[str(origin.get("run"))] = identity
            self._tally.unchanged += 1
            return
        tags = {
            **{key: value for key, value in known.items() if key.startswith(SYSTEM)},
            **tags_from(record.tags, known),
            NOTE: self._note(record.notes),
            RUN_NAME: record.name,
            ORIGIN_TAG: f"{lab_id}/{number}",
        }
        if PARENT in tags:
            self._tally.leave_out("links to parents that were not exported", tags[PARENT] not in self._there)
            tags[PARENT] = self._there.get(tags[PARENT], tags[PARENT])
        tag_names = self._names(tags, "tags")
        tags = {
            tag_names[key]: self._cut(value, _LONGEST_TAG, "tags")
            for key, value in tags.items()
            if value or key != NOTE
        }
        param_names = self._names(record.params, "parameters")
        params = {
            param_names[key]: self._cut(param_text(value), _LONGEST_PARAM, "parameters")
            for key, value in record.params.items()
        }
        metric_names = self._names(sorted(set(points["name"].to_pylist())), "metrics")
        file_names = self._names([file.name for file in files], "artifacts")
        kept = record.model_dump(
            mode="json",
            include={
                "name", "project", "recipe", "status", "params", "tags", "notes", "summary", "error",
                "environment", "started_at", "ended_at",
            },
        ) | {
            "lab_id": lab_id,
            "id": number,
            "metric_names": {sent: name for name, sent in metric_names.items() if sent != name},
            "sent_params": list(params),
            "sent_tags": [f"{key}={value}" if value else key for key, value in tags.items()],
            "files": {file_names[file.name]: [file.name, file.content_type] for file in files},
        }  # fmt: skip
        created = self._server.post(
            "runs/create",
            repeatable=False,
            experiment_id=experiment,
            start_time=milliseconds_of(record.started_at),
            run_name=record.name,
            tags=[{"key": ORIGIN_TAG, "value": tags[ORIGIN_TAG]}],
        )["run"]["info"]
        identity = str(created["run_id"])
        for some in _pieces_of({**tags, **record_tags(kept)}, _TAGS_AT_ONCE):
            self._server.post("runs/log-batch", run_id=identity, tags=some)
        for some in _pieces_of(params, _PARAMS_AT_ONCE):
            self._server.post("runs/log-batch", run_id=identity, params=some)
        self._send_points(identity, points, metric_names)
        sent = self._send_files(created["artifact_uri"], run, file_names)
        if record.bundle is not None:
            self._tally.leave_out("exported models, which a folder can hold")
        if record.summary or record.error or record.environment:
            self._tally.leave_out(_ONLY_TAGS)
        if record.status in ("interrupted", "unreachable"):
            there = TO_STATUS[record.status]
            self._tally.leave_out(f"the state '{record.status}', which is {there} there")
        ended: dict[str, Any] = (
            {} if record.ended_at is None else {"end_time": milliseconds_of(record.ended_at)}
        )
        self._server.post("runs/update", run_id=identity, status=TO_STATUS[record.status], **ended)
        # The very last: without it, the run is not there in full.
        self._server.post("runs/set-tag", run_id=identity, key=DONE_TAG, value=done)
        if origin.get("run"):
            self._there[str(origin["run"])] = identity
        self._tally.runs += 1
        self._tally.points += points.num_rows
        self._tally.artifacts += sent

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            try:
                found = self._server.get("experiments/get-by-name", experiment_name=name)
                self._experiments[name] = found["experiment"]["experiment_id"]
            except NotFound:
                made = self._server.post("experiments/create", repeatable=False, name=name)
                self._experiments[name] = made["experiment_id"]
        return self._experiments[name]

    def _unchanged(self, experiment: str, origin: str, done: str) -> str | None:
        """The run on the server if it is there as it is now; an older or unfinished copy makes room."""
        condition = f"tags.`{ORIGIN_TAG}` = '{origin}'"
        found = self._server.post(
            "runs/search", experiment_ids=[experiment], filter=condition, max_results=10
        )
        for run in found.get("runs", []):
            identity = str(run["info"]["run_id"])
            if {"key": DONE_TAG, "value": done} in run["data"].get("tags", []):
                return identity
            self._server.post("runs/delete", run_id=identity)
            self._tally.leave_out("earlier copies, deleted there (MLflow can restore them)")
        return None

    def _names(self, names: Iterable[str], what: str) -> dict[str, str]:
        """Names that MLflow takes, by those that the lab has."""
        sent: dict[str, str] = {}
        taken: set[str] = set()
        for name in names:
            fitting = base = _fitting(name)
            number = 1
            while fitting in taken:
                number += 1
                fitting = f"{base}_{number}"
            taken.add(fitting)
            sent[name] = fitting
            self._tally.leave_out(
                f"names of {what} that MLflow does not take, changed there", fitting != name
            )
        return sent

    def _cut(self, text: str, longest: int, what: str) -> str:
        self._tally.leave_out(
            f"ends of long {what}, which only the tags mlship.run.* have", len(text) > longest
        )
        return text[:longest]

    def _note(self, notes: str) -> str:
        return self._cut(notes, _LONGEST_TAG, "notes")

    def _send_points(self, identity: str, points: "pa.Table", names: Mapping[str, str]) -> None:
        import pyarrow as pa

        micros = points["time"].cast(pa.int64()).to_numpy()
        self._tally.leave_out("times of points, rounded to milliseconds", int((micros % 1000 != 0).sum()))
        rows = list(
            zip(
                points["name"].to_pylist(),
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
                {"key": names[name], "value": _number(value), "timestamp": moment, "step": step}
                for name, value, moment, step in rows[start : start + _METRICS_AT_ONCE]
            ]
            self._server.post("runs/log-batch", run_id=identity, metrics=metrics)

    def _send_files(self, uri: str, run: "RunHandle", names: Mapping[str, str]) -> int:
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            self._tally.leave_out("artifacts, which this server does not take over HTTP", len(names))
            return 0
        with tempfile.TemporaryDirectory(prefix="mlship-") as folder:
            for name, sent in names.items():
                file = run.download(name, Path(folder) / "artifact")
                self._server.upload(posixpath.join(parts.path.lstrip("/"), sent), file)
        return len(names)


def _fitting(name: str) -> str:
    """A name that MLflow takes, as near to this one as can be."""
    fitting = _NOT_IN_NAMES.sub("_", name)
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


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_CHUNK):
            yield piece


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:
        return 0.0
