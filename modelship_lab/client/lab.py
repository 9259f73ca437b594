"""The lab as a Python program sees it."""

import logging
import threading
import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from modelship_lab.client import discovery, start
from modelship_lab.client.accounts import Users
from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.client.credits import AccountCredits
from modelship_lab.client.deployments import wait_until_started
from modelship_lab.client.exchange.transfer import OnMoved, Transfer, silent
from modelship_lab.client.keys import Keys
from modelship_lab.client.logins import LoginCredential, Logins, log_in
from modelship_lab.client.predictions import as_input, as_predictions
from modelship_lab.client.projects import ProjectHandle, quoted
from modelship_lab.client.replay import interrupt, replay
from modelship_lab.client.runs import RunHandle
from modelship_lab.client.snapshots import SnapshotData
from modelship_lab.client.sweeps.verbs import SweepVerbs
from modelship_lab.client.verbs import NoVerbs, Verbs
from modelship_lab.client.webhooks import Webhooks
from modelship_lab.records.base import Page, Task
from modelship_lab.records.errors import Conflict, InvalidInput, LabError
from modelship_lab.records.events import LabInfo
from modelship_lab.records.identity import AuditEntry
from modelship_lab.records.labeling import NewProject, Project, Snapshot
from modelship_lab.records.registry import Model, ModelVersion, NewModelVersion, Stage, StageChange
from modelship_lab.records.run_table import RunColumn
from modelship_lab.records.serving import (
    Deployment,
    DeploymentMetrics,
    NewDeployment,
    PredictRequest,
)
from modelship_lab.records.tracking import Run, RunStatus

if TYPE_CHECKING:
    import httpx
    import polars as pl

    from modelship_lab.client.comparison import RunComparison

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAGE = 1000
_START_TIMEOUT_S = 90.0
_CONNECT_PATIENCE_S = 3.0
_PREDICT_TIMEOUT_S = 120.0


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    api_key: str | None = None,
    username: str | None = None,
    password: str | None = None,
    data_dir: Path | None = None,
    start: bool = True,
    verbs: Verbs | None = None,
) -> "Lab":
    """Connect to a lab server.

    Without `url` it is found: `MLSHIP_URL` and `MLSHIP_TOKEN` of the environment, else the running
    server of this user's data directory, else one is started. With `url` the credential is the
    first there is of: the arguments, the login that `mlship login` has kept, that of this user's own
    server, `MLSHIP_TOKEN` unless `MLSHIP_URL` is another server's. Metrics that earlier processes
    could not deliver are sent in the background.

    Args:
        url: base address of the server, e.g. `http://127.0.0.1:8888/`.
        token: the credential.
        api_key: the same; an API key is sent as every token is.
        username: of an account, with `password`: log in for as long as this connection lives.
        data_dir: where spools and caches are kept; default: `MLSHIP_HOME`, else below Jupyter's data.
        start: whether to start a server when none is found.
        verbs: what widgets and training are done with.

    Raises:
        Unavailable: no server answers.
        Unauthenticated: the credential is not valid.
        InvalidInput: it is given twice, or by halves.
    """
    data_dir = data_dir or discovery.default_data_dir()
    token = _one_credential(token, api_key, username, password)
    logins = Logins(data_dir)
    address = (
        discovery.find(data_dir, start=start)
        if url is None
        else discovery.Address(discovery.with_slash(url), "")
    )
    credential = None
    if token is not None:
        address = discovery.Address(address.url, token)
    elif username is not None and password is not None:
        credential = LoginCredential(log_in(address.url, username, password))
    elif not address.token and (kept := logins.get(address.url)) is not None:
        credential = LoginCredential(kept, logins)
    elif not address.token:
        address = discovery.Address(address.url, discovery.known_token(address.url, data_dir))
    # Only a server that was found by its announcement may announce another address.
    follows = address.pid is not None and credential is None
    locate = partial(discovery.announcement, data_dir) if follows else None
    lab = Lab(Connection(address, locate, credential=credential), data_dir, verbs)
    lab.start_replay()
    return lab


