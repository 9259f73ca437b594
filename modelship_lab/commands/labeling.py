"""Verbs of labeling: label, suggest."""

from typing import Any, get_args

import click

from modelship_lab.client.suggesting import run_of_model
from modelship_lab.commands.parameters import DEPLOYMENT, MODEL_OR_RUN, PROJECT
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
    """Label the samples of PROJECT.

    The order `below_threshold` has those alone whose suggestion is too unsure to become a label by itself.
    """
    handle = session.project(project)
    # Refused here rather than by the widget, which would come up empty.
    handle.record.require_task()
    return session.label(handle, order)


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("model", type=MODEL_OR_RUN, required=False)
@click.option("--deployment", type=DEPLOYMENT, help="Ask this deployment instead.")
@pass_session
def suggest(session: Session, project: str, model: int | str | None, deployment: str | None) -> Done:
    """Suggest labels for the unlabeled samples of PROJECT by MODEL (default: its newest run).

    MODEL is a run's number, a registered version such as spam-filter/3 or spam-filter@Production, `zero-shot`
    (texts are compared with the names of the classes) or `lexicon` (for negative, positive and neutral).
    """
    from modelship_lab.learning import sentence_encoder
    from modelship_lab.learning import suggest as suggesting

    handle = session.project(project)
    if deployment is not None or model == "lexicon":
        saved, what = (
            handle.suggest(None if deployment else model, deployment=deployment),
            deployment or model,
        )
    elif model == "zero-shot":
        saved, what = (
            sentence_encoder.suggest_by_names(handle, lambda done, total: None),
            "the classes' names",
        )
    else:
        run, source = _run_and_source(session, handle.name, model)
        saved, what = suggesting.suggest(session.lab, handle, run, source), source.replace(":", " ")
    auto = f", {saved.auto:,} of them became automatic labels" if saved.auto else ""
    return Done(f"{saved.saved:,} suggestions of {what} are saved{auto}; the labeling queue shows them.")


def _run_and_source(session: Session, project: str, model: int | str | None) -> tuple[int, str]:
    if isinstance(model, str):
        return run_of_model(session.lab, model)
    run = _newest_run(session, project) if model is None else model
    return run, f"run:{run}"


def _newest_run(session: Session, project: str) -> int:
    for run in session.lab.run_records(project, limit=100):
        if run.recipe and run.status in ("finished", "stopped"):
            return run.id
    raise NotFound(
        f"The project '{project}' has no trained run yet; start one with `mlship train {project}`."
    )


VERBS = (label, suggest)
