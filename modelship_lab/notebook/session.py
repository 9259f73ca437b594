"""The notebook as a session: widgets, progress under the cell, variables."""

import getpass
import keyword
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError
from IPython.core.getipython import get_ipython
from IPython.display import HTML, display

from modelship_lab.commands.results import DeploymentReport, ProjectProgress
from modelship_lab.commands.session import Session
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.client import JobHandle, Lab, ProjectHandle, RunHandle
    from modelship_lab.client.exchange.transfer import Moved, OnMoved
    from modelship_lab.client.imports import ImportProgress, OnProgress
    from modelship_lab.client.project_samples import MapColor
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.learning.autolog import Autologging
    from modelship_lab.notebook.widgets import LabelerWidget, SamplesWidget
    from modelship_lab.records.labeling import QueueOrder, SampleFilter
    from modelship_lab.records.model_export import ModelFormat
    from modelship_lab.records.serving import Deployment

_SHOW_EVERY_S = 0.25
_STOP_TIMEOUT_S = 120.0


class NotebookSession(Session):
    """`%mlship` in a notebook."""

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__()
        self.shell = shell

    def connect(self) -> "Lab":
        from modelship_lab import client

        return client.connect(self.url, verbs=NotebookVerbs())

    def ask(self, what: str) -> str:
        return _answer(input, what)

    def ask_secret(self, what: str, *, confirm: bool = False) -> str:
        # The kernel's own: the answer is neither shown nor saved.
        given = _answer(getpass.getpass, what)
        if confirm and given != _answer(getpass.getpass, "The same once more"):
            raise InvalidInput("The two are not the same.")
        return given

    def variable(self, name: str) -> Any:
        return self.shell.user_ns.get(name) if name.isidentifier() else None

    def variables(self) -> Mapping[str, Any]:
        return {name: value for name, value in self.shell.user_ns.items() if not name.startswith("_")}

    def keep(self, name: str, value: Any) -> None:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidInput(f"'{name}' is no name of a variable.")
        self.shell.user_ns[name] = value

    def autolog(self, frameworks: tuple[str, ...], disable: bool) -> "Autologging":
        return autologging(self.lab, frameworks, disable)

    @contextmanager
    def importing(self, title: str) -> "Iterator[OnProgress]":
        with _progress_bar(title) as bar:

            def show(progress: "ImportProgress") -> None:
                text = f"{progress.rows_read:,} rows" if progress.rows_read else "sending"
                bar(progress.bytes_sent / max(progress.bytes_total, 1), text)

            yield show

    @contextmanager
    def moving(self, title: str) -> "Iterator[OnMoved]":
        with _progress_bar(title) as bar:

            def show(moved: "Moved") -> None:
                bar(
                    moved.points / max(moved.points_total, 1), f"{moved.runs:,} runs, {moved.points:,} points"
                )

            yield show

    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        return labeler(project, order)

    def follow(self, run: "RunHandle", *, wait: bool | None, epochs: int | None) -> "RunHandle":
        from modelship_lab.notebook.run_display import show_run

        show_run(run)
        if wait:
            wait_for(run)
        return run

    def follow_job(self, job: "JobHandle", *, wait: bool | None) -> "JobHandle | None":
        from modelship_lab.notebook.run_display import show_job

        show_job(job)
        if wait:
            try:
                job.wait()
            except KeyboardInterrupt:
                print(f"Job {job.id} goes on; `%mlship cancel {job.id}` ends it.")
        return None

    def table_of_runs(self, table: "pl.DataFrame", **asked: Any) -> "pl.DataFrame":
        from modelship_lab.notebook.table import RunsTable

        return RunsTable(table, self.lab, **asked)

    def map(self, project: "ProjectHandle", by: "MapColor", most: int) -> Any:
        return NotebookVerbs().map(project, by, most)

    def table_of_samples(
        self, table: "pl.DataFrame", project: "ProjectHandle", **asked: Any
    ) -> "pl.DataFrame":
        from modelship_lab.notebook.table import SamplesTable

        return SamplesTable(table, self.lab, project_id=project.id, **asked)

    def follow_sweep(self, sweep: "Sweep", *, wait: bool | None) -> "Sweep":
        from modelship_lab.notebook.run_display import show_sweep

        show_sweep(sweep)
        if wait:
            wait_for(sweep.run, partial(sweep.stop, now=True))
        return sweep

    def watch(self, deployment: "Deployment", window_s: int, once: bool) -> Any:
        from modelship_lab.notebook.rendering import as_html
        from modelship_lab.notebook.widgets import DeploymentWidget

        metrics = self.lab.deployment_metrics(deployment.id, window_s)
        report = DeploymentReport(self.lab.deployment(deployment.id), metrics)
        if once:
            return report
        return DeploymentWidget(self.lab, deployment_id=deployment.id, still=as_html(report))


