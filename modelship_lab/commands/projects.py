"""Verbs of projects: new, settings, projects, progress, quality, share."""

import shlex
from typing import TYPE_CHECKING, Any, TextIO, get_args

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.parameters import NUMBER_RANGE, PROJECT, USER, KeyValue
from modelship_lab.commands.results import Done, ProjectProgress, ProjectQuality, ProjectSettings
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.base import Task
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import LabelingSettings, kind_of

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import ProjectHandle


class Setting(KeyValue):
    """`name=value` of a setting of labeling."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(f"{name}=")
            for name in LabelingSettings.model_fields
            if name.startswith(incomplete)
        ]


@click.command()
@click.argument("name")
@click.option(
    "--type",
    "task",
    type=click.Choice(get_args(Task)),
    required=True,
    help="What the samples are and what is predicted for them.",
)
@click.option("--classes", default="", help="The classes, separated by commas; of regression there are none.")
@click.option("--multilabel", is_flag=True, help="Any number of classes may apply to a sample.")
@click.option("--unit", help="What the numbers of regression are counted in, such as USD.")
@click.option(
    "--range", "limits", type=NUMBER_RANGE, help="Which numbers there can be: 0.. or 1..5 or ..100."
)
@click.option("--description", default="", help="What the project is for.")
@click.option("--public", is_flag=True, help="Let every account of the lab read it.")
@click.option("--exist-ok", is_flag=True, help="Take the project of this name if it is the same.")
@pass_session
def new(
    session: Session,
    name: str,
    task: Task,
    classes: str,
    multilabel: bool,
    unit: str | None,
    limits: tuple[float | None, float | None] | None,
    description: str,
    public: bool,
    exist_ok: bool,
) -> "ProjectHandle":
    """Create the project NAME."""
    names = [one.strip() for one in classes.split(",") if one.strip()]
    if not names and kind_of(task, multilabel) != "number":
        raise click.UsageError("Missing option '--classes', such as --classes good,bad.")
    lowest, highest = limits or (None, None)
    return session.lab.new_project(
        name,
        task,
        names,
        description,
        multilabel=multilabel,
        settings={"unit": unit or "", "lowest": lowest, "highest": highest},
        is_public=public,
        exist_ok=exist_ok,
    )


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--set",
    "changes",
    type=Setting(),
    multiple=True,
    help="A setting and its value as JSON; may be repeated.",
)
@click.option(
    "--guidelines",
    type=click.File(encoding="utf-8"),
    help="A Markdown file that is shown beside the samples.",
)
@pass_session
def settings(
    session: Session, project: str, changes: tuple[tuple[str, Any], ...], guidelines: "TextIO | None"
) -> ProjectSettings:
    """Show and change how PROJECT is labeled: keys, thresholds, overlap, review, gold, guidelines.

    For example --set threshold=0.95 --set 'keys={"spam": "p"}' --set overlap=2.
    """
    handle = session.project(project)
    wanted = dict(changes)
    if guidelines is not None:
        wanted["guidelines"] = guidelines.read()
    record = handle.change(settings=wanted) if wanted else handle.record
    return ProjectSettings(record.name, record.settings)


@click.command()
@click.option("--search", help="Only those whose name contains this.")
@pass_session
def projects(session: Session, search: str | None) -> "pl.DataFrame":
    """List the projects."""
    found = [project.record for project in session.lab.projects(search)]
    return table(
        found,
        id=("integer", lambda project: project.id),
        name=("text", lambda project: project.name),
        task=("text", lambda project: project.task),
        classes=("text", lambda project: ", ".join(project.classes)),
        public=("text", lambda project: "yes" if project.is_public else ""),
        description=("text", lambda project: project.description),
        created_at=("time", lambda project: project.created_at),
    )


@click.command()
@click.argument("project", type=PROJECT)
@pass_session
def progress(session: Session, project: str) -> ProjectProgress:
    """Show how far the labeling of PROJECT is."""
    handle = session.project(project)
    return ProjectProgress(handle.name, handle.progress())


@click.command()
@click.argument("project", type=PROJECT)
@pass_session
def quality(session: Session, project: str) -> ProjectQuality:
    """Show how good the labels of PROJECT are: agreement, accuracy on known answers, time per label."""
    handle = session.project(project)
    return ProjectQuality(handle.name, handle.quality())


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--public/--private",
    "public",
    default=None,
    help="Let every account of the lab read it, or only its owner and administrators.",
)
@click.option(
    "--with", "added", type=USER, multiple=True, help="An account that may label in it; may be repeated."
)
@click.option("--without", "removed", type=USER, multiple=True, help="An account that may not any more.")
@pass_session
def share(
    session: Session, project: str, public: bool | None, added: tuple[str, ...], removed: tuple[str, ...]
) -> Done:
    """Say who may read PROJECT and who may label in it."""
    if public is None and not added and not removed:
        raise InvalidInput(
            "Say who may read it with --public or --private, or who may label in it with --with."
        )
    handle = session.project(project)
    if added or removed:
        labelers = sorted({*handle.record.labelers, *added} - set(removed))
        record = handle.change(labelers=labelers, is_public=public)
        whom = f"{', '.join(record.labelers)} and its owner" if record.labelers else "its owner alone"
        return Done(f"In '{handle.name}' {whom} may label now.")
    handle.change(is_public=public)
    who = "Every account of the lab reads" if public else "Only its owner and administrators read"
    back = "--private" if public else "--public"
    return Done(f"{who} '{handle.name}' now. `mlship share {shlex.quote(handle.name)} {back}` takes it back.")


VERBS = (new, settings, projects, progress, quality, share)
