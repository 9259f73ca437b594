"""Verbs of labeling: label, suggest."""

from typing import Any, get_args

import click

from modelship_lab.commands.parameters import PROJECT, RUN
from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import NotFound
from modelship_lab.records.labeling import QueueOrder


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--order",
    type=click.Choice(get_args(QueueOrder)),
    default="uncertainty",
    show_default=True,
    help="Which samples come first.",
)
@pass_session
def label(session: Session, project: str, order: QueueOrder) -> Any:
    """Label the samples of PROJECT."""
    handle = session.project(project)
    # Refused here rather than by the widget, which would come up empty.
    handle.record.require_task()
    return session.label(handle, order)


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("run", type=RUN, required=False)
@pass_session
def suggest(session: Session, project: str, run: int | None) -> Done:
    """Suggest labels for the unlabeled samples of PROJECT by the model of RUN (default: its newest)."""
    from modelship_lab.learning import suggest as suggesting

    handle = session.project(project)
    if run is None:
        run = _newest_run(session, handle.name)
    saved = suggesting.suggest(session.lab, handle, run)
    return Done(f"{saved.saved:,} suggestions of run {run} are saved; the labeling queue shows them.")


def _newest_run(session: Session, project: str) -> int:
    for run in session.lab.run_records(project, limit=100):
        if run.recipe and run.status in ("finished", "stopped"):
            return run.id
    raise NotFound(
        f"The project '{project}' has no trained run yet; start one with `mlship train {project}`."
    )


VERBS = (label, suggest)
