"""Verbs of what labelers are asked: request, requests, withdraw, gold."""

from typing import TYPE_CHECKING, Any

import click

from modelship_lab.commands.answer import answer_of
from modelship_lab.commands.parameters import PROJECT, RUN
from modelship_lab.commands.results import Done
from modelship_lab.commands.sample_conditions import given, sample_conditions
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import REQUESTED, RequestPurpose

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--purpose",
    type=click.Choice(REQUESTED),
    default="request",
    show_default=True,
    help="review: by somebody else; audit: blindly; repeat: blindly, by who labeled it; error: the label may be wrong.",
)
@click.option(
    "--errors-of",
    type=RUN,
    help="The held-out samples that the model of this run got wrong, the most confident first (purpose: error).",
)
@click.option("--detail", default="", help="Why, for the labelers.")
@click.option("--at-most", type=click.IntRange(1), help="A random choice of this many.")
@sample_conditions
@pass_session
def request(
    session: Session,
    /,
    project: str,
    purpose: RequestPurpose,
    errors_of: int | None,
    detail: str,
    at_most: int | None,
    **conditions: Any,
) -> Done:
    """Ask people to look at samples of PROJECT (again): they come first in the queue.

    Without a condition all samples are meant.
    """
    handle = session.project(project)
    if errors_of is not None:
        conditions["ids"] = _errors_of(session, errors_of, handle.id)
        purpose = "error" if purpose == "request" else purpose
        what = "number" if handle.record.kind == "number" else "label"
        detail = detail or f"run {errors_of} predicts another {what}"
    saved = handle.request(purpose, detail=detail, at_most=at_most, **given(conditions))
    before = f" {saved.waiting:,} waited already." if saved.waiting else ""
    if not saved.added:
        return Done(f"No sample was added to the queue of {handle.name}.{before}")
    return Done(
        f"{saved.added:,} {'sample is' if saved.added == 1 else 'samples are'} asked for in {handle.name} "
        f"({purpose}).{before} `withdraw {handle.name} {saved.batch}` takes that back."
    )


def _errors_of(session: Session, run_id: int, project_id: int) -> tuple[int, ...]:
    run = session.lab.run(run_id)
    if run.record.project_id != project_id:
        raise InvalidInput(f"Run {run_id} is of another project.")
    evaluation = run.evaluation()
    if evaluation is None or not evaluation.worst:
        raise InvalidInput(f"Run {run_id} has no errors on held-out samples to look at.")
    return tuple(one.sample_id for one in evaluation.worst)


@click.command()
@click.argument("project", type=PROJECT)
@pass_session
def requests(session: Session, project: str) -> "pl.DataFrame":
    """List what waits in PROJECT until somebody looks at it, and who asked for it."""
    return table(
        session.project(project).requests(),
        purpose=("text", lambda one: one.purpose),
        waiting=("integer", lambda one: one.waiting),
        batch=("text", lambda one: one.batch),
        detail=("text", lambda one: one.detail or ("by the settings" if not one.batch else "")),
        author=("text", lambda one: one.author),
        created_at=("time", lambda one: one.created_at),
    )


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("batch")
@pass_session
def withdraw(session: Session, project: str, batch: str) -> Done:
    """Take back what was asked for in PROJECT in one act; `requests` lists them."""
    handle = session.project(project)
    return Done(f"{handle.withdraw(batch):,} samples that still waited are no longer asked for.")


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("answers", nargs=-1, required=True, metavar="SAMPLE=ANSWER...")
@pass_session
def gold(session: Session, project: str, answers: tuple[str, ...]) -> Done:
    """Say what the right label of samples of PROJECT is, e.g. 12=spam or 12=89.5; by these labelers are measured.

    Where several classes may apply they are separated by commas.
    """
    handle = session.project(project)
    known: dict[int, Any] = {}
    for answer in answers:
        sample_id, equals, label = answer.partition("=")
        if not equals or not sample_id.isdecimal() or not label:
            raise InvalidInput(
                f"'{answer}' is no answer: write the id of a sample and its class, as in 12=spam."
            )
        known[int(sample_id)] = answer_of(label, handle.record.kind)
    saved = handle.add_gold(known)
    return Done(
        f"{saved.saved:,} known {'answer is' if saved.saved == 1 else 'answers are'} saved in {handle.name}; "
        "labelers get them without being told."
    )


VERBS = (request, requests, withdraw, gold)
