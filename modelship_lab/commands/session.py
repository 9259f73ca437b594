"""Where a command is used: in a shell or in a notebook. The verbs are the same, their surroundings differ."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from modelship_lab.commands.naming import with_suggestion
from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    MissingDependency,
    NotFound,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import JobHandle, Lab, ProjectHandle, RunHandle
    from modelship_lab.client.exchange.transfer import OnMoved
    from modelship_lab.client.imports import OnProgress
    from modelship_lab.client.project_samples import MapColor
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.learning.autolog import Autologging
    from modelship_lab.records.identity import Account
    from modelship_lab.records.labeling import QueueOrder, SampleFilter
    from modelship_lab.records.serving import Deployment


class Session(ABC):
    """What the verbs need from where they are used."""

    is_shell = False

    def __init__(self) -> None:
        self._lab: Lab | None = None
        self.url: str | None = None
        """The lab that was chosen by `login`; None: the one that is usual here."""

    @property
    def lab(self) -> "Lab":
        """The lab of this session, connected on first use; a server is started when there is none."""
        if self._lab is None:
            self._lab = self.connect()
        return self._lab

    def use(self, url: str | None) -> None:
        """Use the lab at `url`, where there is a login, or again the one that is usual here."""
        self.url = url
        self._lab = None

    @abstractmethod
    def connect(self) -> "Lab":
        """Connect to the lab server."""

    def failed(self, error: LabError) -> None:
        """Take note of an error: after a lost server or credential, the next command connects anew."""
        if isinstance(error, (Unavailable, Unauthenticated)):
            self._lab = None

    def project(self, name: str) -> "ProjectHandle":
        """A project by name or id; an unknown name is answered with the one that is meant."""
        try:
            return self.lab.project(name)
        except NotFound as error:
            known = [project.name for project in self.lab.projects()]
            raise with_suggestion(error, "project", name, known) from error

    def deployment(self, name: str) -> "Deployment":
        """A deployment by name or id; an unknown name is answered with the one that is meant."""
        try:
            return self.lab.deployment(name)
        except NotFound as error:
            known = [deployment.name for deployment in self.lab.deployments()]
            raise with_suggestion(error, "deployment", name, known) from error

    def user(self, name: str) -> "Account":
        """An account by its username or id; an unknown name is answered with the one that is meant."""
        try:
            return self.lab.users.get(name)
        except NotFound as error:
            known = [account.username for account in self.lab.users()]
            raise with_suggestion(error, "user", name, known) from error

    @abstractmethod
    def ask(self, what: str) -> str:
        """Ask the user for a word."""

    @abstractmethod
    def ask_secret(self, what: str, *, confirm: bool = False) -> str:
        """Ask the user for a secret, without echo.

        Args:
            confirm: whether to ask for it twice.

        Raises:
            InvalidInput: nobody can be asked here.
        """

    def variable(self, name: str) -> Any:
        """The notebook's variable of this name, or None."""
        return None

    def variables(self) -> Mapping[str, Any]:
        """The notebook's variables, to be looked at."""
        return {}

    def keep(self, name: str, value: Any) -> None:
        """Make `value` the notebook's variable of this name.

        Raises:
            InvalidInput: there is no notebook, or that is no name.
        """
        raise InvalidInput(f"'{name}' cannot be kept: only a notebook has variables.")

    def autolog(self, frameworks: tuple[str, ...], disable: bool) -> "Autologging":
        """Log what other libraries train in this process.

        Raises:
            InvalidInput: nothing is trained in this process.
        """
        raise InvalidInput(
            "A shell trains nothing that could be logged: use `%mlship autolog` in a notebook, or "
            "`modelship_lab.connect().autolog()` in a program."
        )

    @abstractmethod
    def importing(self, title: str) -> "AbstractContextManager[OnProgress]":
        """A context manager that shows how an import goes on; gives an `OnProgress`."""

    @abstractmethod
    def moving(self, title: str) -> "AbstractContextManager[OnMoved]":
        """A context manager that shows how runs are carried in or out; gives an `OnMoved`."""

    @abstractmethod
    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        """Let the user label."""

    @abstractmethod
    def follow(self, run: "RunHandle", *, wait: bool | None, epochs: int | None) -> Any:
        """Show how a run goes on. `wait` None: as is usual here."""

    @abstractmethod
    def follow_job(self, job: "JobHandle", *, wait: bool | None) -> Any:
        """Show how a background job goes on. `wait` None: as is usual here."""

    def table_of_runs(
        self,
        table: "pl.DataFrame",
        *,
        project: str | None,
        filter: str,
        sort: tuple[str, ...],
        columns: tuple[str, ...] | None,
        limit: int | None,
    ) -> "pl.DataFrame":
        """A table of runs as it is shown here.

        Args:
            table: the runs.
            project, filter, sort, columns, limit: what was asked.
        """
        return table

    def map(self, project: "ProjectHandle", by: "MapColor", most: int) -> Any:
        """Show the map of samples.

        Raises:
            MissingDependency: there is nothing to show it in.
        """
        raise MissingDependency(f"The map needs a browser: in a notebook run `%mlship map {project.name}`.")

    def table_of_samples(
        self, table: "pl.DataFrame", project: "ProjectHandle", *, samples: "SampleFilter", sort: str
    ) -> "pl.DataFrame":
        """A table of samples as it is shown here.

        Args:
            table: the first of them.
            project: whose they are.
            samples, sort: what was asked.
        """
        return table

    @abstractmethod
    def follow_sweep(self, sweep: "Sweep", *, wait: bool | None) -> Any:
        """Show how a sweep goes on. `wait` None: as is usual here."""

    @abstractmethod
    def watch(self, deployment: "Deployment", window_s: int, once: bool) -> Any:
        """Show what a deployment does."""


pass_session = click.pass_obj
