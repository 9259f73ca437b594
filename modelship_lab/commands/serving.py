"""Verbs of deployments: deploy, deployments, undeploy, predict, watch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelship_lab.commands.models import resolve
from modelship_lab.commands.parameters import DEPLOYMENT, MODEL_VERSION
from modelship_lab.commands.results import Done, Predicted, Predictions
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.base import medium_of
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.serving import Deployment

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.argument("model", type=MODEL_VERSION)
@click.option(
    "--name", type=DEPLOYMENT, required=True, help="Of the deployment; a known name is switched over."
)
@click.option(
    "--timeout-s", type=float, default=30.0, show_default=True, help="Longest answer to one request."
)
@click.option(
    "--max-batch", type=click.IntRange(1, 4096), default=64, show_default=True, help="Rows at once."
)
@click.option(
    "--max-queue", type=click.IntRange(1, 100_000), default=1024, show_default=True, help="Then 429."
)
@pass_session
def deploy(
    session: Session,
    model: tuple[str, int | None],
    name: str,
    timeout_s: float,
    max_batch: int,
    max_queue: int,
) -> Deployment:
    """Serve MODEL (`name/version`) and wait until it answers."""
    model_name, version = resolve(session, model)
    return session.lab.deploy(
        f"{model_name}/{version}",
        name,
        answer_timeout_s=timeout_s,
        max_batch=max_batch,
        max_queue=max_queue,
    )


@click.command()
@pass_session
def deployments(session: Session) -> "pl.DataFrame":
    """List the deployments."""
    return table(
        session.lab.deployments(),
        id=("integer", lambda one: one.id),
        name=("text", lambda one: one.name),
        status=("text", lambda one: one.status),
        model=("text", lambda one: one.model),
        version=("text", lambda one: f"v{one.version}"),
        address=("text", lambda one: one.address),
        restarts=("integer", lambda one: one.restarts),
        updated_at=("time", lambda one: one.updated_at),
    )


@click.command()
@click.argument("deployment", type=DEPLOYMENT)
@pass_session
def undeploy(session: Session, deployment: str) -> Done:
    """Stop serving DEPLOYMENT."""
    found = session.deployment(deployment)
    session.lab.undeploy(found.id)
    return Done(f"The deployment '{found.name}' is gone.")


@click.command()
@click.argument("deployment", type=DEPLOYMENT)
@click.argument("inputs", nargs=-1, required=True)
@click.option("--explain", is_flag=True, help="Show what the prediction rests on.")
@click.option("--class", "class_name", help="Explain this class instead of the predicted one.")
@pass_session
def predict(
    session: Session, deployment: str, inputs: tuple[str, ...], explain: bool, class_name: str | None
) -> Predicted | Predictions:
    """Predict by DEPLOYMENT.

    An input is a text, the path of an image, or a row as JSON: '{"age": 30}' or '[30, 1.5]'.
    """
    found = session.deployment(deployment)
    values = [read_input(found, text) for text in inputs]
    explain = explain or class_name is not None
    answers = session.lab.predict(found.id, values, explain=explain, class_name=class_name)
    predicted = [
        Predicted(answer, found.classes, value, found.name)
        for answer, value in zip(answers, values, strict=True)
    ]
    return predicted[0] if len(predicted) == 1 else Predictions(tuple(predicted))


def read_input(deployment: Deployment, text: str) -> Any:
    """An input as a deployment of this task takes it.

    Raises:
        InvalidInput: it is no readable image, or no row.
    """
    medium = medium_of(deployment.task)
    if medium == "text":
        return text
    if medium == "image":
        try:
            return Path(text).expanduser().read_bytes()
        except OSError as error:
            raise InvalidInput(f"The image '{text}' cannot be read: {error.strerror}.") from error
    try:
        row = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"A row is JSON, e.g. '{{\"age\": 30}}' or '[30, 1.5]': {error}.") from error
    if not isinstance(row, (dict, list)):
        raise InvalidInput(f"A row is a JSON object or list, not {text:.60}.")
    return row


@click.command()
@click.argument("deployment", type=DEPLOYMENT)
@click.option(
    "--window",
    "window_s",
    type=click.IntRange(1, 900),
    default=60,
    show_default=True,
    help="Seconds to show.",
)
@click.option("--once", is_flag=True, help="Show it once and return.")
@pass_session
def watch(session: Session, deployment: str, window_s: int, once: bool) -> Any:
    """Show the requests, errors and latencies of DEPLOYMENT."""
    return session.watch(session.deployment(deployment), window_s, once)


VERBS = (deploy, deployments, undeploy, predict, watch)
