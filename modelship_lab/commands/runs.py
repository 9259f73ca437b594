"""Verbs of runs: runs, run."""

from typing import TYPE_CHECKING, get_args

import click

from modelship_lab.commands.parameters import PROJECT, RUN
from modelship_lab.commands.results import RunReport
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.tracking import RunStatus

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import RunHandle


@click.command()
@click.argument("project", type=PROJECT, required=False)
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only those in this state.")
@click.option("--all", "everything", is_flag=True, help="All columns, not only those that tell runs apart.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most this many."
)
@pass_session
def runs(
    session: Session, project: str | None, status: str | None, everything: bool, limit: int
) -> "pl.DataFrame":
    """List the runs of PROJECT, or all, with their figures; the newest first."""
    from modelship_lab.client.run_table import compared

    name = session.project(project).name if project else None
    table = session.lab.runs(name, status, limit)
    return table if everything or table.is_empty() else compared(table)


@click.command()
@click.argument("run", type=RUN)
@pass_session
def run(session: Session, run: int) -> RunReport:
    """Show RUN: its parameters, figures and evaluation."""
    return report(session.lab.run(run))


def report(handle: "RunHandle") -> RunReport:
    """All that is known of a run."""
    import polars as pl

    handle.refresh()
    points = handle.metrics_frame()
    last = points.group_by("name", maintain_order=True).agg(pl.col("step").last(), pl.col("value").last())
    return RunReport(handle.record, handle.evaluation(), tuple(handle.artifacts()), last, handle.lab.image)


VERBS = (runs, run)
