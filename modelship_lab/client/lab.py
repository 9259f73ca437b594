"""The lab as a Python program sees it."""

import logging
import threading
import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelship_lab.client import discovery, labeling_functions
from modelship_lab.client.accounts import Users
from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.client.credits import AccountCredits
from modelship_lab.client.job_verbs import JobVerbs
from modelship_lab.client.keys import Keys
from modelship_lab.client.labeling_functions import LabelingFunction
from modelship_lab.client.logins import LoginCredential, Logins, log_in
from modelship_lab.client.projects import ProjectHandle, quoted
from modelship_lab.client.replay import interrupt, replay
from modelship_lab.client.run_verbs import RunVerbs
from modelship_lab.client.shipping_verbs import ShippingVerbs
from modelship_lab.client.snapshots import SnapshotData
from modelship_lab.client.sweeps.verbs import SweepVerbs
from modelship_lab.client.verbs import NoVerbs, Verbs
from modelship_lab.client.webhooks import Webhooks
from modelship_lab.records.base import Page, Task
from modelship_lab.records.errors import Conflict, InvalidInput, LabError
from modelship_lab.records.events import LabInfo
from modelship_lab.records.identity import AuditEntry
from modelship_lab.records.labeling import LabelingSettings, NewProject, Project, Snapshot, SnapshotDiff
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    import httpx
    import polars as pl

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAGE = 1000
_CONNECT_PATIENCE_S = 3.0
_FRAME_TIMEOUT_S = 120.0


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


class Lab(RunVerbs, SweepVerbs, JobVerbs, ShippingVerbs):
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

    def labeling_function(self, function: LabelingFunction) -> LabelingFunction:
        """Have a function say what samples are, with the others of its kind; see `ProjectHandle.apply_rules`.

        ```
        @lab.labeling_function
        def has_link(text):
            return "spam" if "http" in text else None
        ```

        Args:
            function: takes a text, a row (a dict) or an image (of Pillow), and returns a class, or None. One of
                the same name takes the place of the earlier one.

        Returns:
            The function as it is.
        """
        labeling_functions.WRITTEN[function.__name__] = function
        return function

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
        multilabel: bool = False,
        settings: LabelingSettings | Mapping[str, Any] | None = None,
        is_public: bool = False,
        exist_ok: bool = False,
    ) -> ProjectHandle:
        """Create a project.

        Args:
            task: what is labeled; without one, the project only holds runs.
            classes: the labels, if there is a task; at least two of them where each sample gets one.
            multilabel: any number of classes may apply to a sample.
            settings: how it is labeled, or the fields of it that are not as usual; see `LabelingSettings`.
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
            multilabel=multilabel,
            settings=settings or {},
            is_public=is_public,
        )
        try:
            return ProjectHandle(self, self.connection.record(Project, "POST", "projects", json=new))
        except Conflict:
            if not exist_ok:
                raise
        project = self.project(name)
        there = project.record
        if (there.task, there.classes, there.multilabel) != (new.task, new.classes, new.multilabel):
            raise Conflict(
                f"The project '{name}' exists with another task or other classes: "
                f"{there.task or 'no task'}, {', '.join(there.classes) or 'no classes'}. "
                "Choose another name."
            )
        return project

    def snapshot(self, snapshot_id: int) -> SnapshotData:
        """A snapshot with its data."""
        info = self.connection.record(Snapshot, "GET", f"snapshots/{snapshot_id}")
        return SnapshotData(info, self.connection, self.snapshot_cache)

    def diff(self, before: int, after: int) -> SnapshotDiff:
        """What changed from one snapshot of a project to another, both by their ids."""
        return self.connection.record(SnapshotDiff, "GET", f"snapshots/{before:d}/diff/{after:d}")

    def image(self, digest: str) -> bytes:
        """An encoded image of a sample by its content address, `Sample.image`.

        Raises:
            NotFound: the lab has no such image.
        """
        return self.connection.request("GET", f"blobs/{quoted(digest)}").content

    # All of it

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

    def frame(self, path: str, params: Mapping[str, Any]) -> "pl.DataFrame":
        """A table of the API as a frame."""
        import polars as pl
        import pyarrow as pa

        response = self.connection.request(
            "GET", path, params=params, headers={"Accept": ARROW}, timeout_s=_FRAME_TIMEOUT_S
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
