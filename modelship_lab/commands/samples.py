"""Verbs of many samples: samples, review, bulk, undo, map, duplicates."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click

from modelship_lab.client.project_samples import MOST_POINTS, REVIEW, MapColor, filter_of
from modelship_lab.commands.answer import answer_of
from modelship_lab.commands.parameters import PROJECT
from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import LabelSource, SampleColumn, SampleStatus, Value

if TYPE_CHECKING:
    import polars as pl

_MOST_SAMPLES = 100
"""So many are listed when nobody says how many."""

_ORDERS = tuple(name for column in get_args(SampleColumn) for name in (column, f"-{column}"))

_CONDITIONS = (
    click.option(
        "--status",
        type=click.Choice(get_args(SampleStatus)),
        multiple=True,
        help="In this state; can be given again.",
    ),
    click.option("--label", help="With this class."),
    click.option("--suggested", help="With this class suggested."),
    click.option("--search", help="With these words in text, fields or name."),
    click.option("--source", type=click.Choice(get_args(LabelSource)), help="Labeled by these."),
    click.option("--min-confidence", type=click.FloatRange(0, 1), help="Suggested at least this surely."),
    click.option("--max-confidence", type=click.FloatRange(0, 1), help="Suggested at most this surely."),
    click.option(
        "--below-threshold",
        is_flag=True,
        default=None,
        help="Suggested too unsurely to become a label by itself.",
    ),
    click.option("--noted", is_flag=True, default=None, help="With a note."),
    click.option("--selection", help="Of the saved selection of this name."),
)


def _conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_CONDITIONS):
        command = option(command)
    return command


@click.command()
@click.argument("project", type=PROJECT)
@_conditions
@click.option(
    "--sort",
    type=click.Choice(_ORDERS),
    default="id",
    help="By this; '-' before it sorts down.",
    metavar="COLUMN",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_MOST_SAMPLES,
    show_default=True,
    help="At most this many rows. A notebook's grid has all.",
)
@click.option("--save", help="Remember them under this name.")
@pass_session
def samples(
    session: Session, /, project: str, sort: str, limit: int, save: str | None, **conditions: Any
) -> "pl.DataFrame":
    """List the samples of PROJECT, to search, filter, sort, and label many at once."""
    handle = session.project(project)
    handle.record.require_task()
    asked = _given(conditions)
    if save is not None:
        handle.save_selection(save, **asked)
        asked = {"selection": save}
    table = handle.samples(sort=sort, limit=limit, **asked)
    return session.table_of_samples(table, handle, samples=filter_of(asked), sort=sort)


@click.command()
@click.argument("project", type=PROJECT)
@click.option("--limit", type=click.IntRange(min=1), default=_MOST_SAMPLES, help="At most this many rows.")
@pass_session
def review(session: Session, /, project: str, limit: int) -> "pl.DataFrame":
    """List what waits for review in PROJECT: suggestions below their threshold, the least sure first.

    In a notebook they are labeled there; one after the other with `label PROJECT --order below_threshold`.
    """
    handle = session.project(project)
    sort, asked = REVIEW["sort"], {name: REVIEW[name] for name in ("below_threshold", "status")}
    table = handle.samples(sort=sort, limit=limit, **asked)
    return session.table_of_samples(table, handle, samples=filter_of(asked), sort=sort)


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("decision")
@_conditions
@click.option(
    "--expected", type=click.IntRange(min=0), help="How many they are; with another number nothing is saved."
)
@pass_session
def bulk(session: Session, /, project: str, decision: str, expected: int | None, **conditions: Any) -> Done:
    """Label many samples of PROJECT at once.

    DECISION is a class, a number, `skip` or `flag`. Without `--expected` it is only told how many samples are meant.
    """
    handle = session.project(project)
    asked = _given(conditions)
    classes = handle.record.classes
    is_answer = decision in classes or (handle.record.kind == "number" and decision not in ("skip", "flag"))
    label = answer_of(decision, handle.record.kind) if is_answer else None
    what = f"labeled {decision}" if is_answer else {"skip": "skipped", "flag": "flagged"}.get(decision)
    if what is None:
        raise InvalidInput(
            f"'{decision}' is neither a class of '{handle.name}' ({', '.join(classes)}) nor skip nor flag."
        )
    if expected is None:
        count = handle.count_samples(**asked)
        if count == 0:
            raise InvalidInput(f"There is no such sample in '{handle.name}': nothing would be {what}.")
        raise InvalidInput(
            f"Nothing is saved yet: {count:,} samples would be {what}. `--expected {count}` says that you mean them."
        )
    if label is not None:
        saved = handle.label_samples(label, expected=expected, **asked)
    else:
        saved = handle.label_samples(action=decision, expected=expected, **asked)
    back = f"mlship undo {shlex.quote(handle.name)} --batch {saved.batch}"
    return Done(f"{saved.saved:,} samples {what}; `{back}` takes it back.")


@click.command()
@click.argument("project", type=PROJECT)
@click.option("--label", "label_id", type=click.IntRange(min=1), help="The decision with this id.")
@click.option(
    "--batch", help="The act of this name: a bulk, an import, or a revocation, which is brought back."
)
@pass_session
def undo(session: Session, project: str, label_id: int | None, batch: str | None) -> Done:
    """Take back your newest act in PROJECT that still counts: a label, a skip, a bulk. Again: the one before it.

    What was decided before it counts again. What models and rules did is named by its batch.
    """
    if label_id is not None and batch is not None:
        raise InvalidInput("Name a decision or a batch, not both.")
    handle = session.project(project)
    undone = handle.undo(label_id, batch=batch)
    label, sample = undone.label, undone.sample
    what = {"label": f"labeled {_said(label)}", "skip": "skipped", "flag": "flagged", "note": "given a note"}[
        label.action
    ]
    by = f"by {label.author}, {label.created_at:%Y-%m-%d %H:%M} UTC"
    if not label.undone:
        return Done(f"Brought back in '{handle.name}': {undone.count:,} automatic labels of {label.origin}.")
    if undone.count > 1:
        return Done(f"Taken back in '{handle.name}': {undone.count:,} samples {what} ({by}).")
    said = _said(sample)
    state = f"{sample.status}: {said}" if said else sample.status
    return Done(f"Taken back in '{handle.name}': sample {sample.id} {what} ({by}). It is {state} now.")


@click.command(name="map")
@click.argument("project", type=PROJECT)
@click.option(
    "--by",
    type=click.Choice(get_args(MapColor)),
    default="label",
    show_default=True,
    help="What colors tell.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=MOST_POINTS,
    show_default=True,
    help="Points; of more samples a random part is shown.",
)
@pass_session
def map_samples(session: Session, /, project: str, by: MapColor, most: int) -> Any:
    """Show the samples of PROJECT as points: alike ones lie close, and the lasso selects."""
    return session.map(session.project(project), by, most)


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="How much two share."
)
@click.option("--group", is_flag=True, help="Put them into groups, which never lie in two splits.")
@pass_session
def duplicates(session: Session, /, project: str, threshold: float, group: bool) -> "Done | pl.DataFrame":
    """Find the samples of PROJECT that are nearly the same."""
    handle = session.project(project)
    if group:
        return Done(f"{handle.group_near_duplicates(threshold):,} samples are in groups of near duplicates.")
    return handle.near_duplicates(threshold)


def _given(conditions: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conditions.items() if value not in (None, ())}


def _said(value: Value) -> str:
    """What a decision says, in a few words."""
    if value.number is not None:
        return f"{value.number:g}"
    if value.kind in ("spans", "boxes"):
        parts = value.spans or value.boxes or ()
        return (
            f"with {len(parts)} {value.kind} ({', '.join(value.classes)})"
            if parts
            else f"without {value.kind}"
        )
    return ", ".join(value.classes) if value.classes or value.kind is None else "none of the classes"


VERBS = (samples, review, bulk, undo, map_samples, duplicates)
