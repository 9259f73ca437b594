"""Verbs of background jobs: jobs, logs, cancel."""

import time
from typing import Any

import click

from modelship_lab.client.jobs import JobHandle, state
from modelship_lab.commands.parameters import JOB, PROJECT
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.jobs import LOG_LEVELS, LogLevel, LogLine

_LOOK_EVERY_S = 1.0


@click.command()
@click.argument("project", type=PROJECT, required=False)
@click.option("--watch", "job_id", type=JOB, help="Show how this one goes on until it has ended.")
@pass_session
def jobs(session: Session, project: str | None, job_id: int | None) -> Any:
    """List the background jobs of PROJECT, or of all projects, the newest first."""
    if job_id is not None:
        return session.follow_job(session.lab.job(job_id), wait=True)
    found = session.lab.jobs(None if project is None else session.project(project))
    return table(
        found,
        id=("integer", lambda one: one.id),
        kind=("text", lambda one: one.kind),
        project=("text", lambda one: one.project),
        run=("integer", lambda one: one.run_id),
        status=("text", lambda one: one.status),
        progress=("number", lambda one: one.progress),
        state=("text", state),
        author=("text", lambda one: one.author),
        created_at=("time", lambda one: one.created_at),
    )


@click.command()
@click.argument("job", type=JOB)
@click.option("--level", type=click.Choice(LOG_LEVELS, case_sensitive=False), help="This level and above.")
@click.option("-n", "count", type=click.IntRange(min=1), help="The last so many lines.")
@click.option(
    "--follow", "-f", is_flag=True, help="Go on until the job has ended; an interrupt leaves it to itself."
)
@pass_session
def logs(session: Session, job: int, level: LogLevel | None, count: int | None, follow: bool) -> None:
    """Print what JOB has logged."""
    handle = session.lab.job(job)
    told = handle.logs(level or "DEBUG")
    for line in told[-count:] if count is not None else told:
        click.echo(_line(line))
    done = len(told)
    try:
        while follow:
            is_going_on = handle.is_going_on
            for line in handle.logs(level or "DEBUG", offset=done):
                done += 1
                click.echo(_line(line))
            if not is_going_on:
                break
            handle.refresh()
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return


def _line(line: LogLine) -> str:
    return f"{line.time:%Y-%m-%d %H:%M:%S} {line.level:7} {line.message}"


@click.command()
@click.argument("job", type=JOB)
@pass_session
def cancel(session: Session, job: int) -> JobHandle:
    """Ask JOB to end. A training saves a checkpoint first; it is killed when that takes more than a minute."""
    handle = session.lab.job(job)
    handle.cancel()
    return handle


VERBS = (jobs, logs, cancel)