def _one_credential(
    token: str | None, api_key: str | None, username: str | None, password: str | None
) -> str | None:
    """The token of the arguments of `connect`, if it is one."""
    if (username is None) != (password is None):
        raise InvalidInput("Give a username and a password, or neither.")
    if sum(one is not None for one in (token, api_key, username)) > 1:
        raise InvalidInput("Give one credential: a token, an API key, or a username with its password.")
    return api_key if token is None else token


class Lab(SweepVerbs):
    """A lab server and what it keeps: projects, runs, models and deployments.

    Args:
        connection: to the lab server.
        data_dir: where spools and caches are kept on this machine.
        verbs: what widgets and training are done with.
    """

    def __init__(self, connection: Connection, data_dir: Path, verbs: Verbs | None = None) -> None:
        self.connection = connection
        self.verbs: Verbs = verbs or NoVerbs()
        self.info = connection.record(LabInfo, "GET", "lab", patience_s=_CONNECT_PATIENCE_S)
        """Which lab this is."""
        self.users = Users(self)
        self.keys = Keys(self)
        self.webhooks = Webhooks(self)
        self.credits = AccountCredits(self)
        # An account's own: to others its runs do not exist, and they could not send what it has logged.
        self.spool_folder = data_dir / "spool" / self.info.lab_id / str(self.info.account_id)
        self.snapshot_cache = data_dir / "cache" / "snapshots"
        self._replayed = threading.Event()

    def __repr__(self) -> str:
        return f"Lab at {self.connection.url}"

    @property
    def url(self) -> str:
        """Base address of the lab server, with a slash at the end."""
        return self.connection.url

    def request(self, method: str, path: str, **arguments: Any) -> "httpx.Response":
        """One request below `mlship/api/`; see `Connection.request` for the arguments."""
        return self.connection.request(method, path, **arguments)

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()

    # Projects

    def projects(self, search: str | None = None) -> list[ProjectHandle]:
        """All projects, or those whose name contains `search`."""
        records = self.pages(Page[Project], "projects", {"search": search})
        return [ProjectHandle(self, record) for record in records]

    def project(self, name: str | int) -> ProjectHandle:
        """A project by name or id.

        Raises:
            NotFound: there is none.
        """
        return ProjectHandle(self, self.connection.record(Project, "GET", f"projects/{quoted(name)}"))

    def new_project(
        self,
        name: str,
        task: Task | None = None,
        classes: Iterable[str] = (),
        description: str = "",
        *,
        is_public: bool = False,
        exist_ok: bool = False,
    ) -> ProjectHandle:
        """Create a project.

        Args:
            task: what is labeled; without one, the project only holds runs.
            classes: the labels, at least two of them, if there is a task.
            is_public: let every account of the lab read it.
            exist_ok: return the project of this name if it is there with the same task and classes.

        Raises:
            Conflict: a project of this name exists, or is a different one.
        """
        new = checked(
            NewProject,
            name=name,
            task=task,
            classes=tuple(classes),
            description=description,
            is_public=is_public,
        )
        try:
            return ProjectHandle(self, self.connection.record(Project, "POST", "projects", json=new))
        except Conflict:
            if not exist_ok:
                raise
        project = self.project(name)
        if project.record.task != new.task or project.record.classes != new.classes:
            raise Conflict(
                f"The project '{name}' exists with another task or other classes: "
                f"{project.record.task or 'no task'}, {', '.join(project.record.classes) or 'no classes'}. "
                "Choose another name."
            )
        return project

    def snapshot(self, snapshot_id: int) -> SnapshotData:
        """A snapshot with its data."""
        info = self.connection.record(Snapshot, "GET", f"snapshots/{snapshot_id}")
        return SnapshotData(info, self.connection, self.snapshot_cache)

    # Runs

    def start_run(
        self,
        name: str = "",
        *,
        project: str | int | None = None,
        recipe: str = "",
        params: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        snapshot_id: int | None = None,
        environment: Mapping[str, Any] | None = None,
        parent: RunHandle | int | None = None,
        group: str = "",
        notes: str = "",
        key: str | None = None,
        system_metrics: bool | None = None,
        source: bool | None = None,
    ) -> RunHandle:
        """Start a run that this process executes. Use it as a context manager, or call `finish`.

        Args:
            name: of the run; need not be its own.
            project: where it belongs.
            recipe: what is trained by.
            params: by name.
            tags: of the run.
            snapshot_id: what it is trained on.
            environment: more to know of its surroundings than what is seen by itself.
            parent: the run that it is a part of.
            group: what it has in common with others, e.g. the repetitions of one experiment.
            notes: Markdown.
            key: the same key gives the same run, which goes on: that of a job which is put into the queue again.
                Default: `MLSHIP_RUN_KEY` of the environment, for the first run of this process.
            system_metrics: whether to sample processor, memory, disk, network and GPUs while it goes on; default:
                yes, unless `MLSHIP_SYSTEM_METRICS` is 0.
            source: whether to save the executed cells or the script, and what git does not have; default: yes,
                unless `MLSHIP_SOURCE` is 0.

        Raises:
            Conflict: the run of this key goes on in another process.
        """
        return start.start_run(
            self,
            name,
            parent=parent,
            params=params or {},
            tags=tags,
            environment=environment or {},
            key=key,
            system_metrics=system_metrics,
            source=source,
            project=project,
            recipe=recipe,
            snapshot_id=snapshot_id,
            group=group,
            notes=notes,
        )

    def autolog(self, frameworks: Iterable[str] | None = None, disable: bool = False) -> Any:
        """Make runs of what other libraries train in this process, or no longer.

        The active run (of `with lab.start_run()` or `%%mlship run`) is used where there is one. Whatever
        fails in logging, training goes on; once disabled, the libraries are as they were before.

        Args:
            frameworks: of `sklearn`, `pytorch` and `transformers`; default: all that are installed.
            disable: leave them as they were.

        Raises:
            InvalidInput: a framework that is not known or not installed.
        """
        return self.verbs.autolog(self, frameworks, disable)

    def resume_run(
        self,
        run: RunHandle | int,
        *,
        system_metrics: bool | None = None,
        source: bool | None = None,
    ) -> RunHandle:
        """Go on with a run in this process, after its last step, whatever has become of it.

        Args:
            run: or its id.
            system_metrics: as in `start_run`.
            source: as in `start_run`.

        Raises:
            NotFound: there is none.
            Conflict: it goes on in another process.
        """
        run_id = run if isinstance(run, int) else run.id
        return start.resume_run(self, run_id, system_metrics=system_metrics, source=source)

    def run(self, run_id: int) -> RunHandle:
        """A run by its id.

        Raises:
            NotFound: there is none.
        """
        return RunHandle(self, self.connection.record(Run, "GET", f"runs/{int(run_id)}"))

    def run_records(
        self, project: str | int | None = None, status: str | None = None, limit: int | None = None
    ) -> list[Run]:
        """Runs, the newest first."""
        return self.pages(Page[Run], "runs", {"project": project, "status": status}, limit)

    def runs(
        self,
        project: str | int | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
        *,
        filter: str = "",
        sort: str | Iterable[str] = (),
        columns: Iterable[str] | None = None,
    ) -> "pl.DataFrame":
        """Runs as a table, the newest first, with a column for each parameter, metric and final figure.

            lab.runs("digits", filter="metrics.loss < 0.3 and params.lr in (0.1, 0.01)", sort="metrics.loss")

        Args:
            project: whose runs; default: all that this account may see.
            status: only those in this state.
            limit: at most this many.
            filter: a Python expression over a run's own columns (`status`, `name`, `tags`, `started_at`, …),
                `params.x`, `metrics.x` (its last value; also `.min`, `.max`, `.mean`) and `summary.x`. What is
                missing compares as false.
            sort: columns, the most important first, with `-` before those that go down.
            columns: these alone, e.g. `["params.lr", "metrics.loss.min"]`; default: all.

        Raises:
            InvalidInput: the filter, with a mark under the place, or a column is not understood.
        """
        from modelship_lab.client.run_table import run_table

        if status is not None:
            filter = f'({filter}) and status == "{status}"' if filter.strip() else f'status == "{status}"'
        order = (sort,) if isinstance(sort, str) else tuple(sort)
        return run_table(self, project, filter, order, None if columns is None else tuple(columns), limit)

    def run_columns(self, project: str | int | None = None) -> list[RunColumn]:
        """The parameters, metrics and final figures that runs have, those of most runs first."""
        from modelship_lab.client.run_table import run_columns

        return run_columns(self, project)

    def best_run(
        self,
        metric: str,
        mode: Literal["min", "max"] | None = None,
        *,
        project: str | int | None = None,
        filter: str = "",
    ) -> RunHandle:
        """The run with the best figure.

        Args:
            metric: a figure by its name (`val_loss`: the final figure of that name, else the metric's last
                value), or a column, e.g. `metrics.val_loss.min`.
            mode: whether the smallest or the largest is the best. Default: the largest of what is called
                accuracy, F1, AUC, score and the like, else the smallest.
            project: of these runs alone.
            filter: of those that pass it alone; see `runs`.

        Raises:
            NotFound: no run has it.
        """
        from modelship_lab.client.run_table import best_run

        return self.run(best_run(self, metric, mode, project, filter)[0])

    def compare(self, runs: Iterable[int | RunHandle]) -> "RunComparison":
        """Runs side by side: what differs in parameters, figures, surroundings and code."""
        from modelship_lab.client.comparison import RunComparison

        return RunComparison(self, [run if isinstance(run, RunHandle) else self.run(run) for run in runs])

    def import_runs(
        self,
        source: str | Path,
        project: str | int | None = None,
        *,
        artifacts: str | Path | None = None,
        on_moved: OnMoved = silent,
    ) -> Transfer:
        """Import the runs of another system; what was imported before is not doubled, what is new is added.

        Args:
            source: an MLflow database (`mlflow.db`) or file store (`mlruns`), a folder of TensorBoard event
                files, a CSV file of metrics, or a folder that `export_runs` has made.
            project: where the runs go; default: where the source files them, in a project of that name.
            artifacts: the folder of an MLflow server's artifacts, when it is not beside the source.
            on_moved: hears how far it is.

        Returns:
            What was imported, what was left out because the lab has no place for it, and what could not be read.

        Raises:
            InvalidInput: the source is not there, or nothing of this kind.
            InvalidData: nothing of it can be read.
        """
        from modelship_lab.client.exchange.runs_in import import_runs

        folder = None if artifacts is None else Path(artifacts).expanduser()
        return import_runs(self, Path(source).expanduser(), project, folder, on_moved)

    def export_runs(
        self,
        target: str | Path,
        project: str | int | None = None,
        *,
        runs: Iterable[int | RunHandle] | None = None,
        on_moved: OnMoved = silent,
    ) -> Transfer:
        """Export runs with all their points and artifacts.

        Args:
            target: a new folder, which gets Parquet files (`import_runs` takes them back), or the address of
                an MLflow server.
            project: whose runs; default: all that this account may see.
            runs: these alone.
            on_moved: hears how far it is.

        Returns:
            What was exported, what was left out because the other side has no place for it, and what failed.

        Raises:
            Conflict: the folder exists.
            StorageFailed: the disk refuses.
        """
        from modelship_lab.client.exchange.runs_out import export_runs

        return export_runs(self, str(target), project, runs, on_moved)

    def image(self, digest: str) -> bytes:
        """An encoded image of a sample by its content address, `Sample.image`.

        Raises:
            NotFound: the lab has no such image.
        """
        return self.connection.request("GET", f"blobs/{quoted(digest)}").content

    # Models

    def register(
        self,
        run: RunHandle | int,
        name: str,
        stage: Stage = "None",
        description: str = "",
        tags: Iterable[str] = (),
    ) -> ModelVersion:
        """Register a run's exported model as the next version of `name`.

        Raises:
            Conflict: the run has no exported model.
        """
        run_id = run if isinstance(run, int) else run.id
        new = checked(
            NewModelVersion, name=name, run_id=run_id, stage=stage, description=description, tags=tuple(tags)
        )
        return self.connection.record(ModelVersion, "POST", "models", json=new)

    def models(self) -> list[Model]:
        """All models."""
        return self.whole(Page[Model], "models")

    def model_versions(self, name: str | int | None = None) -> list[ModelVersion]:
        """All versions of a model, or of all models."""
        if name is None:
            return [version for model in self.models() for version in self.model_versions(model.name)]
        return self.whole(Page[ModelVersion], f"models/{quoted(name)}/versions")

    def model_version(self, name: str | int, version: int) -> ModelVersion:
        """One version of a model."""
        return self.connection.record(ModelVersion, "GET", f"models/{quoted(name)}/versions/{version}")

    def set_stage(self, name: str | int, version: int, stage: Stage) -> ModelVersion:
        """Move a version to another stage."""
        path = f"models/{quoted(name)}/versions/{version}/stage"
        return self.connection.record(ModelVersion, "PUT", path, json=checked(StageChange, stage=stage))

    # Deployments

    def deploy(
        self,
        model: str,
        name: str,
        *,
        answer_timeout_s: float = 30.0,
        max_batch: int = 64,
        max_queue: int = 1024,
        wait: bool = True,
        wait_timeout_s: float = _START_TIMEOUT_S,
    ) -> Deployment:
        """Serve a model version under a name; an existing name gets a new version of the deployment.

        Args:
            model: `model-name/version`.
            name: of the deployment.
            answer_timeout_s: longest answer to one request.
            max_batch: most rows that are predicted at once.
            max_queue: most requests that wait; beyond, the answer is 429.
            wait: whether to wait until it answers.
            wait_timeout_s: longest wait.

        Raises:
            DeploymentFailed: the worker did not start; the message says why.
        """
        new = checked(
            NewDeployment,
            model=model,
            name=name,
            timeout_s=answer_timeout_s,
            max_batch=max_batch,
            max_queue=max_queue,
        )
        deployment = self.connection.record(Deployment, "POST", "deployments", json=new)
        return wait_until_started(self.connection, deployment, wait_timeout_s) if wait else deployment

    def deployments(self) -> list[Deployment]:
        """All deployments."""
        return self.whole(Page[Deployment], "deployments")

    def deployment(self, name: str | int) -> Deployment:
        """A deployment by name or id."""
        return self.connection.record(Deployment, "GET", f"deployments/{quoted(name)}")

    def undeploy(self, name: str | int) -> None:
        """Stop serving a deployment and remove it."""
        self.connection.request("DELETE", f"deployments/{quoted(name)}", timeout_s=120.0)

    def predict(
        self, name: str | int, data: Any, *, explain: bool = False, class_name: str | None = None
    ) -> Any:
        """Predict by a deployment.

        Args:
            name: of the deployment.
            data: one input or a list of inputs: a text; an image as bytes or `Path`; a row as a
                mapping, or as a list of values in the order of the features inside a list of rows.
            explain: whether to compute Shapley values, too.
            class_name: the class to explain; default: the predicted one.

        Returns:
            A `Prediction`, or a list of them for a list of inputs.
        """
        request = checked(PredictRequest, data=as_input(data), explain=explain, class_name=class_name)
        response = self.connection.request(
            "POST",
            f"deployments/{quoted(name)}/predict",
            json=request,
            repeatable=True,
            timeout_s=_PREDICT_TIMEOUT_S,
        )
        return as_predictions(response.json())

    def deployment_metrics(self, name: str | int, window_s: int = 60) -> DeploymentMetrics:
        """What a deployment did during the last `window_s` seconds."""
        return self.connection.record(
            DeploymentMetrics, "GET", f"deployments/{quoted(name)}/metrics", params={"window_s": window_s}
        )

    # What happened

    def audit(
        self,
        user: str | int | None = None,
        type: str | None = None,
        topic: str | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """What was done by whom with which credential, the newest first; for administrators.

        Args:
            user: only what this account did.
            type: only events of this type, e.g. `key.created`.
            topic: only what was done to this, e.g. `project:3`.
            limit: at most this many.
        """
        entries: list[AuditEntry] = []
        while len(entries) < limit:
            size = min(_PAGE, limit - len(entries))
            before = entries[-1].id if entries else None
            asked = {"account": user, "type": type, "topic": topic, "before": before, "limit": size}
            page = self.connection.record(Page[AuditEntry], "GET", "audit", params=asked)
            entries.extend(page.items)
            if len(page.items) < size:
                break
        return entries

    # Inside

    def pages(
        self,
        kind: type[Page[Item]],
        path: str,
        params: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> list[Item]:
        """All items of a list of the API, or the first `limit`."""
        items: list[Item] = []
        while limit is None or len(items) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(items))
            asked = {**(params or {}), "limit": size, "offset": len(items)}
            page = self.connection.record(kind, "GET", path, params=asked)
            items.extend(page.items)
            if not page.items or len(items) >= page.total:
                break
        return items

    def whole(self, kind: type[Page[Item]], path: str) -> list[Item]:
        """All items of a list of the API that is not cut into pages."""
        return list(self.connection.record(kind, "GET", path).items)

    def sql(self, statement: str, /, **frames: Any) -> "pl.DataFrame":
        """Answer one SELECT statement over what the lab knows, joined with one's own frames.

            lab.sql("select name, max(value) from metrics where run_id = 12 group by name")
            lab.sql("select * from runs join prices on prices.run = runs.id", prices=prices)

        It runs in this process, with DuckDB. `DESCRIBE runs` tells the columns of a table, `SHOW TABLES`
        their names. Times are in UTC.

        Args:
            statement: in DuckDB's SQL, over projects, samples, labels, snapshots, runs, params, metrics,
                models, model_versions, stages, deployments, deployment_metrics, events, and the frames.
            frames: frames of polars, pandas or Arrow by the name that the statement has for them.

        Raises:
            InvalidInput: the statement is not right, with the place; a frame is none, or has a table's name.
        """
        from modelship_lab.client import sql

        return sql.query(self, statement, frames)

    def frame(self, path: str, params: Mapping[str, Any]) -> "pl.DataFrame":
        """A table of the API as a frame."""
        import polars as pl
        import pyarrow as pa

        response = self.connection.request(
            "GET", path, params=params, headers={"Accept": ARROW}, timeout_s=_PREDICT_TIMEOUT_S
        )
        frame = pl.from_arrow(pa.ipc.open_stream(response.content).read_all())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def download(self, path: str, target: Path) -> Path:
        """Write an answer of the API to a file, all at once or not at all."""
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            with self.connection.stream(path) as pieces, temporary.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def start_replay(self) -> None:
        """Send in the background what earlier processes have left in the spool."""
        if self.spool_folder.exists() and any(self.spool_folder.iterdir()):
            threading.Thread(target=self._replay_spool, name="mlship-replay", daemon=True).start()
        else:
            self._replayed.set()

    def wait_for_replay(self, timeout_s: float = 60.0) -> None:
        """Return when the spool of earlier processes is sent, at the latest after `timeout_s`."""
        self._replayed.wait(timeout_s)

    def _replay_spool(self) -> None:
        orphans: list[Run] = []
        try:
            sent, orphans = replay(self.spool_folder, self.connection)
        except LabError as error:
            log.warning("What earlier processes logged is still in %s: %s", self.spool_folder, error.message)
        else:
            if sent:
                log.info("Sent %d requests that earlier processes had left.", sent)
        finally:
            self._replayed.set()
        for run in orphans:
            try:
                interrupt(run, self.connection)
            except LabError as error:
                log.info("The end of run %d could not be told: %s", run.id, error.message)
