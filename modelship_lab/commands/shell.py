"""The shell as a session: rich tables, progress bars, live views."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from modelship_lab.commands.results import DeploymentReport, RunReport, ToldOnce
from modelship_lab.commands.session import Session
from modelship_lab.records.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from modelship_lab.client import JobHandle, Lab, ProjectHandle, RunHandle
    from modelship_lab.client.exchange.transfer import Moved, OnMoved
    from modelship_lab.client.imports import ImportProgress, OnProgress
    from modelship_lab.client.sweeps.report import SweepReport
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.commands.description import Description, Grid
    from modelship_lab.records.labeling import QueueOrder
    from modelship_lab.records.metrics import MetricSummary
    from modelship_lab.records.serving import Deployment

_MOST_ROWS = 100
_PIPE_WIDTH = 240
_STOP_TIMEOUT_S = 120.0
_LOOK_AT_JOB_S = 0.5


class ShellSession(Session):
    """`mlship` in a terminal, or in a script when its output is no terminal."""

    is_shell = True

    def __init__(self) -> None:
        super().__init__()
        self.console = Console()
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            # Into a pipe or file names are written whole, so that they can be searched for.
            self.console.width = _PIPE_WIDTH

    def connect(self) -> "Lab":
        from modelship_lab import client
        from modelship_lab.client import discovery
        from modelship_lab.client.logins import Logins

        if self.url is None and not os.environ.get("MLSHIP_URL"):
            current = Logins(discovery.default_data_dir()).current
            self.url = current.url if current is not None else None
        return client.connect(self.url)

    def ask(self, what: str) -> str:
        _need_terminal(what)
        return str(click.prompt(what, err=True))

    def ask_secret(self, what: str, *, confirm: bool = False) -> str:
        _need_terminal(what)
        return str(click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))

    def show(self, value: Any) -> None:
        """Print what a verb returned."""
        from modelship_lab.commands.description import can_describe, describe

        if value is None:
            return
        if isinstance(value, ToldOnce):
            self._tell(value)
        elif isinstance(value, list):
            for one in value:
                self.show(one)
        elif can_describe(value):
            self.console.print(drawn(describe(value)))
        elif hasattr(value, "iter_rows") and hasattr(value, "columns"):
            self.console.print(frame_table(value))
        else:
            self.console.print(str(value), markup=False)

    def _tell(self, value: ToldOnce) -> None:
        """The secret alone on the output, all words about it on the other one."""
        from modelship_lab.commands.description import describe

        if not value.quiet:
            Console(stderr=True, width=self.console.width).print(drawn(describe(value)))
        if value.printed:
            click.echo(value.secret)

    @contextmanager
    def importing(self, title: str) -> "Iterator[OnProgress]":
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rows]}"),
            console=self.console,
            transient=True,
        ) as bars:
            task = bars.add_task(title, rows="", total=None)

            def show(progress: "ImportProgress") -> None:
                rows = f"{progress.rows_read:,} rows" if progress.rows_read else ""
                bars.update(task, total=progress.bytes_total, completed=progress.bytes_sent, rows=rows)

            yield show

    @contextmanager
    def moving(self, title: str) -> "Iterator[OnMoved]":
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[runs]:,} runs, {task.completed:,.0f} points"),
            console=self.console,
            transient=True,
        ) as bars:
            task = bars.add_task(title, runs=0, total=None)

            def show(moved: "Moved") -> None:
                bars.update(task, total=moved.points_total or None, completed=moved.points, runs=moved.runs)

            yield show

    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        raise MissingDependency(
            f"Labeling needs a browser: in a notebook run `%mlship label {project.name}`, "
            "or open the ModelShip panel in JupyterLab."
        )

    def follow(self, run: "RunHandle", *, wait: bool | None, epochs: int | None) -> RunReport:
        """Wait for the end whatever is asked: the training thread ends with this process."""
        from modelship_lab.commands.runs import report

        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        ) as bars:
            task = bars.add_task(f"Run {run.id}", total=epochs, figures="")
            asked_at = 0.0
            deadline: float | None = None
            while run.is_running and (deadline is None or time.monotonic() < deadline):
                try:
                    run.wait(0.2)
                    if time.monotonic() - asked_at > 1:
                        asked_at = time.monotonic()
                        epoch, figures = newest_figures(run.metric_summaries())
                        bars.update(task, completed=epoch, figures=figures)
                except KeyboardInterrupt:
                    bars.update(task, description=f"Run {run.id} stops after this step")
                    run.stop()
                    deadline = time.monotonic() + _STOP_TIMEOUT_S
        return report(run)

    def follow_job(self, job: "JobHandle", *, wait: bool | None) -> "JobHandle":
        """It goes on without this process: nobody waits unless that is asked, and an interrupt ends the waiting."""
        from modelship_lab.client.jobs import state

        if not wait:
            return job
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            console=self.console,
            transient=True,
        ) as bars:
            task = bars.add_task(f"Job {job.id}", total=1.0)
            while job.is_going_on:
                bars.update(
                    task, completed=job.record.progress, description=f"Job {job.id}: {state(job.record)}"
                )
                try:
                    job.wait(_LOOK_AT_JOB_S)
                except KeyboardInterrupt:
                    break
        return job

    def follow_sweep(self, sweep: "Sweep", *, wait: bool | None) -> "SweepReport":
        """Wait for the end whatever is asked: the trials end with this process."""
        from modelship_lab.commands.description.sweeps import best_facts, trial_line

        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            transient=True,
        ) as bars:
            task = bars.add_task(f"Sweep {sweep.id}", total=sweep.run.record.params["trials"], best="")
            told = 0
            deadline: float | None = None
            while sweep.is_running and (deadline is None or time.monotonic() < deadline):
                try:
                    sweep.wait(0.5)
                    report = sweep.report()
                    best = "  ".join(f"{name} {text}" for name, text in best_facts(report)[:1])
                    bars.update(task, completed=len(report.ended), best=best)
                    for trial in report.ended[told:]:
                        # A line for each, so that a log has them, too.
                        self.console.print(trial_line(report, trial), highlight=False, markup=False)
                    told = len(report.ended)
                except KeyboardInterrupt:
                    bars.update(task, description=f"Sweep {sweep.id} stops after this step")
                    sweep.stop(now=True)
                    deadline = time.monotonic() + _STOP_TIMEOUT_S
        return sweep.report()

    def watch(self, deployment: "Deployment", window_s: int, once: bool) -> DeploymentReport | None:
        from modelship_lab.commands.description import describe

        def current() -> DeploymentReport:
            found = self.lab.deployment(deployment.id)
            return DeploymentReport(found, self.lab.deployment_metrics(deployment.id, window_s))

        if once or not self.console.is_terminal:
            return current()
        try:
            with Live(drawn(describe(current())), console=self.console, auto_refresh=False) as live:
                while True:
                    live.update(drawn(describe(current())), refresh=True)
                    time.sleep(1)
        except KeyboardInterrupt:
            return None


def _need_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput(f"'{what}' can only be asked in a terminal; the options of the verb can say it.")


def newest_figures(metrics: Iterable["MetricSummary"]) -> tuple[float, str]:
    """How many epochs are done, and the newest figures in words."""
    last = {one.name: one.last for one in metrics if not one.context}
    shown = [
        name for name in ("train_loss", "val_loss", "val_accuracy", "val_f1") if last.get(name) is not None
    ]
    return last.get("epoch") or 0.0, "  ".join(f"{name} {last[name]:.4f}" for name in shown)


def drawn(description: "Description") -> RenderableType:
    """A description for the terminal."""
    parts: list[RenderableType] = [Text(description.title, style="bold")]
    if description.facts:
        facts = Table.grid(padding=(0, 2))
        for name, text in description.facts:
            facts.add_row(Text(name, style="dim"), Text(text))
        parts.append(facts)
    for grid in description.grids:
        if grid.rows:
            # Not as the table's own title, which is folded to the table's width.
            parts += (
                [Text(grid.title, style="italic"), grid_table(grid)] if grid.title else [grid_table(grid)]
            )
    if description.note:
        parts.append(Text(description.note, style="dim"))
    return Group(*parts)


def grid_table(grid: "Grid") -> Table:
    """A grid for the terminal."""
    table = Table()
    for column in grid.columns:
        table.add_column(column, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def frame_table(frame: Any) -> RenderableType:
    """A polars frame for the terminal: its first rows, and only columns that say something."""
    from modelship_lab.commands.description import frame_grid

    if frame.height == 0:
        return Text("There is nothing yet.")
    table = grid_table(frame_grid(frame, _MOST_ROWS))
    if frame.height <= _MOST_ROWS:
        return table
    return Group(table, Text(f"and {frame.height - _MOST_ROWS:,} more", style="dim"))