def _answer(ask: Callable[[str], str], what: str) -> str:
    try:
        return ask(f"{what}: ")
    except StdinNotImplementedError:
        raise InvalidInput(f"'{what}' cannot be asked here: nobody is at this notebook.") from None


@contextmanager
def _progress_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar that is set to a share with a text beside it, and is gone at the end: the result says it all."""
    from modelship_lab.notebook.markup import progress_html

    shown = display(HTML(progress_html(title, 0.0, "")), display_id=True)
    shown_at = 0.0

    def show(share: float, text: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if shown is not None and now - shown_at > _SHOW_EVERY_S:
            shown_at = now
            shown.update(HTML(progress_html(title, share, text)))

    try:
        yield show
    finally:
        if shown is not None:
            shown.update(HTML(""))


def labeler(project: "ProjectHandle", order: "QueueOrder") -> "LabelerWidget":
    """The widget that labels a project."""
    from modelship_lab.notebook.rendering import as_html
    from modelship_lab.notebook.widgets import LabelerWidget

    still = as_html(ProjectProgress(project.name, project.progress()))
    return LabelerWidget(project.lab, project_id=project.id, order=order, still=still)


def grid(project: "ProjectHandle", samples: "SampleFilter", sort: str) -> "SamplesWidget":
    """The widget that shows many samples of a project."""
    from modelship_lab.notebook.rendering import as_html
    from modelship_lab.notebook.widgets import SamplesWidget

    still = as_html(ProjectProgress(project.name, project.progress()))
    return SamplesWidget(project.lab, project_id=project.id, samples=samples, sort=sort, still=still)


def autologging(lab: "Lab", frameworks: Iterable[str] | None, disable: bool) -> "Autologging":
    """Log what other libraries train; a notebook shows each run under the cell that trains."""
    from modelship_lab.learning.autolog import autolog

    return autolog(lab, frameworks, disable, _show_live)


def _show_live(run: "RunHandle") -> None:
    if get_ipython() is not None:
        from modelship_lab.notebook.run_display import show_run

        show_run(run)


def wait_for(run: "RunHandle", stop: Callable[[], Any] | None = None) -> None:
    """Wait until a run has ended; an interrupt ends it cleanly with a checkpoint.

    A second interrupt leaves the run to itself.

    Args:
        stop: what an interrupt does; default: it stops the run.
    """
    try:
        while run.is_running:
            run.wait(0.2)
    except KeyboardInterrupt:
        print(f"Run {run.id} stops after this step and saves a checkpoint…")
        (stop or run.stop)()
        run.wait(_STOP_TIMEOUT_S)


class NotebookVerbs:
    """The verbs of the Python client that need the layers above it."""

    def show_sweep(self, sweep: "Sweep") -> None:
        # A program has nothing that it could be shown in.
        if get_ipython() is not None:
            from modelship_lab.notebook.run_display import show_sweep

            show_sweep(sweep)

    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        return labeler(project, order)

    def grid(self, project: "ProjectHandle", samples: "SampleFilter", sort: str) -> Any:
        return grid(project, samples, sort)

    def map(self, project: "ProjectHandle", by: "MapColor", most: int) -> Any:
        from modelship_lab.notebook.sample_map import SampleMap

        return SampleMap(project, by, most)

    def train(self, project: "ProjectHandle", recipe: str | None, options: dict[str, Any]) -> Any:
        from modelship_lab.learning import train

        return train.start(project.lab, project, recipe, options)

    def train_module(
        self, project: "ProjectHandle", module: Any, datamodule: Any, options: dict[str, Any]
    ) -> Any:
        from modelship_lab.learning import own_module

        arguments = {
            name: options.pop(name) for name in ("snapshot", "resume", "name", "tags") if name in options
        }
        return own_module.start(project.lab, project, module, datamodule, options, **arguments)

    def suggest(self, project: "ProjectHandle", run_id: int, source: str) -> Any:
        from modelship_lab.learning import suggest

        return suggest.suggest(project.lab, project, run_id, source)

    def suggest_by_names(self, project: "ProjectHandle", on_progress: Callable[[int, int], None]) -> Any:
        from modelship_lab.learning import sentence_encoder

        return sentence_encoder.suggest_by_names(project, on_progress)

    def autolog(self, lab: "Lab", frameworks: Iterable[str] | None, disable: bool) -> Any:
        return autologging(lab, frameworks, disable)

    def export(
        self,
        run: "RunHandle",
        formats: "tuple[ModelFormat, ...]",
        target: "Path | None",
        optimize: bool,
        validate: bool,
    ) -> Any:
        from modelship_lab.learning import model_export

        return model_export.export_run(run, formats, target, optimize=optimize, validate=validate)
