"""The Python client of the AI Manager API, for programs that were written with it.

    from modelship_lab.client.ai_manager import AIManager

    manager = AIManager(
        project_name="my_project",
        api_url="http://127.0.0.1:8890/mlship/ai-manager",
        username="user",
        password="pass",
    )
    with manager.run(name="training_run") as run:
        for epoch in range(100):
            run.log({"loss": 0.5, "accuracy": 0.85}, step=epoch)

It logs in as that API has it, and hands metrics over as every client of the lab does: `run.log`
never waits, many points travel in one request, and what the server has not acknowledged waits on
disk. So it neither meets the API's limit of requests nor loses a point.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from modelship_lab.client import discovery
from modelship_lab.client.checked import checked
from modelship_lab.client.connection import Connection
from modelship_lab.client.lab import Lab
from modelship_lab.client.projects import ProjectHandle, quoted
from modelship_lab.client.runs import RunHandle
from modelship_lab.records.errors import (
    Conflict,
    InvalidInput,
    LabError,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from modelship_lab.records.identity import Account
from modelship_lab.records.labeling import NewProject, Project
from modelship_lab.records.tracking import Run

_MOUNT = "mlship/ai-manager"
_TIMEOUT_S = 30.0
_LOGIN_AGAIN_S = 60.0
"""A login that was refused is not tried again sooner: it would lock the account."""


class AIManager:
    """Tracks the runs of one project.

    Args:
        project_name: the project of the runs; created with the first one when the account has none of this name.
        api_url: the lab server's address of this API, e.g. `http://127.0.0.1:8890/mlship/ai-manager`.
        username: of the account, or its email address.
        password: of the account. Kept in memory for as long as the manager lives, to log in again when
            the token has expired.

    Raises:
        InvalidInput: `api_url` is not a lab server's address of this API.
        Unauthenticated: the username or the password is wrong.
        Unavailable: no server answers at `api_url`.
    """

    def __init__(self, project_name: str, api_url: str, username: str, password: str) -> None:
        self.project_name = checked(NewProject, name=project_name).name
        self._username = username
        url = _base_of(api_url)
        login = _Login(f"{url}{_MOUNT}/auth/login", username, password)
        login.renew("")
        data_dir = discovery.default_data_dir()
        self.lab = Lab(Connection(discovery.Address(url, ""), credential=login), data_dir)
        """The lab that is talked to, for everything that this API has no word for."""
        self.account = self.lab.connection.record(Account, "GET", "auth/me")
        """Whose runs these are."""
        self.lab.start_replay()
        self._project: ProjectHandle | None = None
        self._finding = threading.Lock()

    def __repr__(self) -> str:
        return f"AIManager({self.project_name!r}, {self.lab.url + _MOUNT!r}, {self._username!r})"

    @property
    def project(self) -> ProjectHandle:
        """The project of the runs; created when the account has none of its name."""
        with self._finding:
            if self._project is None:
                self._project = ProjectHandle(self.lab, self._own_project() or self._new_project())
            return self._project

    def run(
        self, name: str = "", config: Mapping[str, Any] | None = None, tags: Iterable[str] = ()
    ) -> RunHandle:
        """Start a run of this process. Use it as a context manager, or call its `finish`.

        Args:
            name: of the run.
            config: parameters; values are JSON, and what is not becomes its text.
            tags: of the run.

        Returns:
            The run: `run.log(metrics, step=...)`, `run.id`, `run.finish()`. An exception inside of `with`
            marks it as failed with the message, an interrupt as stopped.
        """
        return self.lab.start_run(name, project=self.project.id, params=config, tags=tags)

    def projects(self) -> list[ProjectHandle]:
        """The account's and public projects, the newest first."""
        return self.lab.projects()

    def runs(self) -> list[Run]:
        """The runs of the project, the newest first."""
        return self.lab.run_records(self.project.id)

    def close(self) -> None:
        """Give the sockets back."""
        self.lab.close()

    def _own_project(self) -> Project | None:
        """The account's own project of the name: another one, public or an administrator's to see, is not meant."""
        try:
            found = self.lab.connection.record(Project, "GET", f"projects/{quoted(self.project_name)}")
        except NotFound:
            return None
        return found if found.owner_id == self.account.id and found.name == self.project_name else None

    def _new_project(self) -> Project:
        try:
            return self.lab.connection.record(
                Project, "POST", "projects", json=checked(NewProject, name=self.project_name)
            )
        except Conflict:
            # Another program has created it in between.
            found = self._own_project()
            if found is None:
                raise
            return found


class _Login:
    """The token of a login with a password, which is repeated when it has expired."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._fields = {"username": username, "password": password}
        self._token = ""
        self._lock = threading.Lock()
        self._refused: LabError | None = None
        self._refused_at = 0.0

    def __repr__(self) -> str:
        return f"Login of {self._fields['username']} at {self._url}"

    def token(self) -> str:
        return self._token

    def renew(self, refused: str) -> None:
        """Log in, unless another thread has done so since `refused` was sent.

        Raises:
            Unauthenticated: the username or the password is wrong.
            TooManyRequests: it was tried too often.
            Unavailable: no server of this API answers.
        """
        with self._lock:
            if self._token != refused:
                return
            if self._refused is not None and time.monotonic() - self._refused_at < _LOGIN_AGAIN_S:
                raise self._refused
            try:
                self._token = self._log_in()
                self._refused = None
            except Unauthenticated as error:
                self._refused, self._refused_at = error, time.monotonic()
                raise

    def _log_in(self) -> str:
        try:
            answer = httpx.post(
                self._url,
                data=self._fields,
                timeout=_TIMEOUT_S,
                trust_env=not discovery.is_local(self._url),
            )
        except httpx.TransportError as error:
            raise Unavailable(f"No lab server answers at {self._url} ({type(error).__name__}).") from None
        try:
            body = answer.json()
            if answer.status_code == 200:
                return str(body["access_token"])
            detail = str(body["detail"])
        except (ValueError, KeyError, TypeError):
            raise Unavailable(
                f"{self._url} was answered with HTTP status {answer.status_code}, not by a lab server."
            ) from None
        if answer.status_code == 401:
            raise Unauthenticated(f"{self!r} was refused: the username or the password is wrong.")
        if answer.status_code == 429:
            raise TooManyRequests(f"{self!r} was refused: {detail}")
        if answer.status_code >= 500:
            raise Unavailable(f"{self!r} was not possible: {detail}")
        raise InvalidInput(f"{self!r} was refused: {detail}")


def _base_of(api_url: str) -> str:
    """The lab server's own address, with a slash at the end.

    Raises:
        InvalidInput: it is not one of this API.
    """
    stripped = str(api_url).strip().rstrip("/")
    base = stripped.removesuffix(_MOUNT)
    if base == stripped or not base.startswith(("http://", "https://")) or not base.endswith("/"):
        raise InvalidInput(
            f"{api_url!r} is not a lab server's address of this API: it is like "
            f"http://127.0.0.1:8890/{_MOUNT}, whatever stands before /{_MOUNT}."
        )
    return base
