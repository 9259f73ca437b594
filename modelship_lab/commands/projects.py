"""Verbs of projects: new, projects, progress, share."""

import shlex
from typing import TYPE_CHECKING, get_args

import click

from modelship_lab.commands.parameters import PROJECT
from modelship_lab.commands.results import Done, ProjectProgress
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.base import Task
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import ProjectHandle


@click.command()
@click.argument("name")
@click.option(
    "--type",
    "task",
    type=click.Choice(get_args(Task)),
    required=True,
    help="What the samples are and what is predicted for them.",
)
@click.option("--classes", required=True, help="The classes, separated by commas.")
@click.option("--description", default="", help="What the project is for.")
@click.option("--public", is_flag=True, help="Let every account of the lab read it.")
@click.option("--exist-ok", is_flag=True, help="Take the project of this name if it is the same.")
@pass_session
def new(
    session: Session, name: str, task: Task, classes: str, description: str, public: bool, exist_ok: bool
) -> "ProjectHandle":
    """Create the project NAME."""
    names = [one.strip() for one in classes.split(",") if one.strip()]
    return session.lab.new_project(name, task, names, description, is_public=public, exist_ok=exist_ok)


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
@click.option(
    "--public/--private",
    "public",
    default=None,
    help="Let every account of the lab read it, or only its owner and administrators.",
)
@pass_session
def share(session: Session, project: str, public: bool | None) -> Done:
    """Say who may read PROJECT: everybody who has an account, or its owner alone."""
    if public is None:
        raise InvalidInput("Say who may read it: --public or --private.")
    handle = session.project(project)
    handle.change(is_public=public)
    who = "Every account of the lab reads" if public else "Only its owner and administrators read"
    back = "--private" if public else "--public"
    return Done(f"{who} '{handle.name}' now. `mlship share {shlex.quote(handle.name)} {back}` takes it back.")


VERBS = (new, projects, progress, share)
